"""What operators do: revoke, deny, undeny, approve; by client id and by SPIFFE ID."""

from __future__ import annotations

import pytest

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientState
from bridge.model.errors import IdentityDenied, RegistrationChanged
from bridge.store.ports import Changed, Store
from tests.contract.records import (
    API,
    BATCH_CLIENT,
    NOW,
    OTHER,
    ensure,
    event,
    find,
    instance,
    issue,
    shared,
    spiffe,
)

TERMS = ("asks", "digest-1")
NOBODY = "spiffe://example.org/nobody"


def state(store: Store, client_id: str = API) -> ClientState | None:
    record = store.clients.get(client_id)
    return None if record is None else record.state


def revoke(store: Store, target: str = API, now: int = NOW) -> Changed:
    return store.clients.revoke(target, event=event(AuditEventKind.REVOKED, subject=target), now=now)


def deny(store: Store, target: str = API, *, absent: bool = False) -> Changed:
    proposed = spiffe(target, rule="") if absent else None
    return store.clients.deny(target, absent=proposed, event=event(AuditEventKind.DENIED, subject=target), now=NOW)


def undeny(store: Store, target: str = API) -> Changed:
    return store.clients.undeny(target, event=event(AuditEventKind.UPDATED, subject=target), now=NOW)


def approve(store: Store, target: str = API, now: int = NOW) -> Changed:
    return store.clients.approve(target, note="ticket", event=event(AuditEventKind.APPROVED, subject=target), now=now)


def events(store: Store) -> list[AuditEvent]:
    return [row.event for row in store.audit.rows()]


def test_revoke_ends_what_was_issued_and_the_next_request_registers_anew(store: Store) -> None:
    """ROFU-25: and a token issued afterwards is alive, also within the same second."""
    before = ensure(store.clients)
    assert revoke(store) == Changed(client_ids=(API,))
    ended = store.clients.get(API)
    assert ended is not None
    assert (ended.state, ended.epoch > before.record.epoch) == (ClientState.REVOKED, True)
    after = ensure(store.clients)
    assert after.created
    assert after.record.epoch > ended.epoch
    issue(store.clients, after)


def test_revoke_reaches_the_instances_of_an_identity(store: Store) -> None:
    ensure(store.clients)
    ensure(store.clients, instance(1))
    ensure(store.clients, instance(2, parent=OTHER))
    assert revoke(store) == Changed(client_ids=("instance-1", API))
    assert (state(store, "instance-1"), state(store, "instance-2")) == (ClientState.REVOKED, ClientState.ACTIVE)


def test_one_instance_can_be_revoked_alone(store: Store) -> None:
    ensure(store.clients)
    ensure(store.clients, instance(1))
    assert revoke(store, "instance-1") == Changed(client_ids=("instance-1",))
    assert state(store) is ClientState.ACTIVE


def test_a_spiffe_id_under_a_shared_client_is_revoked_alone(store: Store) -> None:
    ensure(store.clients, shared())
    ensure(store.clients, shared(OTHER))
    assert revoke(store) == Changed(members=((BATCH_CLIENT, API),))
    states = {member.spiffe_id: member.state for member in store.clients.members(BATCH_CLIENT, limit=9)}
    assert states == {API: ClientState.REVOKED, OTHER: ClientState.ACTIVE}
    assert state(store, BATCH_CLIENT) is ClientState.ACTIVE


def test_revoking_a_shared_client_ends_the_tokens_of_all_its_members(store: Store) -> None:
    one, two = ensure(store.clients, shared()), ensure(store.clients, shared(OTHER))
    assert revoke(store, BATCH_CLIENT) == Changed(client_ids=(BATCH_CLIENT,))
    for ended in (one, two):
        with pytest.raises(RegistrationChanged):
            issue(store.clients, ended)
    back = ensure(store.clients, shared())
    assert back.created
    issue(store.clients, back)


@pytest.mark.parametrize("verb", [revoke, deny, undeny, approve])
def test_an_unknown_target_changes_nothing_and_writes_no_event(store: Store, verb) -> None:  # type: ignore[no-untyped-def]
    ensure(store.clients)
    assert not verb(store, NOBODY)
    assert len(events(store)) == 1


def test_a_denied_identity_is_refused_until_it_is_undenied(store: Store) -> None:
    """ROFU-24."""
    ensured = ensure(store.clients)
    assert deny(store) == Changed(client_ids=(API,))
    assert state(store) is ClientState.DENIED
    assert find(store.clients).denied
    with pytest.raises(IdentityDenied):
        ensure(store.clients)
    with pytest.raises(RegistrationChanged):
        issue(store.clients, ensured)
    assert undeny(store) == Changed(client_ids=(API,))
    assert state(store) is ClientState.REVOKED
    assert not find(store.clients).denied
    assert ensure(store.clients).created
    assert [row.event for row in events(store)] == [
        AuditEventKind.REGISTERED,
        AuditEventKind.DENIED,
        AuditEventKind.UPDATED,
        AuditEventKind.REGISTERED,
    ]


def test_an_identity_never_seen_can_be_denied(store: Store) -> None:
    """ROFU-24: with its record, so that it is listed."""
    assert deny(store, absent=True) == Changed(client_ids=(API,))
    assert state(store) is ClientState.DENIED
    with pytest.raises(IdentityDenied):
        ensure(store.clients)
    with pytest.raises(IdentityDenied):
        ensure(store.clients, shared())
    with pytest.raises(IdentityDenied):
        ensure(store.clients, instance())
    undeny(store)
    assert ensure(store.clients).created


def test_revoking_does_not_lift_a_denial(store: Store) -> None:
    ensure(store.clients)
    ensure(store.clients, shared())
    deny(store)
    assert revoke(store)
    assert state(store) is ClientState.DENIED
    assert store.clients.find(BATCH_CLIENT, subject=API, member=API).denied
    with pytest.raises(IdentityDenied):
        ensure(store.clients)


def test_denying_twice_is_denying(store: Store) -> None:
    deny(store, absent=True)
    assert deny(store, absent=True)
    assert undeny(store)
    assert not undeny(store)
    assert ensure(store.clients).created


def test_a_denied_member_is_refused_and_the_others_are_not(store: Store) -> None:
    ensure(store.clients, shared())
    ensure(store.clients, shared(OTHER))
    assert deny(store) == Changed(members=((BATCH_CLIENT, API),))
    with pytest.raises(IdentityDenied):
        ensure(store.clients, shared())
    assert not ensure(store.clients, shared(OTHER)).created
    assert undeny(store) == Changed(members=((BATCH_CLIENT, API),))
    assert ensure(store.clients, shared()).created


def test_denying_a_shared_client_denies_all_its_members(store: Store) -> None:
    ensure(store.clients, shared())
    deny(store, BATCH_CLIENT)
    for member in (API, OTHER):
        with pytest.raises(IdentityDenied):
            ensure(store.clients, shared(member))
    assert ensure(store.clients).created, "the identity itself was not denied"


def test_a_denied_identity_takes_its_instances_along_and_gives_them_back(store: Store) -> None:
    ensure(store.clients)
    ensure(store.clients, instance(1))
    ensure(store.clients, instance(2))
    deny(store, "instance-2")
    deny(store)
    assert not undeny(store, "instance-1"), "its own name has no tombstone"
    assert undeny(store) == Changed(client_ids=("instance-1", API))
    assert (state(store, "instance-1"), state(store, "instance-2")) == (ClientState.REVOKED, ClientState.DENIED)


# --- approvals (ROFU-12)


def test_terms_wait_until_they_are_approved_and_the_record_becomes_active(store: Store) -> None:
    ensure(store.clients, spiffe(state=ClientState.PENDING))
    for _ in range(2):
        store.clients.await_approval(API, rule=TERMS[0], digest=TERMS[1], now=NOW)
    assert not find(store.clients, terms=TERMS).approved
    assert approve(store) == Changed(client_ids=(API,))
    assert find(store.clients, terms=TERMS).approved
    assert not find(store.clients, terms=(TERMS[0], "digest-2")).approved
    assert not find(store.clients, terms=("another", TERMS[1])).approved
    assert state(store) is ClientState.ACTIVE


def test_an_approval_s_audit_row_names_the_rules_whose_terms_it_was_for(store: Store) -> None:
    ensure(store.clients)
    for rules in ([TERMS[0]], ["a", "b"]):
        for rule in rules:
            store.clients.await_approval(API, rule=rule, digest="digest-1", now=NOW)
        assert approve(store)
    one, several = [event for event in events(store) if event.event is AuditEventKind.APPROVED]
    assert (one.rule, one.ask) == (TERMS[0], {})
    assert (several.rule, several.ask) == ("", {"rules": ["a", "b"]})


def test_an_approval_acts_on_the_terms_that_wait_and_on_no_later_ones(store: Store) -> None:
    ensure(store.clients)
    assert not approve(store), "nothing waits"
    store.clients.await_approval(API, rule=TERMS[0], digest=TERMS[1], now=NOW)
    assert approve(store)
    store.clients.await_approval(API, rule=TERMS[0], digest="digest-2", now=NOW)
    assert find(store.clients, terms=TERMS).approved
    assert not find(store.clients, terms=(TERMS[0], "digest-2")).approved


def test_newer_terms_of_a_rule_take_the_place_of_those_that_waited(store: Store) -> None:
    ensure(store.clients)
    store.clients.await_approval(API, rule=TERMS[0], digest="old", now=NOW)
    store.clients.await_approval(API, rule=TERMS[0], digest="new", now=NOW)
    approve(store)
    assert not find(store.clients, terms=(TERMS[0], "old")).approved
    assert find(store.clients, terms=(TERMS[0], "new")).approved


@pytest.mark.parametrize("end", [revoke, lambda store: ensure(store.clients, now=NOW + 10**8)])
def test_an_approval_ends_with_its_record(store: Store, end) -> None:  # type: ignore[no-untyped-def]
    ensure(store.clients)
    store.clients.await_approval(API, rule=TERMS[0], digest=TERMS[1], now=NOW)
    approve(store)
    assert find(store.clients, terms=TERMS).approved
    end(store)
    ensure(store.clients, now=NOW + 10**8)
    assert not find(store.clients, terms=TERMS).approved


def test_nothing_waits_for_a_record_that_ended(store: Store) -> None:
    ensure(store.clients, spiffe(state=ClientState.PENDING), idle=100)
    store.clients.await_approval(API, rule=TERMS[0], digest=TERMS[1], now=NOW)
    assert not approve(store, now=NOW + 100)
    assert approve(store, now=NOW + 99)
    store.clients.await_approval(NOBODY, rule=TERMS[0], digest=TERMS[1], now=NOW)
    assert not approve(store, NOBODY)


def approve_these(store: Store, *terms: tuple[str, str], target: str = API) -> Changed:
    made = event(AuditEventKind.APPROVED, subject=target)
    return store.clients.approve(target, note="seen", event=made, now=NOW, terms=terms)


def test_an_operator_approves_the_terms_that_were_shown_and_none_that_came_since(store: Store) -> None:
    ensure(store.clients, spiffe(state=ClientState.PENDING))
    store.clients.await_approval(API, rule="a", digest="1", now=NOW)
    store.clients.await_approval(API, rule="b", digest="1", now=NOW)
    assert not approve_these(store, ("a", "older")), "they were shown before the rule changed"
    assert state(store) is ClientState.PENDING
    assert approve_these(store, ("a", "1")) == Changed(client_ids=(API,))
    assert find(store.clients, terms=("a", "1")).approved
    assert not find(store.clients, terms=("b", "1")).approved
    assert [(waiting.rule, waiting.digest) for waiting in store.clients.waiting(limit=9)] == [("b", "1")]
    assert not approve_these(store, ("a", "1")), "the same form a second time"
    assert [(row.rule, row.event) for row in events(store) if row.event is AuditEventKind.APPROVED] == [
        ("a", AuditEventKind.APPROVED)
    ]


def test_shown_terms_of_an_identity_are_not_those_of_its_instances(store: Store) -> None:
    proposed = instance(state=ClientState.PENDING)
    ensure(store.clients, proposed)
    store.clients.await_approval(proposed.client_id, rule="a", digest="1", now=NOW)
    assert proposed.parent is not None
    assert not approve_these(store, ("a", "1"), target=proposed.parent)
    assert approve_these(store, ("a", "1"), target=proposed.client_id)


def test_a_denial_that_is_to_be_said_once_is_written_once(store: Store) -> None:
    ensure(store.clients)
    for _ in range(2):
        made = event(AuditEventKind.DENIED, subject=API)
        store.clients.deny(API, absent=None, event=made, now=NOW, once=True)
    assert len([row for row in events(store) if row.event is AuditEventKind.DENIED]) == 1
    assert deny(store), "whoever does not mind says it again"
    assert len([row for row in events(store) if row.event is AuditEventKind.DENIED]) == 2
