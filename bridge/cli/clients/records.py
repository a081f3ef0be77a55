"""Client records and members as commands read and show them: page by page, in the shapes of the contract."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.cli.clients.endings import never_seen
from bridge.cli.output import timestamp
from bridge.model.client import ClientKind, ClientRecord, ClientState, Member

if TYPE_CHECKING:
    from bridge.store.ports import ClientFilter, ClientStore, Waiting

PAGE = 500
# Records that one short read of the store looks at where what is wanted may be rare.
_LOOKED_AT = 10_000
MEMBER_COLUMNS = ("spiffe_id", "state", "first_seen_at", "last_used_at")
MEMBERSHIP_COLUMNS = ("client_id", "state", "first_seen_at", "last_used_at")
INSTANCE_COLUMNS = ("client_id", "state", "rule", "created_at", "last_used_at", "expires_at")
WAITING_COLUMNS = ("client_id", "subject", "rule", "waits_since")
_WITH_MEMBERS = (ClientKind.SHARED, ClientKind.METADATA_DOCUMENT)


def ends_at(record: ClientRecord, pending_expiry: int) -> int | None:
    """When a sweep ends the record if nothing happens, epoch seconds; None for never. One that waits for an
    operator ends `pending_expiry` seconds after it asked, though its idle end is later."""
    if record.state is not ClientState.PENDING:
        return record.expires_at
    waits_until = record.last_used_at + pending_expiry
    return waits_until if record.expires_at is None else min(waits_until, record.expires_at)


def record_fields(record: ClientRecord, now: int, *, pending_expiry: int) -> dict[str, object]:
    """A record in the shape of `clients list --json`. `state` is the one that holds at `now`, `expires_at` as
    `ends_at`. One that was denied before it was ever seen has had no identity and no use."""
    seen = not never_seen(record)
    return {
        "client_id": record.client_id,
        "kind": record.kind.value,
        "subject": record.subject,
        "trust_domain": record.trust_domain,
        "state": record.state_at(now).value,
        "rule": record.rule or None,
        "parent": record.parent,
        "created_at": timestamp(record.created_at),
        "last_used_at": timestamp(record.last_used_at) if seen else None,
        "expires_at": timestamp(ends_at(record, pending_expiry)),
        "identities": record.identities if seen else 0,
        "metadata": dict(record.metadata),
    }


def member_fields(member: Member) -> dict[str, object]:
    """A SPIFFE ID under a client, for programs and people."""
    return {
        "client_id": member.client_id,
        "spiffe_id": member.spiffe_id,
        "state": member.state.value,
        "first_seen_at": timestamp(member.first_seen_at),
        "last_used_at": timestamp(member.last_used_at),
    }


def no_record_fields(identity: str) -> dict[str, object]:
    """The same shape for an identity that has instances and no record of its own."""
    names = ("client_id", "kind", "subject", "trust_domain", "state", "rule", "parent")
    times = ("created_at", "last_used_at", "expires_at")
    return {**dict.fromkeys((*names, *times)), "subject": identity, "identities": 0, "metadata": {}}


def waiting_fields(waiting: Waiting, record: ClientRecord | None) -> dict[str, object]:
    """What waits for an operator, for programs and people. `record` is the client's: the name of an instance or
    of a statement's client tells nobody who asks, its subject does."""
    return {
        "client_id": waiting.client_id,
        "subject": None if record is None else record.subject,
        "rule": waiting.rule,
        "waits_since": timestamp(waiting.asked_at),
    }


def waiting_of(clients: ClientStore, client_id: str) -> Iterator[Waiting]:
    """What waits of one client. A client has few rules that ask."""
    found = clients.waiting(limit=PAGE, after=(client_id, ""))
    return itertools.takewhile(lambda waiting: waiting.client_id == client_id, found)


def live_instances(clients: ClientStore, parent: str, limit: int | None, *, now: int) -> Iterator[ClientRecord]:
    """The instances of an identity whose lease has not ended, or that wait; at most `limit` of them (None: all)."""
    from bridge.store.ports import ClientFilter

    live = (ClientState.ACTIVE, ClientState.PENDING)
    found = all_records(clients, ClientFilter(parent=parent), None, now=now)
    return itertools.islice((record for record in found if record.state_at(now) in live), limit)


def all_records(clients: ClientStore, where: ClientFilter, limit: int | None, *, now: int) -> Iterator[ClientRecord]:
    """The records that meet `where`, by client_id, at most `limit` of them (None: all).

    The store filters by the stored state. A record that idled out is stored as live until a sweep has
    seen it, so that those are judged by the clock here and join the expired ones.
    """
    wanted = where.state
    sources = [where]
    if wanted is ClientState.EXPIRED:
        sources += [replace(where, state=ClientState.ACTIVE), replace(where, state=ClientState.PENDING)]
    found = heapq.merge(*(_pages(clients, one, limit) for one in sources), key=lambda record: record.client_id)
    kept = (record for record in found if wanted is None or record.state_at(now) is wanted)
    return itertools.islice(kept, limit)


def unused_records(
    clients: ClientStore, where: ClientFilter, limit: int | None, *, since: int, now: int
) -> Iterator[ClientRecord]:
    """The records that meet `where` and had neither a token nor a registration from `since` (epoch seconds) on, those
    first that had none for longest; at most `limit` of them (None: all). None that had one is among them: the store is
    up to a minute behind, and the doubt is theirs. `state` is the one that holds now, as in `all_records`."""
    from bridge.store.ports import USE_STEP

    wanted = where.state
    stored = replace(where, state=None) if wanted is ClientState.EXPIRED else where
    found = _unused_pages(clients, stored, since - USE_STEP, PAGE if limit is None else min(PAGE, limit))
    kept = (record for record in found if wanted is None or record.state_at(now) is wanted)
    return itertools.islice(kept, limit)


def _unused_pages(clients: ClientStore, where: ClientFilter, until: int, size: int) -> Iterator[ClientRecord]:
    from bridge.store.ports import FIRST_USE

    after: tuple[int, str] | None = FIRST_USE
    while after is not None:
        part = clients.unused(where, until=until, after=after, limit=size, scan=_LOOKED_AT)
        yield from part.records
        after = part.after


def _pages(clients: ClientStore, where: ClientFilter, limit: int | None) -> Iterator[ClientRecord]:
    after = ""
    size = PAGE if limit is None else min(PAGE, limit)
    while page := clients.list(where, limit=size, after=after):
        yield from page
        after = page[-1].client_id


def all_members(clients: ClientStore, record: ClientRecord, limit: int | None) -> Iterator[Member]:
    """The SPIFFE IDs seen under a client that has members, at most `limit` of them (None: all)."""
    if record.kind not in _WITH_MEMBERS:
        return iter(())
    return itertools.islice(_member_pages(clients, record.client_id), limit)


def _member_pages(clients: ClientStore, client_id: str) -> Iterator[Member]:
    after = ""
    while page := clients.members(client_id, limit=PAGE, after=after):
        yield from page
        after = page[-1].spiffe_id


def memberships(clients: ClientStore, spiffe_id: str, limit: int | None) -> Iterator[Member]:
    """The clients that a SPIFFE ID was seen under: shared ones, and documents that it acts for; at most `limit` of
    them (None: all)."""
    return itertools.islice(_membership_pages(clients, spiffe_id), limit)


def _membership_pages(clients: ClientStore, spiffe_id: str) -> Iterator[Member]:
    after = ""
    while page := clients.memberships(spiffe_id, limit=PAGE, after=after):
        yield from page
        after = page[-1].client_id
