"""What rests on an authority of a trust domain that is trusted no more: found out for an operator, and ended.

A token outlives the trust in whoever vouched for its client, and so does an instance's lease, or a refresh token. The
clients themselves are not ended: what other authorities vouched for stays alive, and so do approvals, which no
credential brought.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeVar

from bridge.model.audit import AuditEvent
from bridge.model.authority import Authority
from bridge.registration.vouching import Question, Resting, Undecided
from bridge.store.ports import RestingGrant, RestingLease, RestingStore, RestingToken

# So many records are read at once, and so many end in one transaction: live requests wait for it no longer than for
# a sweep.
PAGE, BATCH = 1000, 200

T = TypeVar("T")
R = TypeVar("R", bound=Resting)
# None: nobody can say on which authority it rests.
Judged = tuple[Authority | None, R]
MakeEvent = Callable[[Authority, Resting], AuditEvent]


@dataclass(slots=True)
class Share:
    """How much rests on something. Epoch seconds; None where there is no token."""

    tokens: int = 0
    grants: int = 0
    leases: int = 0
    last_issued_at: int | None = None
    tokens_end_at: int | None = None

    def __bool__(self) -> bool:
        return bool(self.tokens or self.grants or self.leases)

    def add(self, one: Resting) -> None:
        """Count one more."""
        match one:
            case RestingToken():
                self.tokens += 1
                self.last_issued_at = max(self.last_issued_at or 0, one.issued_at)
                self.tokens_end_at = max(self.tokens_end_at or 0, one.expires_at)
            case RestingGrant():
                self.grants += 1
            case RestingLease():
                self.leases += 1

    def merge(self, other: Share) -> None:
        """Count all of another one, too."""
        self.tokens += other.tokens
        self.grants += other.grants
        self.leases += other.leases
        self.last_issued_at = max(self.last_issued_at or 0, other.last_issued_at or 0) or None
        self.tokens_end_at = max(self.tokens_end_at or 0, other.tokens_end_at or 0) or None


@dataclass(slots=True)
class Impact:
    """All that was found: by authority, client and identity, and what nobody can decide about."""

    clients: dict[tuple[Authority, str, str], Share] = field(default_factory=dict)
    undecided: Share = field(default_factory=Share)

    def add(self, authority: Authority | None, one: Resting) -> None:
        """Count one more."""
        if authority is None:
            self.undecided.add(one)
        else:
            self.clients.setdefault((authority, one.client_id, one.subject), Share()).add(one)

    def keep(self, authorities: frozenset[Authority]) -> None:
        """Forget what rests on others."""
        self.clients = {key: share for key, share in self.clients.items() if key[0] in authorities}

    def by_authority(self) -> dict[Authority, tuple[int, Share]]:
        """Of each authority how many clients, and how much in all."""
        totals: dict[Authority, tuple[set[str], Share]] = {}
        for (authority, client_id, _), share in self.clients.items():
            clients, total = totals.setdefault(authority, (set(), Share()))
            clients.add(client_id)
            total.merge(share)
        return {authority: (len(clients), total) for authority, (clients, total) in totals.items()}

    def total(self) -> Share:
        """How much in all, without what is undecided."""
        whole = Share()
        for share in self.clients.values():
            whole.merge(share)
        return whole


@dataclass(frozen=True, slots=True)
class Ended:
    """How many were ended; a second run over the same ends none."""

    tokens: int
    grants: int
    leases: int


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look. `since` (epoch seconds): what was issued before has expired; `longest` (seconds): the life of a
    token whose row does not say it. `looked_at` hears how many rows and records were, each time that some more were.
    `met` fills with the authorities asked about that were met, be all that rests on them ended."""

    store: RestingStore
    trust_domain: str
    since: int
    longest: int
    looked_at: Callable[[int], None] = lambda more: None
    met: set[Authority] = field(default_factory=set)

    def gather(self, question: Question, *, now: int) -> Impact:
        """Everything alive that rests on the authorities asked about. Takes memory for each client that is met, not for
        each token."""
        impact = Impact()
        found: Iterable[Judged[Resting]] = chain(
            self.tokens(question, now=now), self.grants(question, now=now), self.leases(question, now=now)
        )
        for authority, one in found:
            impact.add(authority, one)
        return impact

    def end(self, question: Question, event: MakeEvent, *, now: int) -> Ended:
        """End all that rests on the authorities asked about, in small transactions and with an event each: beside a
        running service, as often as one likes.

        Not ended: what is undecided; what is issued behind this search, which there is as long as some worker still
        trusts the authority. Another run meets it.
        """
        store = self.store
        tokens = sum(
            store.end_tokens(_with_events(batch, event), now=now)
            for batch in _batches(_decided(self.tokens(question, now=now)))
        )
        grants = sum(
            store.end_grants(_with_events(batch, event), now=now)
            for batch in _batches(_decided(self.grants(question, now=now)))
        )
        # Last: whoever has the key of an instance may come until its lease is over, and the end of that takes with it
        # what was issued meanwhile.
        leases = sum(
            store.end_leases(_with_events(batch, event), now=now)
            for batch in _batches(_decided(self.leases(question, now=now)))
        )
        return Ended(tokens, grants, leases)

    def tokens(self, question: Question, *, now: int) -> Iterator[Judged[RestingToken]]:
        """Each token alive that rests on the authorities asked about, or may, in the order of issue."""
        after: int | None = None
        while True:
            page = self.store.tokens(self.trust_domain, since=self.since, longest=self.longest, now=now, after=after)
            self.looked_at(page.looked_at)
            judged = list(self._judged(question, page.tokens))
            alive = {token.jti for token in self.store.alive([token for _, token in judged], now=now)}
            yield from (one for one in judged if one[1].jti in alive)
            if page.after is None:
                return
            after = page.after

    def grants(self, question: Question, *, now: int) -> Iterator[Judged[RestingGrant]]:
        """Each open grant that rests on the authorities asked about, or may."""
        after = ""
        while grants := self.store.grants(self.trust_domain, now=now, limit=PAGE, after=after):
            self.looked_at(len(grants))
            yield from self._judged(question, grants)
            after = grants[-1].grant_id

    def leases(self, question: Question, *, now: int) -> Iterator[Judged[RestingLease]]:
        """Each live instance whose lease rests on the authorities asked about, or may."""
        after = ""
        while leases := self.store.leases(self.trust_domain, now=now, limit=PAGE, after=after):
            self.looked_at(len(leases))
            yield from self._judged(question, leases)
            after = leases[-1].client_id

    def _judged(self, question: Question, found: Iterable[R]) -> Iterator[Judged[R]]:
        for one in found:
            try:
                authority = question.of(one)
            except Undecided:
                yield None, one
                continue
            if authority is not None:
                self.met.add(authority)
                yield authority, one


def _decided(judged: Iterable[Judged[R]]) -> Iterator[tuple[Authority, R]]:
    return ((authority, one) for authority, one in judged if authority is not None)


def _with_events(batch: Iterable[tuple[Authority, R]], event: MakeEvent) -> list[tuple[R, AuditEvent]]:
    return [(one, event(authority, one)) for authority, one in batch]


def _batches(found: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(found, BATCH)):
        yield batch
