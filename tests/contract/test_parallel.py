"""The parallel part: several processes with several threads each, on one database, all at once."""

from __future__ import annotations

from collections import Counter

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState
from bridge.store.ports import Access, Store
from tests.contract import racers
from tests.contract.places import Place
from tests.contract.racers import PROCESSES, THREADS, race
from tests.contract.records import API, BATCH_CLIENT, NOW

CALLERS = PROCESSES * THREADS


def events(store: Store) -> Counter[AuditEventKind]:
    return Counter(row.event.event for row in store.audit.rows(limit=100_000))


def test_many_first_uses_of_one_identity_are_one_registration(place: Place, store: Store) -> None:
    """ROFU-8, T-40, L-4: one record, one event, a token for everybody."""
    created = race(place, racers.first_use, rounds=5)
    assert Counter(created) == {True: 1, False: CALLERS * 5 - 1}
    assert store.clients.count_by_state() == {("spiffe", ClientState.ACTIVE): 1}
    assert events(store) == {AuditEventKind.REGISTERED: 1, AuditEventKind.TOKEN_ISSUED: CALLERS * 5}
    assert list(store.audit.verify()) == []


def test_many_first_uses_of_members_are_one_registration_each(place: Place, store: Store) -> None:
    created = race(place, racers.member_use, rounds=3)
    assert Counter(created)[True] == 3
    record = store.clients.get(BATCH_CLIENT)
    assert record is not None
    assert record.identities == 3
    assert events(store) == {AuditEventKind.REGISTERED: 3}


def test_of_many_who_claim_a_marker_exactly_one_wins(place: Place) -> None:
    """T-33, T-29."""
    assert Counter(race(place, racers.claim, rounds=5)) == {True: 5, False: CALLERS * 5 - 5}


def test_of_many_issues_with_one_marker_exactly_one_is_issued(place: Place, store: Store) -> None:
    assert Counter(race(place, racers.issue_once, rounds=5)) == {"issued": 5, "CredentialReplayed": CALLERS * 5 - 5}
    assert events(store)[AuditEventKind.TOKEN_ISSUED] == 5


def test_the_bucket_is_exact_under_races(place: Place, store: Store) -> None:
    """ROFU-28, T-41."""
    assert Counter(race(place, racers.register_another, rounds=5)) == {True: 25, "LimitReached": CALLERS * 5 - 25}
    assert events(store) == {AuditEventKind.REGISTERED: 25}


def test_the_number_of_records_is_exact_under_races(place: Place, store: Store) -> None:
    assert Counter(race(place, racers.register_within, rounds=5)) == {True: 25, "LimitReached": CALLERS * 5 - 25}
    assert store.clients.count_by_state() == {("spiffe", ClientState.ACTIVE): 25}


def test_the_number_of_live_leases_is_exact_under_races(place: Place, store: Store) -> None:
    """ROFU-28."""
    assert Counter(race(place, racers.register_instance, rounds=5)) == {True: 25, "LimitReached": CALLERS * 5 - 25}
    assert store.clients.count_by_state() == {("instance", ClientState.ACTIVE): 25}


def test_of_many_who_renew_a_lease_the_longest_holds(place: Place, store: Store) -> None:
    assert Counter(race(place, racers.renew, rounds=5)) == {"issued": CALLERS * 5}
    record = store.clients.get("instance-1")
    assert record is not None
    assert record.expires_at == NOW + 60 + CALLERS * 5


def test_of_many_registrations_by_one_statement_exactly_one_is_written(place: Place, store: Store) -> None:
    """T-46."""
    outcomes = Counter(race(place, racers.register_by_one_statement, rounds=5))
    assert outcomes == {True: 5, "CredentialReplayed": CALLERS * 5 - 5}
    assert events(store) == {AuditEventKind.REGISTERED: 5}


def test_what_is_spent_is_exact_under_races(place: Place) -> None:
    """DCR-22."""
    assert Counter(race(place, racers.spend, rounds=5)) == {True: 25, False: CALLERS * 5 - 25}


def test_every_rotation_ends_exactly_one_token(place: Place, store: Store) -> None:
    """DCR-26, DCR-32: as many generations as there were rotations that held."""
    held = Counter(race(place, racers.rotate, rounds=5))[True]
    access = store.management.open(Access(API, "late", 0, 1, "late"))
    assert held >= 1
    assert (access.generation, access.digest != "first") == (1 + held, True)


def test_of_many_who_want_a_lease_exactly_one_has_it(place: Place) -> None:
    assert Counter(race(place, racers.take_lease)) == {True: 1, False: CALLERS - 1}


def test_revoking_while_others_register_and_issue_leaves_everything_accounted_for(place: Place, store: Store) -> None:
    """T-40: every token has a row, every registration and revocation has one, and the chains hold."""
    outcomes = Counter(race(place, racers.use_while_revoked, rounds=20))
    written = events(store)
    assert outcomes["issued"] + outcomes["changed"] == CALLERS * 20 * 2 // 3
    assert written[AuditEventKind.TOKEN_ISSUED] == outcomes["issued"]
    assert written[AuditEventKind.REVOKED] == outcomes["revoked"]
    assert 1 <= written[AuditEventKind.REGISTERED] <= written[AuditEventKind.REVOKED] + 1
    assert list(store.audit.verify()) == []
    assert len(store.audit.heads()) == PROCESSES
