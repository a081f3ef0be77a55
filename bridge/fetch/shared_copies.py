"""Copies of one kind of document, shared by all workers: found fresh, asked for again, or made do with when nobody
answers (RFC 9111; CIMD-14 to 16).

Of all threads of all processes one asks a URL, by a right in the store that ends by itself. Whatever is waited for
here is waited for within the share of threads that fetches have (interface section 9).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Generic, Protocol, TypeVar

from bridge.fetch.deadline import Clock
from bridge.fetch.exchange import Fetched
from bridge.fetch.failures import FetchDelayed, NetworkFailure, again
from bridge.fetch.fetcher import Fetcher, Purpose
from bridge.fetch.flights import Flights
from bridge.fetch.freshness import Freshness, freshness
from bridge.fetch.held_copies import (
    CLOCK_TOLERANCE,
    Held,
    HeldCopies,
    is_fresh,
    may_serve_meanwhile,
    may_stand_in,
    was_confirmed,
)
from bridge.model.document import DocumentCopy, DocumentKind, FoundDocument, StoredDocument
from bridge.model.errors import EvidenceRejected

T = TypeVar("T")

# A fetch ends within five; whoever died with the right to ask keeps it no longer.
RIGHT_SECONDS = 7
# So long another process's fetch is waited for. If it brings nothing and took long, nobody tries once more in vain
# while the client still waits.
PATIENCE_SECONDS = 6.0
TAKE_OVER_SECONDS = 1.0
POLL_SECONDS = 0.05
# An unknown `kid`, which anybody can write, has a URL asked at most so often; a server that gave no answer while
# there is an older copy is left alone for as long.
REST_SECONDS = 5
# What a refusal says in the log of where it happened; the client's own URL stands beside it.
_WHERE = {DocumentKind.DOCUMENT: "", DocumentKind.JWKS: "at jwks_uri, "}


class CopyStore(Protocol):
    """Where the copies are, and the rights to ask; see `store.ports.DocumentStore`."""

    def find(self, kind: DocumentKind, url: str) -> FoundDocument: ...
    def begin(self, kind: DocumentKind, url: str, *, holder: str, now: int, until: int) -> bool: ...
    def keep(self, copy: DocumentCopy, *, holder: str) -> bool: ...
    def drop(self, copy: DocumentCopy, *, holder: str) -> None: ...
    def release(self, kind: DocumentKind, url: str, *, holder: str, until: int | None = None) -> None: ...


class CacheOutcome(StrEnum):
    """How a question was answered. Values are metric labels. UNKEPT: fetched, and the store had no room for it."""

    HIT = "hit"
    FETCHED = "fetched"
    UNKEPT = "unkept"
    REVALIDATED = "revalidated"
    STALE = "stale"
    REFUSED = "refused"
    FAILED = "failed"


CacheObserver = Callable[[DocumentKind, CacheOutcome], None]
_Answer = tuple[CacheOutcome, StoredDocument[T]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for. `pay` is called, with the time, before a URL is asked of which there is no copy; it may
    raise. `ask_again`: a copy will not do unless its server confirmed it within five seconds."""

    url: str
    now: int
    pay: Callable[[int], None]
    ask_again: bool = False


class SharedCopies(Generic[T]):
    """The documents of one kind. Thread-safe."""

    def __init__(
        self,
        kind: DocumentKind,
        fetcher: Fetcher,
        store: CopyStore,
        *,
        purpose: Purpose,
        read: Callable[[bytes, str], T],
        holder: str,
        observe: CacheObserver,
        clock: Clock = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`read` is the check of a body that came from a URL: it raises EvidenceRejected, and depends on nothing
        else. `holder` is this process. `clock` and `pause` are for waiting alone."""
        self._kind, self._fetcher, self._store, self._purpose = kind, fetcher, store, purpose
        self._read, self._holder, self._observe = read, holder, observe
        self._clock, self._pause = clock, pause
        self._held: HeldCopies[T] = HeldCopies()
        self._flights: Flights[_Answer[T]] = Flights(clock=clock)

    def get(self, question: Question) -> StoredDocument[T]:
        """The document as it may be used now. Raises: as `ClientDocuments.document`, and what `pay` raises."""
        try:
            outcome, document = self._get(question)
        except EvidenceRejected as failure:
            self._observe(self._kind, CacheOutcome.REFUSED)
            raise again(failure, _WHERE[self._kind]) from failure
        except (NetworkFailure, FetchDelayed) as failure:
            self._observe(self._kind, CacheOutcome.FAILED)
            raise again(failure, _WHERE[self._kind]) from failure
        self._observe(self._kind, outcome)
        return document

    def _get(self, question: Question) -> _Answer[T]:
        url, now = question.url, question.now
        held = self._held.get(url)
        if held is not None and held.needs_no_look(now) and _answers(held.copy, question, now):
            return CacheOutcome.HIT, held.document
        found = self._store.find(self._kind, url)
        held = self._take_up(found, held, url, now)
        if held is not None and _answers(held.copy, question, now):
            return CacheOutcome.HIT, held.document
        stands_in = held if held is not None and not question.ask_again and may_stand_in(held.copy, now) else None
        if _is_taken(found, now):
            if stands_in is not None and (found.rests or may_serve_meanwhile(stands_in.copy, now)):
                return CacheOutcome.STALE, stands_in.document
            if found.rests:
                raise FetchDelayed("the server gave no answer a moment ago", retry_after=found.asked_until - now)
        try:
            with self._fetcher.threads.waiting(is_new=held is None):
                return self._flights.run(
                    (url, question.ask_again),
                    lambda: self._ask_in_turn(question, found, held),
                    patience=PATIENCE_SECONDS + TAKE_OVER_SECONDS,
                )
        except (NetworkFailure, FetchDelayed):
            if stands_in is None:
                raise
            return CacheOutcome.STALE, stands_in.document

    def _take_up(self, found: FoundDocument, held: Held[T] | None, url: str, now: int) -> Held[T] | None:
        """What the store has, parsed unless it is what this process has parsed before."""
        copy = found.copy
        if copy is None:
            # Dropped or swept since, unless it never was there.
            return held if held is not None and held.looked_at is None else None
        if held is not None and held.copy.digest == copy.digest:
            value = held.document.value
        else:
            try:
                value = self._read(copy.body, url)
            except EvidenceRejected:
                # An older release thought otherwise of it.
                return None
        taken = Held(copy, _document(copy, value), now)
        self._held.put(url, taken)
        return taken

    # --- who asks -------------------------------------------------------------------------------

    def _ask_in_turn(self, question: Question, found: FoundDocument, held: Held[T] | None) -> _Answer[T]:
        """Ask as soon as nobody else does, unless what another process is told is the answer."""
        began, url, paid = self._clock(), question.url, False
        while True:
            waited = self._clock() - began
            at = question.now + int(waited)
            if not _is_taken(found, at):
                if waited >= TAKE_OVER_SECONDS:
                    raise FetchDelayed("the process that asked got no answer", retry_after=1)
                if found.copy is None and held is None and not paid:
                    question.pay(at)
                    paid = True
                if self._store.begin(self._kind, url, holder=self._holder, now=at, until=at + RIGHT_SECONDS):
                    return self._ask_unless_told(question, held, at)
            elif found.rests or waited >= PATIENCE_SECONDS:
                raise FetchDelayed("another process asks and has no answer", retry_after=max(1, found.asked_until - at))
            self._pause(POLL_SECONDS)
            found = self._store.find(self._kind, url)
            held = self._take_up(found, held, url, at)
            if held is not None and _answers(held.copy, question, at):
                return CacheOutcome.HIT, held.document

    def _ask_unless_told(self, question: Question, held: Held[T] | None, at: int) -> _Answer[T]:
        """With the right to ask. Who had it before may have been told between this one's look and its turn."""
        held = self._take_up(self._store.find(self._kind, question.url), held, question.url, at)
        if held is not None and _answers(held.copy, question, at):
            self._store.release(self._kind, question.url, holder=self._holder)
            return CacheOutcome.HIT, held.document
        return self._ask(question.url, held, at)

    # --- asking ---------------------------------------------------------------------------------

    def _ask(self, url: str, held: Held[T] | None, at: int) -> _Answer[T]:
        """Ask the server, and give the right back with what it said. A defect leaves the right to end by itself."""
        etag = held.copy.etag or None if held is not None else None
        try:
            # This thread has its place among those that wait already.
            fetched = self._fetcher.get(url, purpose=self._purpose, etag=etag, in_request=False)
            answer, life = self._judge(url, fetched, held, at)
        except EvidenceRejected:
            # Its server says that there is no such document: an older one is not what the client wants to be now.
            self._forget(url, held)
            raise
        except (NetworkFailure, FetchDelayed):
            # Without a copy nothing is remembered of the failure, not even that there was one (CIMD-14).
            rest = None if held is None else at + REST_SECONDS
            self._store.release(self._kind, url, holder=self._holder, until=rest)
            raise
        outcome = CacheOutcome.REVALIDATED if fetched.status == 304 else CacheOutcome.FETCHED
        if not life.may_store:
            self._forget(url, held)
        elif self._store.keep(answer.copy, holder=self._holder):
            self._held.put(url, answer)
        else:
            outcome = CacheOutcome.UNKEPT
            self._held.put(url, replace(answer, looked_at=None))
        return outcome, answer.document

    def _judge(self, url: str, fetched: Fetched, held: Held[T] | None, at: int) -> tuple[Held[T], Freshness]:
        """What the answer makes of the copy. Raises: EvidenceRejected."""
        life = freshness(fetched.headers, now=at)
        if fetched.status == 304 and held is not None:
            # RFC 9111 section 4.3.4. The validator stays the one that this very body came with.
            life = _as_before(held.copy, life, fetched, at)
            body, digest, value, etag = held.copy.body, held.copy.digest, held.document.value, held.copy.etag
        else:
            body, value, etag = fetched.body, self._read(fetched.body, url), fetched.etag or ""
            digest = sha256(body).hexdigest()
        copy = DocumentCopy(self._kind, url, body, digest, etag, at, life.fresh_until, life.must_revalidate)
        return Held(copy, _document(copy, value), at), life

    def _forget(self, url: str, held: Held[T] | None) -> None:
        self._held.drop(url)
        if held is None:
            self._store.release(self._kind, url, holder=self._holder)
        else:
            self._store.drop(held.copy, holder=self._holder)


def _document(copy: DocumentCopy, value: T) -> StoredDocument[T]:
    return StoredDocument(copy.url, copy.body, copy.digest, copy.fetched_at, value)


def _answers(copy: DocumentCopy, question: Question, now: int) -> bool:
    """Whether there is nothing to ask."""
    return was_confirmed(copy, now, within=REST_SECONDS) if question.ask_again else is_fresh(copy, now)


def _is_taken(found: FoundDocument, now: int) -> bool:
    """Whether nobody else may ask now. A right that ends too late is from a clock that was set back since (F-5)."""
    return now < found.asked_until <= now + RIGHT_SECONDS + CLOCK_TOLERANCE


def _as_before(copy: DocumentCopy, life: Freshness, fetched: Fetched, at: int) -> Freshness:
    """Where a 304 says nothing of the time that the document holds, it holds as long again as it did."""
    if "cache-control" in fetched.headers:
        return life
    if "expires" in fetched.headers:
        return replace(life, must_revalidate=copy.must_revalidate)
    return Freshness(at + copy.fresh_until - copy.fetched_at, copy.must_revalidate, True)
