"""Sweeps: what time does to records, and that counts stay right whatever happens."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientRecord, ClientState
from bridge.model.errors import BridgeError, RegistrationChanged
from bridge.store.ports import ClientFilter, Store, Swept
from tests.contract.records import (
    API,
    BATCH_CLIENT,
    DAY,
    NOW,
    OTHER,
    ensure,
    event,
    instance,
    issue,
    shared,
    spiffe,
)

KEEP, PENDING = 30 * DAY, 7 * DAY


def expired(record: ClientRecord) -> AuditEvent:
    return event(AuditEventKind.EXPIRED, subject=record.subject, client_id=record.client_id)


def sweep(store: Store, now: int, *, batch: int = 100, keep_ended: int = KEEP, pending_expiry: int = PENDING) -> Swept:
    return store.clients.sweep(
        now=now, keep_ended=keep_ended, pending_expiry=pending_expiry, batch=batch, event=expired
    )


def test_idle_records_expire_with_an_event_each_and_used_ones_stay(store: Store) -> None:
    """ROFU-23, T-41."""
    ensure(store.clients, idle=100)
    used = ensure(store.clients, spiffe(OTHER), idle=100)
    issue(store.clients, used, now=NOW + 50, idle=100)
    assert sweep(store, NOW + 99) == Swept(0, 0, 0)
    assert sweep(store, NOW + 100) == Swept(1, 0, 0)
    ended, alive = store.clients.get(API), store.clients.get(OTHER)
    assert ended is not None
    assert alive is not None
    assert (ended.state, alive.state) == (ClientState.EXPIRED, ClientState.ACTIVE)
    assert ended.epoch > NOW
    rows = store.audit.rows(events=[AuditEventKind.EXPIRED])
    assert [row.event.client_id for row in rows] == [API]
    assert sweep(store, NOW + 100) == Swept(0, 0, 0)


def test_a_pending_record_expires_on_its_own_terms(store: Store) -> None:
    ensure(store.clients, spiffe(state=ClientState.PENDING))
    ensure(store.clients, spiffe(OTHER))
    assert sweep(store, NOW + PENDING - 1).expired == 0
    assert sweep(store, NOW + PENDING).expired == 1
    record = store.clients.get(API)
    assert record is not None
    assert record.state is ClientState.EXPIRED


def test_ended_records_are_forgotten_after_a_while_and_denied_ones_never(store: Store) -> None:
    for name in (API, OTHER):
        ensure(store.clients, spiffe(name), idle=100)
    ensure(store.clients, shared(), idle=100)
    store.clients.deny(OTHER, absent=None, event=event(AuditEventKind.DENIED), now=NOW)
    sweep(store, NOW + 100)
    assert sweep(store, NOW + 100 + KEEP - 1).removed == 0
    # The record, the shared client, and its one member, which goes with it or by itself.
    assert sweep(store, NOW + 100 + KEEP).removed in (2, 3)
    assert store.clients.get(API) is None
    assert store.clients.get(BATCH_CLIENT) is None
    assert store.clients.members(BATCH_CLIENT, limit=9) == []
    denied = store.clients.get(OTHER)
    assert denied is not None
    assert denied.state is ClientState.DENIED


def test_a_forgotten_record_that_comes_back_never_repeats_an_epoch(store: Store) -> None:
    """Else a token issued before would live again."""
    first = ensure(store.clients)
    for _ in range(5):
        store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
        ensure(store.clients)
    store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
    last = store.clients.get(API)
    assert last is not None
    assert sweep(store, NOW + 1, keep_ended=0).removed == 0, "its epochs are ahead of the clock"
    later = last.epoch + 1
    assert sweep(store, later, keep_ended=0).removed == 1
    back = ensure(store.clients, now=later)
    assert back.record.epoch > last.epoch
    with pytest.raises(RegistrationChanged):
        issue(store.clients, first, now=later)


def test_idle_members_expire_and_are_forgotten_while_their_client_lives(store: Store) -> None:
    ensure(store.clients, shared(), idle=100)
    other = ensure(store.clients, shared(OTHER), idle=100)
    issue(store.clients, other, now=NOW + 50, idle=100)
    assert sweep(store, NOW + 100).expired == 1
    assert store.audit.rows(newest_first=True, limit=1)[0].event.subject == API
    states = [member.state for member in store.clients.members(BATCH_CLIENT, limit=9)]
    assert states == [ClientState.EXPIRED, ClientState.ACTIVE]
    issue(store.clients, other, now=NOW + 140, idle=KEEP + 200)
    assert sweep(store, NOW + 100 + KEEP).removed == 1
    record = store.clients.get(BATCH_CLIENT)
    assert record is not None
    assert record.identities == 1
    assert ensure(store.clients, shared(), now=NOW + 101 + KEEP).created


def test_a_sweep_does_no_more_than_its_batch(store: Store) -> None:
    for number in range(5):
        ensure(store.clients, spiffe(f"{API}-{number}"), idle=100)
    assert [sweep(store, NOW + 100, batch=2).expired for _ in range(4)] == [2, 2, 1, 0]
    assert [sweep(store, NOW + DAY + KEEP, batch=3).removed for _ in range(3)] == [3, 2, 0]


def test_counts_are_those_of_the_records_after_any_history(store: Store) -> None:
    """The counts that metrics and limits read are kept, not counted; here they are counted too."""
    random_ = random.Random(7)
    names = [f"{API}-{number}" for number in range(6)]
    now = NOW
    for _ in range(400):
        now += random_.choice((0, 1, 30))
        name = random_.choice(names)
        proposed = random_.choice(
            (
                spiffe(name, state=random_.choice((ClientState.ACTIVE, ClientState.PENDING))),
                shared(name),
                instance(random_.randrange(3), parent=names[0]),
            )
        )
        verb = random_.randrange(7)
        try:
            if verb <= 2:
                ensured = ensure(store.clients, proposed, now=now, idle=100)
                issue(store.clients, ensured, now=now, idle=100)
            elif verb == 3:
                store.clients.revoke(name, event=event(AuditEventKind.REVOKED), now=now)
            elif verb == 4:
                store.clients.deny(name, absent=spiffe(name), event=event(AuditEventKind.DENIED), now=now)
            elif verb == 5:
                store.clients.undeny(name, event=event(AuditEventKind.UPDATED), now=now)
            else:
                sweep(store, now, batch=random_.choice((1, 50)), keep_ended=200, pending_expiry=50)
        except BridgeError:
            continue
    records = store.clients.list(ClientFilter(), limit=10_000)
    assert len(records) >= 5
    assert store.clients.count_by_state() == Counter((record.kind.value, record.state) for record in records)
    shared_records = [record for record in records if record.kind is ClientKind.SHARED]
    for record in shared_records:
        assert record.identities == len(store.clients.members(record.client_id, limit=100))
    assert list(store.audit.verify()) == []
