"""What every worker does now and then: reload, re-read, sweep, rotate, prune, measure.

Nothing here answers a request. Chores that one process at a time should do take a lease in the store; no
process is special, so none can be lost.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bridge.bundle_news import BundleNews
from bridge.chores import Chore
from bridge.fetch.held_copies import KEEP_SECONDS
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.errors import Unavailable
from bridge.observe import metrics
from bridge.observe.heads import MovedHeads
from bridge.policy.evaluate import PolicySet
from bridge.policy.gains import gained
from bridge.policy.in_force import PolicyInForce
from bridge.registration.lifecycle import FlowSweeper, Sweeper
from bridge.registration.refusals import RefusalLog
from bridge.spire.book import BundleBook
from bridge.store.ports import Store, Swept, SweptFlow
from bridge.tokens.key_ring import KeyRing
from bridge.verify.pinned_issuers import PinnedIssuers

_log = logging.getLogger("bridge.upkeep")

# How often policy files are looked at; a thousand are rarer, so that looking costs a hundredth of a core.
POLICY_LOOK_SECONDS, POLICY_LOOK_LONGEST, POLICY_LOOK_RESTS = 0.2, 1.0, 100
ISSUERS_LOOK_SECONDS = 1
KEYS_READ_SECONDS = 2
ANNOUNCE_SECONDS = 300
# Whoever writes the lines about audit heads looks so often whether one is due, and keeps the right to for
# somewhat longer: it stays with one process until that one is gone.
HEADS_LOOK_SECONDS = 60
HEADS_LEASE_SECONDS = 150
# Who sweeps does so step by step, as long as there is something to sweep, and rests after each step for so many
# times as long as it took.
SWEEP_LEASE_SECONDS = 5
SWEEP_RESTS = 4
FLOW_SWEEP_SECONDS = 60
DOCUMENT_SWEEP_SECONDS = 300
BUNDLE_SWEEP_SECONDS = 3600
NEWS_SECONDS = 0.5
DOCUMENT_BATCH = 50
PRUNE_SECONDS = 3600
# Each row is verified on its way out, while nobody else can write.
PRUNE_BATCH = 100
# All workers get a SIGHUP at the same time, and one of them says so; sources have so long to look.
LOOKED_SECONDS = 5
LOOK_PATIENCE = 2.0
_ISSUER_CHANGED = "keys of a statement issuer changed"

_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True)
class Periods:
    """How long things live, all in seconds; see the configuration."""

    idle_expiry: int
    pending_expiry: int
    keep_ended: int
    rotate_every: int
    keep_audit: int


class Upkeep:
    """The chores of one worker."""

    def __init__(
        self,
        *,
        store: Store,
        ring: KeyRing,
        book: BundleBook,
        news: BundleNews,
        policies: PolicyInForce,
        issuers: PinnedIssuers,
        refusals: RefusalLog,
        periods: Periods,
        measure: Callable[[int], None],
        vitals: Callable[[int], None] = lambda at: None,
        new_id: Callable[[], str],
        clock: Callable[[], int],
    ) -> None:
        """`measure` looks at records and limits for metrics, `vitals` at the service itself."""
        self._measure_records, self._take_vitals = measure, vitals
        self._store, self._ring, self._book, self._news = store, ring, book, news
        self._policies, self._refusals, self._periods = policies, refusals, periods
        self._issuers, self._issuer_faults = issuers, dict[str, str]()
        self._issuers_without_keys = frozenset[str]()
        self._new_id, self._clock = new_id, clock
        self._heads = MovedHeads()
        self._policies_are_noted = False
        metrics.policy_findings.set(len(policies.findings))
        metrics.policy_loaded.set(clock())
        self._holder = f"{os.getpid()}-{secrets.token_hex(4)}"
        records = Sweeper(
            store.clients, keep_ended=periods.keep_ended, pending_expiry=periods.pending_expiry, new_id=new_id
        )
        self._sweep = self._in_steps("sweep", records.step, _say_swept)
        self._sweep_documents = self._in_steps("sweep documents", self._sweep_some_documents, lambda swept: None)
        self._prune = self._in_steps("prune", self._prune_some_audit, lambda pruned: None)
        self._sweep_flow = self._in_steps("sweep grants", FlowSweeper(store.grants).step, _say_flow_swept)

    def chores(self) -> tuple[Chore, ...]:
        """All of them, each with its pace."""
        sweep_every = min(self._periods.idle_expiry, self._periods.pending_expiry, 60)
        return (
            Chore("policies", POLICY_LOOK_SECONDS, self._look_at_policies),
            Chore("statement issuers", ISSUERS_LOOK_SECONDS, self._look_at_issuers),
            Chore("keys", KEYS_READ_SECONDS, self._ring.refresh),
            Chore("refusals", 5, self._refusals.flush),
            Chore("bundle metrics", 5, self._news.measure),
            Chore("bundle news", NEWS_SECONDS, self._news.note),
            Chore("record metrics", 15, self._measure_records),
            Chore("vitals", 15, self._take_vitals),
            Chore("sweep", sweep_every, self._sweep),
            Chore("sweep grants", FLOW_SWEEP_SECONDS, self._sweep_flow),
            Chore("sweep documents", DOCUMENT_SWEEP_SECONDS, self._sweep_documents),
            Chore("sweep bundles", BUNDLE_SWEEP_SECONDS, self._leased("sweep bundles", 60, self._news.sweep)),
            Chore("rotate keys", 60, self._leased("rotate", 60, self._rotate)),
            Chore("prune audit", PRUNE_SECONDS, self._prune),
            Chore("audit heads", HEADS_LOOK_SECONDS, self._log_heads),
        )

    def fetches(self) -> tuple[Chore, ...]:
        """What waits for other people's servers, and so has a thread of its own: no policy waits behind it."""

        def fetch(issuer: str) -> Callable[[int], None]:
            return lambda at: self._fetch_keys(issuer, at)

        return tuple(Chore(f"keys of {issuer}", ISSUERS_LOOK_SECONDS, fetch(issuer)) for issuer in self._issuers.by_url)

    def _leased(self, name: str, seconds: int, run: Callable[[int], None]) -> Callable[[int], None]:
        """Only the process that has the lease does it; the lease ends with the chore's period, so that a
        process that died is followed by another one."""

        def leased(at: int) -> None:
            if self._store.leases.take(name, holder=self._holder, now=at, until=at + max(1, seconds)):
                run(at)

        return leased

    def _look_at_policies(self, at: int) -> float:
        began = time.thread_time()
        self._reload_policies(at)
        rest = POLICY_LOOK_RESTS * (time.thread_time() - began)
        return min(max(POLICY_LOOK_SECONDS, rest), POLICY_LOOK_LONGEST)

    def note_policies(self, at: int) -> None:
        """Leave an audit row if policies are others than the log knows: they changed while no service ran. One row,
        however many workers start. What the store does not take now, it gets when policies are looked at.

        Raises: Unavailable.
        """
        version = self._policies.current.version

        def event(before: str) -> AuditEvent | None:
            if not before:
                return None
            said = {"before": before, "at_start": True}
            kind = AuditEventKind.POLICY_CHANGED
            return AuditEvent(self._new_id(), at, kind, ask=said, outcome="loaded_at_start", policy_version=version)

        if self._store.audit.note_policies(version, event):
            _log.info("these policies are others than before the start", extra={"after": version})
        self._policies_are_noted = True

    def _reload_policies(self, at: int) -> None:
        if not self._policies_are_noted:
            self.note_policies(at)
        old, was_faulty = self._policies.current, self._policies.is_faulty
        if not self._policies.look():
            return
        faulty = self._policies.is_faulty
        metrics.policy_reloads.labels("faulty" if faulty else "loaded").inc()
        metrics.policy_findings.set(len(self._policies.findings))
        self._say_findings(at, was_faulty=was_faulty)
        before, after = old.version, self._policies.current.version
        if after == before:
            return
        metrics.policy_loaded.set(at)
        files = list(self._policies.changed_files)
        _log.info("policies changed", extra={"before": before, "after": after, "files": files})
        event = AuditEvent(
            self._new_id(),
            at,
            AuditEventKind.POLICY_CHANGED,
            ask={"before": before, "files": files, **_gains(old, self._policies.current)},
            outcome="loaded_in_part" if faulty else "loaded",
            policy_version=after,
        )
        # One row for what every worker sees, from whoever sees it first: whoever comes late does not note it anew.
        if self._store.leases.take(f"policy:{after}", holder=self._holder, now=at, until=at + ANNOUNCE_SECONDS):
            self._store.audit.note_policies(after, lambda noted: event)

    def _say_findings(self, at: int, *, was_faulty: bool) -> None:
        """What is wrong with the files, from one worker: all see the same. And when it is mended, that it is."""
        findings, version = [str(finding) for finding in self._policies.findings], self._policies.current.version
        state = hashlib.sha256(repr((version, findings)).encode()).hexdigest()[:16]
        if not (findings or was_faulty) or not self._is_first(f"findings:{state}", at, ANNOUNCE_SECONDS):
            return
        for finding in findings:
            _log.warning("policy finding", extra={"finding": finding})
        for file in self._policies.faulty_files:
            _log.error("%s has errors; its last good version, if any, stays in force (policies %s)", file, version)
        if was_faulty and not self._policies.is_faulty:
            _log.info("policy files are good again (policies %s)", version)

    def looking(self, unread: str = "") -> Callable[[int], None]:
        """Begin to look at all files because somebody said so (SIGHUP). Call the result, with the time, when the
        policies were looked at: it gives the sources of bundles a moment, and one worker says what came of it.
        `unread` is a configuration file that changed and does not act, whose author would think that it does."""
        before, reports = self._standing(), self._book.reports()

        def looked(at: int) -> None:
            looked_at = lambda: all(b < a for b, a in zip(reports, self._book.reports(), strict=True))  # noqa: E731
            self._book.wait_until(looked_at, LOOK_PATIENCE)
            after = self._standing()
            changed = [name for name, state in after.items() if before[name] != state]
            if self._is_first("looked", at, LOOKED_SECONDS):
                _log.info(
                    "policies and bundles were looked at: %s",
                    ", ".join(changed) + " changed" if changed else "nothing changed",
                    extra={"policies": self._policies.current.version, "findings": len(self._policies.findings)},
                )
                if unread:
                    _log.warning("%s changed, and is read at the start only: restart the service", unread)

        return looked

    def _standing(self) -> dict[str, object]:
        bundles = self._book.statuses(self._clock())
        return {
            "policies": (self._policies.current.version, self._policies.findings),
            **{f"bundle of {status.trust_domain}": (status.revision, status.health) for status in bundles},
        }

    def _look_at_issuers(self, at: int) -> None:
        """Read the changed key files of statement issuers, and say what changed or cannot be read, of URLs too."""
        for issuer in self._issuers.look():
            _log.info(_ISSUER_CHANGED, extra={"issuer": issuer})
        faults = dict(self._issuers.faults())
        for issuer, fault in faults.items():
            if self._issuer_faults.get(issuer) != fault:
                _log.error("statement issuer %s: %s", issuer, fault)
        self._issuer_faults = faults
        without_keys = frozenset(self._issuers.without_keys())
        for issuer in sorted(without_keys - self._issuers_without_keys):
            _log.info("statement issuer %s has no keys: none of its statements holds until its file has some", issuer)
        self._issuers_without_keys = without_keys

    def _fetch_keys(self, issuer: str, at: int) -> None:
        if self._issuers.refresh(issuer, now=at):
            _log.info(_ISSUER_CHANGED, extra={"issuer": issuer})

    def _is_first(self, name: str, at: int, seconds: int) -> bool:
        """Whether this process is the one to say something. Without the store everyone is."""
        try:
            return self._store.leases.take(name, holder=self._holder, now=at, until=at + seconds)
        except Unavailable:
            return True

    def _in_steps(
        self, lease: str, step: Callable[[int], _Done | None], say: Callable[[_Done], None]
    ) -> Callable[[int], float | None]:
        """Only the process that has the lease takes steps. The chore does one step, and says how long to rest before
        the next when there is more to do."""
        ends_at = 0

        def sweep(at: int) -> float | None:
            nonlocal ends_at
            if at >= ends_at:
                until = at + SWEEP_LEASE_SECONDS
                if not self._store.leases.take(lease, holder=self._holder, now=at, until=until):
                    return None
                ends_at = until
            began = time.monotonic()
            done = step(at)
            if done is None:
                # A busy store makes steps longer, and the rests with them.
                return SWEEP_RESTS * (time.monotonic() - began)
            say(done)
            return None

        return sweep

    def _sweep_some_documents(self, at: int) -> int | None:
        """Copies that nobody may use any more, whatever their servers say; a client that comes back is fetched anew."""
        swept = self._store.documents.sweep(before=at - KEEP_SECONDS, ended_before=at, batch=DOCUMENT_BATCH)
        return None if swept >= DOCUMENT_BATCH else swept

    def _rotate(self, at: int) -> None:
        kid = self._ring.rotate_if_due(at, every=self._periods.rotate_every)
        if kid is not None:
            _log.info("signing key rotated", extra={"kid": kid})

    def _prune_some_audit(self, at: int) -> int | None:
        pruned = self._store.audit.prune(before=at - self._periods.keep_audit, now=at, batch=PRUNE_BATCH)
        return None if pruned >= PRUNE_BATCH else pruned

    def _log_heads(self, at: int) -> None:
        until = at + HEADS_LEASE_SECONDS
        if not self._store.leases.take("audit heads", holder=self._holder, now=at, until=until):
            self._heads.forget()
        elif self._heads.is_due(at):
            heads = [(head.writer, head.sequence, head.mac) for head in self._store.audit.heads()]
            moved = self._heads.moved(heads, at)
            if moved:
                _log.info("audit heads", extra={"heads": moved})


def _say_swept(swept: Swept) -> None:
    if swept.expired or swept.removed:
        _log.info("swept", extra={"expired": swept.expired, "removed": swept.removed})


def _say_flow_swept(swept: SweptFlow) -> None:
    if swept.grants or swept.consents:
        _log.info("swept grants", extra={"grants": swept.grants, "consents": swept.consents})


def _gains(before: PolicySet, after: PolicySet) -> dict[str, object]:
    """What a change of policies gives anew, for its audit row."""
    named, more = gained(before, after)
    return {"gained": named, **({"gained_more": more} if more else {})}
