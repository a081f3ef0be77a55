"""`record_issue`: the row behind a token, its markers and the record's new end, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState
from bridge.model.errors import CredentialReplayed, LimitReached, RegistrationChanged, Unavailable
from bridge.model.identity import Marker
from bridge.store.ports import Issue, Store
from tests.contract.places import Place
from tests.contract.records import API, IDLE, NOW, OTHER, ensure, event, find, issue, issue_for, shared, spiffe

DPOP = Marker("dpop", "aa" * 32, NOW + 300)
ONCE = Marker("jwt-svid", "aa" * 32, NOW + 300)


def issued(store: Store) -> list[str]:
    return [row.event.id for row in store.audit.rows(events=[AuditEventKind.TOKEN_ISSUED])]


def test_an_issue_writes_its_row_as_it_was_given(store: Store) -> None:
    """ROFU-29, T-49."""
    ensured = ensure(store.clients)
    whole = event(
        AuditEventKind.TOKEN_ISSUED,
        id="correlation",
        door="token",
        source_address="127.0.0.1",
        subject=API,
        evidence="jwt-svid",
        credential="c" * 64,
        key_id="kid",
        ask={"grant_type": "client_credentials", "scopes": ["ledger.read"], "resources": []},
        rule="web",
        outcome="allow",
        client_id=API,
        jti="jti",
        issued="d" * 64,
        policy_version="v1",
        bundle_sequence=7,
        count=1,
    )
    store.clients.record_issue(replace(issue_for(ensured), event=whole), now=NOW)
    rows = store.audit.rows(correlation_id="correlation")
    assert [row.event for row in rows] == [whole]


def revoke(store: Store) -> None:
    store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)


def deny(store: Store) -> None:
    store.clients.deny(API, absent=None, event=event(AuditEventKind.DENIED), now=NOW)


def revoke_and_register(store: Store) -> None:
    revoke(store)
    ensure(store.clients)


@pytest.mark.parametrize("change", [revoke, deny, revoke_and_register])
def test_a_registration_that_ended_in_between_gets_no_token(store: Store, change: Callable[[Store], None]) -> None:
    """T-40, ROFU-25; the twin without the change is issued."""
    ensured, other = ensure(store.clients), ensure(store.clients, spiffe(OTHER))
    change(store)
    with pytest.raises(RegistrationChanged):
        issue(store.clients, ensured, markers=(DPOP,))
    issue(store.clients, other, markers=(DPOP,))
    assert len(issued(store)) == 1


def test_a_record_renewed_elsewhere_in_between_still_gets_its_token(store: Store, place: Place) -> None:
    ensured = ensure(store.clients)
    issue(place.open().clients, ensured, now=NOW + 3600)
    issue(store.clients, ensured, now=NOW)
    assert len(issued(store)) == 2


@pytest.mark.parametrize(("late", "alive"), [(99, True), (100, False)])
def test_a_record_past_its_end_has_to_be_registered_anew(store: Store, late: int, alive: bool) -> None:
    ensured = ensure(store.clients, idle=100)
    if alive:
        issue(store.clients, ensured, now=NOW + late)
    else:
        with pytest.raises(RegistrationChanged):
            issue(store.clients, ensured, now=NOW + late)


def test_a_pending_or_absent_record_gets_no_token(store: Store) -> None:
    pending = ensure(store.clients, spiffe(state=ClientState.PENDING))
    with pytest.raises(RegistrationChanged):
        issue(store.clients, pending)
    with pytest.raises(RegistrationChanged):
        store.clients.record_issue(Issue("nobody", NOW, "nobody", event(AuditEventKind.TOKEN_ISSUED)), now=NOW)
    assert issued(store) == []


def test_a_revoked_member_gets_no_token_and_the_others_do(store: Store) -> None:
    one, two = ensure(store.clients, shared()), ensure(store.clients, shared(OTHER))
    revoke(store)
    with pytest.raises(RegistrationChanged):
        issue(store.clients, one)
    issue(store.clients, two)
    issue(store.clients, ensure(store.clients, shared()))
    assert len(issued(store)) == 2


def test_a_member_of_a_denied_shared_client_gets_no_token(store: Store) -> None:
    one = ensure(store.clients, shared())
    issue(store.clients, one)
    store.clients.deny(one.record.client_id, absent=None, event=event(AuditEventKind.DENIED), now=NOW)
    with pytest.raises(RegistrationChanged):
        issue(store.clients, one)


def test_a_use_prolongs_the_record_in_steps_of_a_minute(store: Store) -> None:
    ensured = ensure(store.clients)
    issue(store.clients, ensured, now=NOW + 59)
    assert store.clients.get(API) == ensured.record
    issue(store.clients, ensured, now=NOW + 60)
    record = store.clients.get(API)
    assert record is not None
    assert (record.last_used_at, record.expires_at) == (NOW + 60, NOW + 60 + IDLE)


def test_a_short_idle_expiry_is_prolonged_in_finer_steps(store: Store) -> None:
    ensured = ensure(store.clients, idle=20)
    for second in range(1, 60):
        issue(store.clients, ensured, now=NOW + second, idle=20)
    assert len(issued(store)) == 59


def test_a_use_prolongs_the_member_with_the_record(store: Store) -> None:
    ensured = ensure(store.clients, shared())
    issue(store.clients, ensured, now=NOW + 3600)
    found = store.clients.find(ensured.record.client_id, subject=API, member=API)
    assert found.member is not None
    assert found.member.last_used_at == NOW + 3600


def test_a_changed_idle_expiry_holds_from_the_next_use_on(store: Store) -> None:
    ensured = ensure(store.clients)
    for idle, end in ((3600, NOW + 3600), (None, None), (IDLE, NOW + IDLE)):
        issue(store.clients, ensured, idle=idle)
        record = store.clients.get(API)
        assert record is not None
        assert record.expires_at == end


def test_a_clock_that_is_behind_takes_nothing_away(store: Store) -> None:
    """F-5."""
    ensured = ensure(store.clients)
    issue(store.clients, ensured, now=NOW + 3600)
    issue(store.clients, ensured, now=NOW)
    record = store.clients.get(API)
    assert record is not None
    assert (record.last_used_at, record.expires_at) == (NOW + 3600, NOW + 3600 + IDLE)


# --- markers (T-21, T-29, T-34, T-42)


def test_a_marker_is_claimed_once_and_takes_the_issue_with_it(store: Store) -> None:
    """T-21, T-29."""
    ensured = ensure(store.clients)
    issue(store.clients, ensured, markers=(DPOP,))
    with pytest.raises(CredentialReplayed):
        issue(store.clients, ensured, markers=(DPOP,), now=NOW + 120)
    assert len(issued(store)) == 1
    assert find(store.clients).record == ensured.record, "a refused issue prolongs nothing"


def test_markers_of_another_kind_or_digest_are_other_markers(store: Store) -> None:
    ensured = ensure(store.clients)
    for marker in (DPOP, ONCE, replace(DPOP, digest="bb" * 32)):
        issue(store.clients, ensured, markers=(marker,))
    assert len(issued(store)) == 3


def test_of_several_markers_all_are_claimed_or_none(store: Store) -> None:
    ensured = ensure(store.clients)
    assert store.tokens.claim(ONCE, now=NOW)
    with pytest.raises(CredentialReplayed):
        issue(store.clients, ensured, markers=(DPOP, ONCE))
    issue(store.clients, ensured, markers=(DPOP,))


def test_the_same_marker_twice_in_one_issue_is_a_replay(store: Store) -> None:
    with pytest.raises(CredentialReplayed):
        issue(store.clients, ensure(store.clients), markers=(DPOP, DPOP))


def test_a_marker_claimed_alone_is_claimed_for_issues_too(store: Store) -> None:
    assert store.tokens.claim(DPOP, now=NOW)
    assert not store.tokens.claim(DPOP, now=NOW)
    with pytest.raises(CredentialReplayed):
        issue(store.clients, ensure(store.clients), markers=(DPOP,))


def test_a_marker_outlives_a_restart(store: Store, place: Place) -> None:
    """T-34, F-9."""
    assert store.tokens.claim(DPOP, now=NOW)
    store.close()
    assert not place.open().tokens.claim(DPOP, now=NOW)


def test_a_full_marker_table_refuses_new_ones_and_forgets_none(place: Place) -> None:
    """T-42."""
    store = place.open(marker_limit=3)
    ensured = ensure(store.clients)
    marks = [replace(DPOP, digest=f"{i:064x}") for i in range(4)]
    for mark in marks[:3]:
        assert store.tokens.claim(mark, now=NOW)
    with pytest.raises(LimitReached) as refusal:
        store.tokens.claim(marks[3], now=NOW)
    assert refusal.value.limit == "markers"
    with pytest.raises(LimitReached):
        issue(store.clients, ensured, markers=(marks[3],))
    assert not any(store.tokens.claim(mark, now=NOW) for mark in marks[:3])
    issue(store.clients, ensured)
    sweep_markers(store, NOW + 1000)
    assert store.tokens.claim(replace(marks[3], expires_at=NOW + 2000), now=NOW + 1000)


def sweep_markers(store: Store, now: int) -> int:
    return store.clients.sweep(
        now=now, keep_ended=10**9, pending_expiry=10**9, batch=100, event=lambda record: event()
    ).markers


def test_stale_markers_are_swept_and_fresh_ones_stay(store: Store) -> None:
    fresh = replace(DPOP, digest="bb" * 32, expires_at=NOW + 5000)
    for marker in (DPOP, fresh):
        store.tokens.claim(marker, now=NOW)
    assert sweep_markers(store, NOW + 200) == 0
    assert sweep_markers(store, NOW + 1000) == 1
    assert not store.tokens.claim(fresh, now=NOW + 1000)


def test_a_swept_marker_does_not_revive_when_the_clock_is_set_back(store: Store) -> None:
    """F-5: nothing used revives; and it is our trouble (503), not the client's."""
    store.tokens.claim(DPOP, now=NOW)
    assert sweep_markers(store, NOW + 3600) == 1
    with pytest.raises(Unavailable):
        store.tokens.claim(DPOP, now=NOW)
    with pytest.raises(Unavailable):
        issue(store.clients, ensure(store.clients), markers=(DPOP,))
    assert store.tokens.claim(replace(DPOP, expires_at=NOW + 7200), now=NOW)
