"""Instances: clients with a lease, which come and go under one identity (section 9 of the contract)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientRecord, ClientState
from bridge.model.errors import IdentityDenied, LimitReached, RegistrationChanged
from bridge.store.ports import Changed, ClientFilter, Ensured, Issue, Store, Swept
from tests.contract.records import API, IDLE, NOW, OTHER, WIDE, ensure, event, instance, issue_for, spiffe

HOUR = 3600
ONE, TWO = "instance-1", "instance-2"


def leased(store: Store, number: int = 1, *, now: int = NOW, until: int = NOW + HOUR, parent: str = API) -> Ensured:
    return ensure(store.clients, instance(number, parent=parent), now=now, lease=until)


def use(store: Store, ensured: Ensured, *, now: int, until: int | None = None, renews: bool = True) -> None:
    """Issue to an instance, as its identity."""
    store.clients.record_issue(issued(ensured, now=now, until=until, renews=renews), now=now)


def issued(ensured: Ensured, *, now: int, until: int | None = None, renews: bool = True) -> Issue:
    return replace(issue_for(ensured, now=now), subject=API, lease_until=until, renews=renews)


def stored(store: Store, client_id: str = ONE) -> ClientRecord:
    record = store.clients.get(client_id)
    assert record is not None
    return record


def sweep(store: Store, now: int, *, keep_ended: int = 30 * IDLE) -> Swept:
    def expired(record: ClientRecord) -> AuditEvent:
        return event(AuditEventKind.EXPIRED, subject=record.subject, client_id=record.client_id)

    return store.clients.sweep(now=now, keep_ended=keep_ended, pending_expiry=IDLE, batch=100, event=expired)


# --- leases


def test_an_instance_ends_with_its_lease_and_another_record_when_it_idles_out(store: Store) -> None:
    assert leased(store).record.expires_at == NOW + HOUR
    assert ensure(store.clients).record.expires_at == NOW + IDLE
    assert stored(store).parent == API


@pytest.mark.parametrize(
    ("until", "renews", "end"),
    [
        pytest.param(NOW + 2 * HOUR, True, NOW + 2 * HOUR, id="a fresh credential that lives longer renews it"),
        pytest.param(NOW + HOUR + 1, True, NOW + HOUR + 1, id="by as little as it lives longer"),
        pytest.param(NOW + HOUR - 1, True, NOW + HOUR, id="one that lives shorter leaves it"),
        pytest.param(NOW + 2 * HOUR, False, NOW + HOUR, id="the instance's own key does not renew it"),
        pytest.param(None, False, NOW + HOUR, id="nor does it give the idle expiry of other clients"),
    ],
)
def test_a_use_moves_the_end_of_a_lease_only_forwards(store: Store, until: int | None, renews: bool, end: int) -> None:
    one = leased(store)
    use(store, one, now=NOW + 100, until=until, renews=renews)
    record = stored(store)
    assert (record.expires_at, record.last_used_at) == (end, NOW + 100)


def test_of_several_uses_in_one_commit_the_longest_lease_holds(store: Store) -> None:
    one = leased(store)
    ends = (NOW + 2 * HOUR, NOW + 3 * HOUR, NOW + 2 * HOUR, NOW + 9 * HOUR)
    writes = [
        store.clients.begin_issue(issued(one, now=NOW + second, until=end, renews=end < NOW + 9 * HOUR), now=NOW + 61)
        for second, end in enumerate(ends)
    ]
    for write in writes:
        write.result()
    record = stored(store)
    assert (record.expires_at, record.last_used_at) == (NOW + 3 * HOUR, NOW + 61)


@pytest.mark.parametrize(("now", "alive"), [(NOW + HOUR - 1, True), (NOW + HOUR, False)])
def test_a_token_is_issued_within_the_lease_and_not_behind_it(store: Store, now: int, alive: bool) -> None:
    """Swept or not; with a fresh credential too, which has to register the instance again."""
    one = leased(store)
    if alive:
        use(store, one, now=now, until=NOW + 2 * HOUR)
    else:
        with pytest.raises(RegistrationChanged):
            use(store, one, now=now, until=NOW + 2 * HOUR)


def test_a_sweep_never_ends_a_live_lease(store: Store) -> None:
    """T-41: one that a use has just renewed stays, one that nobody renewed goes."""
    one = leased(store)
    leased(store, 2)
    use(store, one, now=NOW + HOUR - 1, until=NOW + 2 * HOUR)
    assert sweep(store, NOW + HOUR - 1) == Swept(0, 0, 0)
    assert sweep(store, NOW + HOUR) == Swept(1, 0, 0)
    assert (stored(store).state, stored(store, TWO).state) == (ClientState.ACTIVE, ClientState.EXPIRED)
    use(store, one, now=NOW + HOUR, until=NOW + 2 * HOUR)
    rows = store.audit.rows(events=[AuditEventKind.EXPIRED])
    assert [row.event.client_id for row in rows] == [TWO]


@pytest.mark.parametrize("swept", [False, True], ids=["not swept", "swept"])
def test_the_same_instance_comes_back_as_the_same_client_under_a_new_epoch(store: Store, swept: bool) -> None:
    """ROFU-5, ROFU-23, T-23."""
    first, later = leased(store), NOW + 2 * HOUR
    if swept:
        sweep(store, later)
    back = leased(store, now=later, until=later + HOUR)
    assert back.created
    assert (back.record.client_id, back.record.parent) == (first.record.client_id, API)
    assert back.record.epoch > first.record.epoch
    assert back.record.expires_at == later + HOUR
    use(store, back, now=later, until=later + HOUR)
    with pytest.raises(RegistrationChanged):
        use(store, first, now=later, until=later + HOUR)


def test_another_instance_is_another_client_and_the_old_one_goes_when_its_lease_ends(store: Store) -> None:
    leased(store)
    assert leased(store, 2, now=NOW + 10, until=NOW + 3 * HOUR).created
    sweep(store, NOW + HOUR)
    states = [record.state for record in store.clients.list(ClientFilter(parent=API), limit=9)]
    assert states == [ClientState.EXPIRED, ClientState.ACTIVE]


def test_an_instance_that_waits_for_an_operator_has_no_lease_yet(store: Store) -> None:
    """ROFU-12: else it would be gone before anybody could approve it. Approved, it has an hour to come back."""
    waits = instance(1, state=ClientState.PENDING)
    assert ensure(store.clients, waits, lease=NOW + 300).record.expires_at == NOW + IDLE
    store.clients.await_approval(ONE, rule="web", digest="terms", now=NOW)
    later = NOW + 10 * HOUR
    changed = store.clients.approve(ONE, note="", event=event(AuditEventKind.APPROVED), now=later)
    assert changed == Changed(client_ids=(ONE,))
    assert (stored(store).state, stored(store).expires_at) == (ClientState.ACTIVE, later + HOUR)
    back = ensure(store.clients, waits, now=later + 60, lease=later + 360)
    assert not back.created
    assert store.clients.find(ONE, subject=API, terms=("web", "terms")).approved
    use(store, back, now=later + HOUR - 1, until=later + 2 * HOUR)
    assert stored(store).expires_at == later + 2 * HOUR


# --- limits


def test_only_live_leases_count_against_the_limit(store: Store) -> None:
    """ROFU-28: an ended one makes room before any sweep, and others have limits of their own."""
    two = replace(WIDE, instances=2)
    ensure(store.clients, limits=two)
    for number, until in ((1, NOW + 100), (2, NOW + 200)):
        ensure(store.clients, instance(number), limits=two, lease=until)
    with pytest.raises(LimitReached) as refusal:
        ensure(store.clients, instance(3), limits=two, lease=NOW + HOUR)
    assert (refusal.value.limit, refusal.value.retry_after) == ("instances_per_identity", 100)
    assert store.clients.get("instance-3") is None
    with pytest.raises(LimitReached) as refusal:
        ensure(store.clients, instance(3, parent=OTHER), limits=replace(WIDE, instances=0), lease=NOW + HOUR)
    assert (refusal.value.limit, refusal.value.retry_after) == ("instances_per_identity", 60)
    assert ensure(store.clients, instance(4, parent=OTHER), limits=two, lease=NOW + HOUR).created
    assert not ensure(store.clients, instance(1), limits=two, lease=NOW + HOUR).created, "it is known, and lives"
    assert ensure(store.clients, instance(3), now=NOW + 100, limits=two, lease=NOW + HOUR).created
    with pytest.raises(LimitReached):
        ensure(store.clients, instance(1), now=NOW + 100, limits=two, lease=NOW + HOUR)
    store.clients.revoke("instance-3", event=event(AuditEventKind.REVOKED), now=NOW + 100)
    assert ensure(store.clients, instance(1), now=NOW + 100, limits=two, lease=NOW + HOUR).created


def test_nobody_is_told_to_wait_for_a_month(store: Store) -> None:
    """The only one that holds the room waits for an operator, who may answer today."""
    one = replace(WIDE, instances=1)
    ensure(store.clients, instance(1, state=ClientState.PENDING), limits=one, lease=NOW + 300)
    with pytest.raises(LimitReached) as refusal:
        ensure(store.clients, instance(2), limits=one, lease=NOW + 300)
    assert (refusal.value.limit, refusal.value.retry_after) == ("instances_per_identity", HOUR)


def test_new_instances_of_one_identity_have_a_bucket_that_fills_by_the_minute(store: Store) -> None:
    slow = replace(WIDE, instances=2, identity_per_minute=6)
    for number in (1, 2):
        ensure(store.clients, instance(number), limits=slow, lease=NOW + 1)
    with pytest.raises(LimitReached) as refusal:
        ensure(store.clients, instance(3), now=NOW + 1, limits=slow, lease=NOW + 2)
    assert (refusal.value.limit, refusal.value.retry_after) == ("identity_registrations_per_minute", 9)
    assert ensure(store.clients, instance(1), now=NOW + 1, limits=slow, lease=NOW + 2).created, "a known one"
    assert ensure(store.clients, instance(9, parent=OTHER), now=NOW + 1, limits=slow, lease=NOW + 2).created
    with pytest.raises(LimitReached):
        ensure(store.clients, instance(3), now=NOW + 9, limits=slow, lease=NOW + 11)
    assert ensure(store.clients, instance(3), now=NOW + 10, limits=slow, lease=NOW + 11).created


# --- endings


def test_revoking_an_identity_ends_its_instances_and_one_instance_only_itself(store: Store) -> None:
    """ROFU-25: the twin is still alive."""
    one, two = leased(store), leased(store, 2)
    revoked = event(AuditEventKind.REVOKED)
    assert store.clients.revoke(ONE, event=revoked, now=NOW) == Changed(client_ids=(ONE,))
    with pytest.raises(RegistrationChanged):
        use(store, one, now=NOW, until=NOW + HOUR)
    use(store, two, now=NOW, until=NOW + HOUR)
    assert store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW) == Changed(client_ids=(TWO,))
    with pytest.raises(RegistrationChanged):
        use(store, two, now=NOW, until=NOW + HOUR)
    assert leased(store).created, "a revoked instance may return"


@pytest.mark.parametrize("target", [API, ONE])
def test_a_tombstone_of_the_identity_or_of_the_instance_covers(store: Store, target: str) -> None:
    """ROFU-24: at every door, for an instance that ended before, too; the other identity's goes on."""
    one, other = leased(store), leased(store, 3, parent=OTHER)
    ended = leased(store, 2, until=NOW + 1)
    store.clients.deny(target, absent=spiffe(target), event=event(AuditEventKind.DENIED), now=NOW + 1)
    assert store.clients.find(ONE, subject=API).denied
    assert store.clients.find(ONE, subject=ONE).denied
    assert store.clients.find(TWO, subject=TWO).denied == (target == API)
    for proposed in (instance(1), *([instance(2), instance(4)] if target == API else [])):
        with pytest.raises(IdentityDenied):
            ensure(store.clients, proposed, now=NOW + 1, lease=NOW + HOUR)
    for known in (one, ended):
        with pytest.raises(RegistrationChanged):
            use(store, known, now=NOW + 1, until=NOW + HOUR)
    store.clients.record_issue(replace(issued(other, now=NOW + 1, until=None), subject=OTHER), now=NOW + 1)
    assert store.clients.undeny(target, event=event(AuditEventKind.UPDATED), now=NOW + 1)
    assert leased(store, now=NOW + 2, until=NOW + HOUR).created


def test_instances_that_ended_by_themselves_are_not_touched_again(store: Store) -> None:
    """Where instances come and go by the thousand, a revocation costs what is alive."""
    leased(store, 1, until=NOW + 1)
    sweep(store, NOW + 1)
    leased(store, 2)
    before = stored(store)
    assert store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW + 2) == Changed(client_ids=(TWO,))
    assert stored(store) == before
