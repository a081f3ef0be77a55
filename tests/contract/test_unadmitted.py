"""Ending what a recheck found: single records and members, each only as it was seen."""

from __future__ import annotations

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState
from bridge.model.errors import RegistrationChanged
from bridge.store.ports import Ensured, Stale, Store
from tests.contract.records import API, BATCH_CLIENT, NOW, OTHER, ensure, event, instance, issue, shared, spiffe


def seen(found: Ensured) -> Stale:
    member = found.member
    return Stale(
        found.record.client_id,
        found.record.epoch if member is None else member.epoch,
        event(AuditEventKind.REVOKED, outcome="recheck", client_id=found.record.client_id),
        None if member is None else member.spiffe_id,
    )


def states(store: Store, *client_ids: str) -> list[str]:
    found = [store.clients.get(client_id) for client_id in client_ids]
    return ["none" if record is None else record.state.value for record in found]


def rechecks(store: Store) -> list[str]:
    return [row.event.client_id for row in store.audit.rows() if row.event.outcome == "recheck"]


def test_each_ends_with_a_row_of_its_own_and_nothing_beside_it(store: Store) -> None:
    """An identity's own record can end while its instances stay, and the other way round."""
    own, one = ensure(store.clients), ensure(store.clients, instance(1))
    ensure(store.clients, instance(2))
    ended = store.clients.end_as_seen([seen(own), seen(one)], now=NOW)
    assert [stale.client_id for stale in ended] == [API, "instance-1"]
    assert states(store, API, "instance-1", "instance-2") == ["revoked", "revoked", "active"]
    assert rechecks(store) == [API, "instance-1"]
    with pytest.raises(RegistrationChanged):
        issue(store.clients, own)


def test_who_comes_back_is_registered_anew_rofu_25(store: Store) -> None:
    before = ensure(store.clients)
    store.clients.end_as_seen([seen(before)], now=NOW)
    after = ensure(store.clients)
    assert after.created
    assert after.record.epoch > before.record.epoch
    issue(store.clients, after)


def test_who_came_back_in_between_is_left_alone_t_40(store: Store) -> None:
    before = ensure(store.clients)
    store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
    after = ensure(store.clients)
    assert store.clients.end_as_seen([seen(before)], now=NOW) == ()
    assert states(store, API) == ["active"]
    issue(store.clients, after)
    assert store.clients.end_as_seen([seen(after)], now=NOW) != ()


@pytest.mark.parametrize("verb", ["revoke", "deny"])
def test_who_was_ended_in_between_stays_as_it_is(store: Store, verb: str) -> None:
    before, other = ensure(store.clients), ensure(store.clients, spiffe(OTHER))
    if verb == "revoke":
        store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
    else:
        store.clients.deny(API, absent=None, event=event(AuditEventKind.DENIED), now=NOW)
    ended = store.clients.end_as_seen([seen(before), seen(other)], now=NOW)
    assert [stale.client_id for stale in ended] == [OTHER]
    assert states(store, API) == ["revoked" if verb == "revoke" else "denied"]
    assert rechecks(store) == [OTHER]


def test_one_member_ends_alone_and_only_as_it_was_seen(store: Store) -> None:
    one, other = ensure(store.clients, shared()), ensure(store.clients, shared(OTHER))
    ensure(store.clients)
    assert len(store.clients.end_as_seen([seen(one)], now=NOW)) == 1
    members = {member.spiffe_id: member.state for member in store.clients.members(BATCH_CLIENT, limit=9)}
    assert members == {API: ClientState.REVOKED, OTHER: ClientState.ACTIVE}
    assert states(store, BATCH_CLIENT, API) == ["active", "active"]
    assert store.clients.end_as_seen([seen(one)], now=NOW) == ()
    issue(store.clients, other)
    with pytest.raises(RegistrationChanged):
        issue(store.clients, one)


def test_a_record_that_waits_can_end_too_and_its_place_is_free(store: Store) -> None:
    waiting = ensure(store.clients, spiffe(state=ClientState.PENDING))
    store.clients.await_approval(API, rule="web", digest="d", now=NOW)
    assert len(store.clients.end_as_seen([seen(waiting)], now=NOW)) == 1
    assert store.clients.waiting(limit=9) == []
    assert store.clients.count_by_state() == {("spiffe", ClientState.REVOKED): 1}
