"""What a registration takes of the limits, and whether it is there (ROFU-28, DCR-22, T-41).

Everything is looked at before anything is taken, so that a refused registration leaves every bucket as it
was. Limits are for new things: a record that comes back spends no token, but needs room like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.model.client import ClientKind, ClientState, ProposedClient
from bridge.model.errors import LimitReached
from bridge.store import statements as sql
from bridge.store.connections import Row
from bridge.store.exhausted import Exhausted
from bridge.store.limits import LONGEST_WAIT, SOME_TIME, Bucket, Rate, Room
from bridge.store.ports import RegistrationLimits
from bridge.store.transaction import Transaction

# As configuration and refusals name them.
RECORDS = "records_per_trust_domain"
PENDING = "pending_per_trust_domain"
INSTANCES = "instances_per_identity"
REGISTRATIONS = "registrations_per_second"
OF_RULE = "rule_registrations_per_second"
OF_IDENTITY = "identity_registrations_per_minute"

Query = Callable[[str, Sequence[object]], list[Row]]


class Books(Protocol):
    """Where it stands how much of the limits is used: a transaction, or whoever only reads."""

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]: ...
    def room(self, quota: str) -> Room: ...
    def bucket(self, rate: Rate) -> Bucket: ...


@dataclass(frozen=True, slots=True)
class Count:
    """A number of live things that may not be reached: `limit` is its name, `key` whose it is."""

    limit: str
    key: str
    most: int


@dataclass(frozen=True, slots=True)
class Need:
    """What one registration needs: room under `counts`, and one token of each of `rates`."""

    quota: str
    counts: tuple[Count, ...]
    rates: tuple[Rate, ...]


def need_of(
    proposed: ProposedClient,
    limits: RegistrationLimits,
    *,
    quota: str,
    stored: ClientState | None,
    is_live: bool,
    is_new: bool,
) -> Need:
    """What `proposed` needs. `stored`: the state that the record has in the store, None where there is none;
    `is_live`: whether it lives by the clock, too; `is_new`: whether the identity was never seen under it."""
    counts, rates = [], []
    # A record that idled out but was not swept yet is still counted among the live ones.
    if stored not in (ClientState.ACTIVE, ClientState.PENDING):
        counts.append(Count(RECORDS, quota, limits.records))
    if proposed.state is ClientState.PENDING and stored is not ClientState.PENDING and not is_live:
        counts.append(Count(PENDING, quota, limits.pending))
    leased = proposed.kind is ClientKind.INSTANCE and proposed.parent is not None
    if leased and not is_live:
        counts.append(Count(INSTANCES, proposed.parent or "", limits.instances))
    if is_new:
        rates.append(Rate(REGISTRATIONS, quota, limits.per_second * 60, limits.burst))
        rates.append(Rate(OF_RULE, proposed.rule, limits.rule_per_second * 60, limits.rule_burst))
        if leased:
            rates.append(Rate(OF_IDENTITY, proposed.parent or "", limits.identity_per_minute, limits.instances))
    return Need(quota, tuple(counts), tuple(rates))


def require(books: Books, need: Need, *, now: int) -> None:
    """Raises: LimitReached. Takes nothing."""
    for count in need.counts:
        _require_room(count, books.rows, books.room(need.quota), now)
    for rate in need.rates:
        wait = books.bucket(rate).wait(rate, now)
        if wait:
            raise LimitReached(rate.limit, wait)


def spend(tx: Transaction, need: Need, *, now: int) -> None:
    """Take what `require` found to be there."""
    for rate in need.rates:
        tx.spend(rate, now=now)


def refuse_again(exhausted: Exhausted, need: Need, query: Query, *, now: int) -> None:
    """Refuse without the writer what it refused a moment ago, as far as that is still right.

    `query` reads one snapshot of the store. Raises: LimitReached.
    """
    for count in need.counts:
        if exhausted.was_full(count.limit, count.key):
            _require_room(count, query, Room(*query(sql.ROOM, (need.quota,))[0]), now)
            exhausted.note_room(count.limit, count.key)
    for rate in need.rates:
        wait = exhausted.wait(rate, now=now)
        if wait:
            raise LimitReached(rate.limit, wait)


def remember(exhausted: Exhausted, need: Need, refusal: LimitReached, *, now: int) -> None:
    """Keep in mind what the writer refused."""
    for rate in need.rates:
        if rate.limit == refusal.limit:
            exhausted.note_dry(rate, now=now, wait=refusal.retry_after)
    for count in need.counts:
        if count.limit == refusal.limit:
            exhausted.note_full(count.limit, count.key)


def _require_room(count: Count, query: Query, room: Room, now: int) -> None:
    if count.limit == INSTANCES:
        held, next_end = query(sql.LEASES, (count.key, now, max(1, count.most)))[0]
        if held >= count.most:
            # There may be room before: when an operator ends one, or one that waits is answered.
            raise LimitReached(count.limit, SOME_TIME if next_end is None else min(next_end - now, LONGEST_WAIT))
    elif (room.live if count.limit == RECORDS else room.pending) >= count.most:
        raise LimitReached(count.limit, SOME_TIME)
