"""Bundles from endpoints that are asked now and then: SPIFFE Federation, both profiles.

Workers share what one of them fetched. Each follows the records in the store, and asks an endpoint whose time has
come if nobody else has the right to just then. No process is special, so none can be lost; a start finds the last
good bundles in the store and needs no endpoint (SPIFFE-24).
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from bridge.model.bundle import BundleHealth, TrustBundle
from bridge.model.errors import Unavailable
from bridge.model.polled_bundle import PolledBundle, PolledBundles, Wish
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook
from bridge.spire.lanes import Lane
from bridge.spire.parse import MalformedBundle, parse_bundle
from bridge.spire.polled_anchors import anchors_of
from bridge.spire.polled_turns import QUICKLY, PolledDomain, chosen, rank
from bridge.spire.polling import (
    FetchBundle,
    Observer,
    PolledOptions,
    PollFailed,
    Question,
    Settled,
    fail,
    settle,
)
from bridge.spire.source import Clock, Turns

_log = logging.getLogger("bridge.spire")

# How often the records of all workers are looked at: what one fetched is in force in all within a second.
LOOK_SECONDS = 0.25
# Longer than a fetch may take, so that nobody asks while somebody does; and how soon a worker that died is followed.
RIGHT_SECONDS = 15
# After a store that did not answer.
_PAUSE_SECONDS = 2
# The store counts for all workers; this spares it questions.
_EARLY_SECONDS = 5
_RECORDS = 100
# Threads for endpoints that answered last time, for those never asked, for those that failed or took long, and for keys
# that nobody knows: whoever hangs holds only threads that others of its kind may need.
_WELL, _NEW, _ILL, _EARLY, _EARLY_WAITING = 64, 64, 32, 4, 16
# No request waits so long for a key that nobody knows.
_SLOW_SECONDS = 3.0
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Polling:
    """What the polling of one process needs from outside. `seal_key` seals records against whoever can write the
    database; `holder` names this process; `share` gives random numbers from 0 to 1. `asks`: whether endpoints are asked
    when their time comes; else only what others fetched is followed."""

    records: PolledBundles
    fetch: FetchBundle
    seal_key: bytes
    holder: str
    share: Callable[[], float]
    observe: Observer = lambda trust_domain, outcome: None
    asks: bool = True


class PolledSource:
    """Keeps the bundles of trust domains that have an endpoint. See `BundleSource`."""

    def __init__(self, options: Iterable[PolledOptions], book: BundleBook, polling: Polling, clock: Clock) -> None:
        self._book, self._polling, self._clock = book, polling, clock
        self._domains = {
            one.trust_domain: PolledDomain(
                one, PolledBundle(one.trust_domain.name, one.endpoint.source), rank(polling.holder, one.trust_domain)
            )
            for one in options
        }
        self._places = {(one.polled.trust_domain, one.polled.source): one for one in self._domains.values()}
        self._version = 0
        self._last_begun = b""
        # Whose endpoints took long to answer this process the last time.
        self._slow: set[TrustDomain] = set()
        # Held while records are read and taken over, so that they are in the order in which they were written.
        self._reading = threading.Lock()
        # Guards `is_asking` and `asked` of every domain.
        self._settled = threading.Condition()
        self._questions = itertools.count()
        self._turns = Turns("bundle-endpoints", self._turn)
        self._well, self._new = Lane("bundle-endpoints-well", _WELL), Lane("bundle-endpoints-new", _NEW)
        self._ill = Lane("bundle-endpoints-ill", _ILL)
        self._early = Lane("bundle-endpoints-early", _EARLY, most_waiting=_EARLY_WAITING)

    def start(self) -> None:
        """Put what the store has in force before returning, then follow and ask from threads."""
        try:
            self.follow()
        except Unavailable as error:
            _log.warning("the stored trust bundles cannot be read: %s", error.detail)
        for domain in self._domains.values():
            if not self._polling.asks and not domain.polled.version:
                self._book.fail(domain.options.trust_domain, BundleHealth.UNREACHABLE, "was not fetched yet")
            if self._polling.asks and domain.is_put_off:
                # A shorter max_stale than the one before would else end a bundle that is well, before its turn comes.
                domain.wanted_at = self._clock()
        self._turns.start()

    def never_asked(self) -> frozenset[TrustDomain]:
        """Those of which there is no record yet."""
        return frozenset(name for name, domain in self._domains.items() if not domain.polled.version)

    def refresh_now(self) -> None:
        """Ask every endpoint again in the next turns, except those asked within the last 5 s."""
        now = self._clock()
        for domain in self._domains.values():
            domain.wanted_at = now
        self._turns.hurry()

    def close(self) -> None:
        """Ask nobody any more. A question under way is given up after a moment; its right ends by itself."""
        self._turns.close()
        for lane in (self._well, self._new, self._ill, self._early):
            lane.close(_CLOSE_SECONDS)

    def look_early(
        self,
        trust_domain: TrustDomain,
        *,
        patience: float,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Have the endpoint asked because somebody named a key that its bundle has not, and wait for what comes of it,
        `patience` seconds at most (SPIFFE-34). Returns at once where nothing is polled, and where this was done within
        the last 5 s.

        Raises: what `waiting` raises, in which the calling thread waits.
        """
        domain = self._domains.get(trust_domain)
        if domain is None:
            return
        now = self._clock()
        with self._settled:
            asked, before = domain.asked, domain.polled.version
            if domain.early_at <= now < domain.early_at + _EARLY_SECONDS and not domain.is_asking:
                return
            domain.early_at = now
        if self._ask(domain, Wish.EARLY, self._ill if self._is_ill(domain) else self._early) or domain.is_asking:
            with waiting(), self._settled:
                self._settled.wait_for(lambda: domain.asked != asked or domain.polled.version != before, patience)

    def ask_now(self, trust_domain: TrustDomain, *, accept_lower: bool = False) -> bool:
        """Ask in this thread, whatever the time: an operator said so. `accept_lower`: and that the sequence may go
        back. False: somebody else is asking just now.

        Raises: Unavailable when the store does not answer.
        """
        domain = self._domains[trust_domain]
        asked = self._question(domain, Wish.ORDERED, accept_lower=accept_lower)
        self.follow()
        return asked

    def follow(self) -> None:
        """Take over the records that were written since. Raises: Unavailable."""
        with self._reading:
            while changed := self._polling.records.changed_since(self._version, limit=_RECORDS):
                for polled in changed:
                    domain = self._places.get((polled.trust_domain, polled.source))
                    if domain is not None:
                        self._take(domain, polled)
                    self._version = polled.version

    def ask_all(self, trust_domains: Iterable[TrustDomain], *, patience: float, accept_lower: bool = False) -> None:
        """Ask these endpoints at once, because an operator said so, and wait for all of them, `patience` seconds at
        most. What another process asks just then is waited for no longer than it takes to see that. `accept_lower`:
        sequences may go back, this once."""
        wanted = [self._domains[one] for one in trust_domains if one in self._domains]
        left = threading.Semaphore(0)

        def ask(domain: PolledDomain) -> None:
            try:
                self.ask_now(domain.options.trust_domain, accept_lower=accept_lower)
            except Unavailable as error:
                reason = f"the store does not answer: {error.detail}"
                self._book.fail(domain.options.trust_domain, BundleHealth.UNREACHABLE, reason)
            finally:
                left.release()

        for domain in wanted:
            self._new.put(partial(ask, domain))
        deadline = time.monotonic() + patience
        for _ in wanted:
            left.acquire(timeout=max(0.0, deadline - time.monotonic()))

    # --- following what all workers know ---------------------------------------------------------

    def _turn(self) -> float:
        try:
            self.follow()
        except Unavailable as error:
            _log.debug("the stored trust bundles cannot be read: %s", error.detail)
        asks, after = self._polling.asks, self._last_begun
        begun, is_more = chosen(self._domains.values(), self._clock(), after=after, asks=asks)
        for domain in begun:
            self._last_begun = domain.rank
            wish, domain.wanted_at = Wish.EARLY if domain.is_wanted else Wish.DUE, None
            self._ask(domain, wish, self._lane(domain))
        return QUICKLY if is_more else LOOK_SECONDS

    def _take(self, domain: PolledDomain, polled: PolledBundle) -> None:
        before, trust_domain = domain.polled, domain.options.trust_domain
        if not polled.is_sealed(self._polling.seal_key):
            self._refuse(domain, polled, "the stored record was not written by this service")
            return
        if polled.digest and (domain.bundle is None or polled.digest != before.digest):
            bundle = self._stored(domain, polled)
            if bundle is None:
                self._refuse(domain, polled, "the stored bundle is not the one that was fetched")
                return
            domain.bundle = bundle
        domain.polled = polled
        confirmed = (polled.digest, polled.confirmed_at) != (before.digest, before.confirmed_at)
        if domain.bundle is not None and (confirmed or (before.fault and not polled.fault)):
            now = self._clock()
            # Where it was asked later than it is now, a clock was set back since, and as much time had passed by then.
            age = max(now, polled.asked_at, polled.confirmed_at) - polled.confirmed_at
            self._book.publish(
                domain.bundle,
                confirmed_at=now - age,
                age=age,
                confirm_every=domain.options.interval(domain.hint),
                refresh_at=polled.refresh_at,
            )
        if polled.fault:
            self._book.fail(trust_domain, BundleHealth(polled.fault), polled.reason, refresh_at=polled.refresh_at)
        with self._settled:
            self._settled.notify_all()

    def _refuse(self, domain: PolledDomain, polled: PolledBundle, words: str) -> None:
        """Whatever the record says, nothing of it is used; the endpoint is asked at once."""
        domain.polled = replace(domain.polled, version=polled.version, refresh_at=0)
        self._book.fail(domain.options.trust_domain, BundleHealth.MALFORMED, f"{words}; it is ignored")

    def _stored(self, domain: PolledDomain, polled: PolledBundle) -> TrustBundle | None:
        body = self._polling.records.body(polled.trust_domain, polled.source)
        if body is None or hashlib.sha256(body).hexdigest() != polled.digest:
            return None
        try:
            return parse_bundle(body, domain.options.trust_domain)
        except MalformedBundle:
            return None

    # --- asking ----------------------------------------------------------------------------------

    def _lane(self, domain: PolledDomain) -> Lane:
        if self._is_ill(domain):
            return self._ill
        return self._well if domain.polled.digest else self._new

    def _is_ill(self, domain: PolledDomain) -> bool:
        """Whether its endpoint may hold a thread for long, as it did the last time."""
        return bool(domain.polled.failures) or domain.options.trust_domain in self._slow

    def _took(self, domain: PolledDomain, seconds: float) -> None:
        if seconds >= _SLOW_SECONDS:
            self._slow.add(domain.options.trust_domain)
        else:
            self._slow.discard(domain.options.trust_domain)

    def _ask(self, domain: PolledDomain, wish: Wish, lane: Lane) -> bool:
        """Have it asked by a thread, unless this process does so already. Whether it will be."""
        with self._settled:
            if domain.is_asking:
                return False
            domain.is_asking = True

        def job() -> None:
            began = time.monotonic()
            try:
                if not self._question(domain, wish):
                    domain.not_before = self._clock() + 1
                self.follow()
            except Unavailable as error:
                domain.not_before = self._clock() + _PAUSE_SECONDS
                _log.debug("the bundle of %s cannot be shared: %s", domain.options.trust_domain, error.detail)
            finally:
                self._took(domain, time.monotonic() - began)
                self._end(domain)

        if lane.put(job):
            return True
        self._end(domain)
        return False

    def _end(self, domain: PolledDomain) -> None:
        with self._settled:
            domain.is_asking = False
            domain.asked += 1
            self._settled.notify_all()

    def _question(self, domain: PolledDomain, wish: Wish, *, accept_lower: bool = False) -> bool:
        """Get the right to ask, ask, and write down what came of it. False: there was no right to be had, or it had
        ended before the answer came. Raises: Unavailable."""
        now, records, place = self._clock(), self._polling.records, domain.polled
        holder = f"{self._polling.holder}-{next(self._questions)}"
        before = records.begin(
            place.trust_domain, place.source, holder=holder, now=now, until=now + RIGHT_SECONDS, wish=wish
        )
        if before is None:
            return False
        if not before.is_sealed(self._polling.seal_key):
            before = PolledBundle(place.trust_domain, place.source)
        elif before.digest and before.digest != domain.polled.digest:
            # Fetched by another worker a moment ago: its keys are what an https_spiffe endpoint is verified by.
            self.follow()
            if before.digest != domain.polled.digest:
                # Of no use, so it is fetched whole; its sequence was written by us and holds.
                before = replace(before, digest="", etag="")
        settled = self._settle(domain, before, now, accept_lower=accept_lower)
        self._polling.observe(domain.options.trust_domain, settled.outcome)
        return records.keep(settled.polled.sealed(self._polling.seal_key), settled.body, holder=holder)

    def _settle(self, domain: PolledDomain, before: PolledBundle, now: int, *, accept_lower: bool) -> Settled:
        question = Question(domain.options, before, domain.hint, before.bootstrap, accept_lower)
        try:
            anchors, bootstrap = anchors_of(
                domain.options, before, domain.bundle, lambda other: self._book.held(other, now).bundle
            )
            is_renewed = bool(before.bootstrap) and bootstrap != before.bootstrap
            question = replace(question, bootstrap=bootstrap, accept_lower=accept_lower or is_renewed)
            answer = self._polling.fetch(domain.options.endpoint, etag=before.etag, anchors=anchors, now=now)
            return settle(question, answer, now=now, share=self._polling.share())
        except PollFailed as failure:
            return Settled(fail(question, failure, now=now), None, failure.outcome)
