"""A code is redeemed and a refresh token rotated in the write of the token that comes from it, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.authorization import Grant, GrantUse
from bridge.model.errors import BridgeError, CredentialReplayed, GrantSpent, RegistrationChanged
from bridge.model.identity import Marker
from bridge.store.ports import Ensured, Store
from tests.contract import racers
from tests.contract.flows import (
    CODE_UNTIL,
    give,
    grant,
    issue_of,
    open_request,
    push,
    pushed_issue,
    redemption,
    rotation,
    spend,
)
from tests.contract.places import Place
from tests.contract.racers import PROCESSES, THREADS, race
from tests.contract.records import API, DAY, NOW, OTHER, ensure, event, issue_for, spiffe

DPOP = Marker("dpop", "aa" * 32, NOW + 300)
CALLERS = PROCESSES * THREADS


@pytest.fixture
def client(store: Store) -> Ensured:
    return ensure(store.clients)


def tokens(store: Store) -> int:
    return len(store.audit.rows(events=[AuditEventKind.TOKEN_ISSUED]))


def found(store: Store, given: Grant) -> Grant:
    seen = store.grants.get(given.grant_id)
    assert seen is not None
    return seen


def test_a_redeemed_code_is_used_and_its_first_refresh_token_is_in_force(store: Store, client: Ensured) -> None:
    """OAS-14: and the token's row is there, both or none."""
    given = give(store)
    spend(store, client, redemption(given), now=NOW + 7)
    end = NOW + 30 * DAY
    assert found(store, given) == replace(
        given, code_used_at=NOW + 7, generation=1, refresh_expires_at=end, ends_at=end
    )
    assert tokens(store) == 1
    assert found(store, given) == store.grants.by_code(given.code_digest), "a used code is known as such"


def test_a_code_is_redeemed_once(store: Store, client: Ensured) -> None:
    """OAS-14, PCR-17, T-33: the second use changes nothing; ending the grant is for whoever looks again."""
    given = give(store)
    spend(store, client, redemption(given))
    before = found(store, given)
    with pytest.raises(GrantSpent):
        spend(store, client, redemption(given, ends_at=NOW + 90 * DAY))
    assert (found(store, given), tokens(store)) == (before, 1)


@pytest.mark.parametrize(
    ("at", "fields", "good"),
    [
        (CODE_UNTIL - 1, {}, True),
        (CODE_UNTIL, {}, False),
        (NOW + 9, {"ends_at": NOW + 10}, True),
        (NOW + 10, {"ends_at": NOW + 10}, False),
    ],
    ids=["in time", "code expired", "grant lives", "grant over"],
)
def test_a_code_is_redeemed_in_time(store: Store, client: Ensured, at: int, fields: dict[str, Any], good: bool) -> None:
    """PCR-17."""
    given = give(store, grant(**fields))
    if good:
        spend(store, client, redemption(given), now=at)
    else:
        with pytest.raises(GrantSpent):
            spend(store, client, redemption(given), now=at)
    assert (found(store, given).code_used_at is not None, tokens(store)) == (good, good)


@pytest.mark.parametrize(
    ("first", "claimed", "good"),
    [(None, API, True), (None, None, True), (API, API, True), (API, OTHER, False), (API, None, False)],
    ids=["sets it", "nobody", "the same", "another", "nobody though one began"],
)
def test_who_began_redeems_and_who_redeems_stays(
    store: Store, client: Ensured, first: str | None, claimed: str | None, good: bool
) -> None:
    """OAS-29: one workload per grant, from the redemption on at the latest."""
    given = give(store, grant(actor=first))
    if not good:
        with pytest.raises(GrantSpent):
            spend(store, client, redemption(given, actor=claimed))
        assert found(store, given) == given
        return
    spend(store, client, redemption(given, actor=claimed))
    assert found(store, given).actor == claimed
    for other in {API, OTHER, None} - {claimed}:
        with pytest.raises(GrantSpent):
            spend(store, client, rotation(given, actor=other))
    spend(store, client, rotation(given, actor=claimed))
    assert found(store, given).generation == 2


def test_the_registration_that_redeems_is_the_one_that_may_go_on(store: Store, client: Ensured) -> None:
    """T-23: the grant of a document's client may begin before it is known who will act for it."""
    given = give(store, grant(epoch="7"))
    spend(store, client, redemption(given, epoch="7.3"))
    assert found(store, given).epoch == "7.3"
    spend(store, client, rotation(given, epoch="7.4"))
    assert found(store, given).epoch == "7.3", "a refresh changes nothing about it"
    kept = give(store, grant(2, epoch="7"))
    spend(store, client, redemption(kept))
    assert found(store, kept).epoch == "7"


def test_a_refresh_token_is_rotated_and_the_one_before_is_spent(store: Store, client: Ensured) -> None:
    """OAS-15, T-33."""
    given = give(store)
    spend(store, client, redemption(given))
    spend(store, client, rotation(given, 1, refresh_expires_at=NOW + 31 * DAY, ends_at=NOW + 31 * DAY), now=NOW + DAY)
    now_in_force = found(store, given)
    assert (now_in_force.generation, now_in_force.refresh_expires_at) == (2, NOW + 31 * DAY)
    for generation in (0, 1, 3):
        with pytest.raises(GrantSpent):
            spend(store, client, rotation(given, generation))
    assert found(store, given) == now_in_force
    spend(store, client, rotation(given, 2))


def test_a_refresh_token_that_is_not_rotated_serves_again(store: Store, client: Ensured) -> None:
    """OAS-15, PCR-20: bound to a key, it stays."""
    given = give(store)
    spend(store, client, redemption(given))
    for day in (1, 2):
        end = NOW + (30 + day) * DAY
        spend(store, client, rotation(given, next_generation=1, refresh_expires_at=end, ends_at=end))
        assert (found(store, given).generation, found(store, given).refresh_expires_at) == (1, end)


@pytest.mark.parametrize(("late", "good"), [(99, True), (100, False)])
def test_a_refresh_token_idles_out(store: Store, client: Ensured, late: int, good: bool) -> None:
    given = give(store)
    spend(store, client, redemption(given, refresh_expires_at=NOW + 100))
    if good:
        spend(store, client, rotation(given), now=NOW + late)
    else:
        with pytest.raises(GrantSpent):
            spend(store, client, rotation(given), now=NOW + late)


def test_a_grant_without_a_refresh_token_is_not_refreshed(store: Store, client: Ensured) -> None:
    """PCR-21: neither by a generation of none nor by one that was never given."""
    given = give(store)
    spend(store, client, redemption(given, next_generation=0, refresh_expires_at=None))
    for generation in (0, 1):
        with pytest.raises(GrantSpent):
            spend(store, client, rotation(given, generation))
    unused = give(store, grant(2))
    with pytest.raises(GrantSpent):
        spend(store, client, rotation(unused, 0))
    spend(store, client, redemption(unused))


def test_the_end_of_a_grant_never_comes_nearer(store: Store, client: Ensured) -> None:
    """An access token of an earlier use may live longer than those of a later one."""
    given = give(store)
    spend(store, client, redemption(given, ends_at=NOW + 60))
    assert found(store, given).ends_at == given.ends_at
    spend(store, client, rotation(given, ends_at=NOW + DAY))
    assert found(store, given).ends_at == NOW + DAY


def test_an_ended_or_unknown_grant_gives_nothing(store: Store, client: Ensured) -> None:
    """T-33: the family is over, its newest refresh token too."""
    one, two, fresh = give(store), give(store, grant(2)), give(store, grant(3))
    for given in (one, two):
        spend(store, client, redemption(given))
    for given in (one, fresh):
        store.grants.end(given.grant_id, event=None, now=NOW)
    for use in (rotation(one), redemption(fresh), redemption(grant(9))):
        with pytest.raises(GrantSpent):
            spend(store, client, use)
    spend(store, client, rotation(two))
    assert tokens(store) == 3


# --- with the rest of the write


def test_a_registration_that_changed_uses_nothing_up(store: Store, client: Ensured) -> None:
    """T-23, T-40: the record that came back under the same name is another one."""
    given, kept = give(store), give(store, grant(2, client_id=OTHER))
    other = ensure(store.clients, spiffe(OTHER))
    store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
    ensure(store.clients)
    with pytest.raises(RegistrationChanged):
        spend(store, client, redemption(given))
    assert found(store, given) == given
    spend(store, other, redemption(kept))


def test_a_replayed_proof_uses_nothing_up(store: Store, client: Ensured) -> None:
    """T-21: a request that came twice is a replay of its proof, and no second use of the code."""
    given = give(store)
    use = redemption(given)
    store.clients.record_issue(issue_of(client, use, markers=(DPOP,)), now=NOW)
    with pytest.raises(CredentialReplayed):
        store.clients.record_issue(issue_of(client, use, markers=(DPOP,)), now=NOW)
    assert store.grants.is_live(given.grant_id)
    fresh = give(store, grant(2))
    with pytest.raises(CredentialReplayed):
        store.clients.record_issue(issue_of(client, redemption(fresh), markers=(DPOP,)), now=NOW)
    assert found(store, fresh) == fresh


def test_a_spent_grant_claims_no_marker_and_prolongs_nothing(store: Store, client: Ensured) -> None:
    given = give(store)
    spend(store, client, redemption(given))
    late = issue_of(client, redemption(given), markers=(DPOP,))
    with pytest.raises(GrantSpent):
        store.clients.record_issue(late, now=NOW + 59)
    assert store.tokens.claim(DPOP, now=NOW)
    record = store.clients.get(API)
    assert record is not None
    assert record.last_used_at == NOW


def test_a_pushed_client_needs_no_record(store: Store) -> None:
    """PCR-15: nothing is read of one, nothing is written."""
    given = give(store)
    store.clients.record_issue(pushed_issue(redemption(given)), now=NOW)
    store.clients.record_issue(pushed_issue(None), now=NOW)
    with pytest.raises(GrantSpent):
        store.clients.record_issue(pushed_issue(redemption(given)), now=NOW)
    assert tokens(store) == 2
    assert store.clients.count_by_state() == {}


def test_a_denied_subject_gets_nothing_through_a_pushed_client(store: Store) -> None:
    """ROFU-24: its tombstone is looked at where somebody authenticated; the twin is somebody else."""
    store.clients.deny(API, absent=spiffe(), event=event(AuditEventKind.DENIED), now=NOW)
    given = give(store)
    with pytest.raises(RegistrationChanged):
        store.clients.record_issue(pushed_issue(redemption(given), subject=API), now=NOW)
    store.clients.record_issue(pushed_issue(redemption(given), subject=OTHER), now=NOW)


def outcome(begin: Callable[[], object]) -> str:
    try:
        begin()
    except BridgeError as error:
        return type(error).__name__
    return "issued"


def test_uses_that_share_a_commit_end_each_for_itself(store: Store, place: Place, client: Ensured) -> None:
    """T-33: one bad use fails alone, and of two of one code the first wins, whatever waits beside them."""
    one, two, three = give(store), give(store, grant(2)), give(store, grant(3))
    spend(store, client, redemption(three))
    issues = [
        issue_for(client),
        issue_of(client, redemption(one)),
        issue_of(client, redemption(one)),
        issue_of(client, redemption(grant(9))),
        issue_of(client, redemption(two), epoch=1),
        issue_of(client, redemption(two)),
        issue_of(client, rotation(three)),
        issue_of(client, rotation(three)),
        issue_of(client, rotation(three, 2)),
    ]
    with place.held():
        waiting = [store.clients.begin_issue(issue, now=NOW) for issue in issues]
    assert [outcome(write.result) for write in waiting] == [
        "issued", "issued", "GrantSpent", "GrantSpent", "RegistrationChanged", "issued", "issued", "GrantSpent",
        "issued",
    ]  # fmt: skip
    assert found(store, three).generation == 3
    assert tokens(store) == 6


def test_of_many_who_redeem_one_code_exactly_one_does(place: Place, store: Store) -> None:
    """T-33: by threads of several processes, all at once; the rest are told that it is spent."""
    ensure(store.clients)
    given = give(store)
    assert Counter(race(place, racers.redeem, rounds=2)) == {"issued": 1, "GrantSpent": CALLERS * 2 - 1}
    assert (tokens(store), found(store, given).generation) == (1, 1)
    assert list(store.audit.verify()) == []


def test_of_many_who_rotate_one_refresh_token_exactly_one_does(place: Place, store: Store) -> None:
    """T-33: round by round, as each looks at what is in force and tries to end it."""
    client = ensure(store.clients)
    given = give(store)
    spend(store, client, redemption(given))
    outcomes = Counter(race(place, racers.refresh, rounds=4))
    assert outcomes["issued"] + outcomes["GrantSpent"] == CALLERS * 4
    assert found(store, given).generation == 1 + outcomes["issued"]
    assert tokens(store) == 1 + outcomes["issued"]


def test_of_many_who_decide_one_request_exactly_one_does(place: Place, store: Store) -> None:
    """T-32, PCR-12: one request, one grant."""
    push(store)
    open_request(store)
    assert Counter(race(place, racers.decide)) == {True: 1, False: CALLERS - 1}
    assert store.grants.counts()["grants"] == 1


def test_of_many_who_fill_the_last_places_exactly_as_many_get_one(place: Place, store: Store) -> None:
    """T-42."""
    outcomes = Counter(race(place, racers.push_another, rounds=3, request_limit=racers.FEW_REQUESTS))
    assert outcomes == {"pushed": racers.FEW_REQUESTS, "LimitReached": CALLERS * 3 - racers.FEW_REQUESTS}
    assert store.grants.counts()["requests"] == racers.FEW_REQUESTS


@pytest.mark.parametrize("use", ["code", "refresh token"])
def test_a_process_that_is_killed_after_its_answer_takes_no_use_back(store: Store, place: Place, use: str) -> None:
    """F-9, T-33, T-34: kill -9 right after it was told; the next process finds it spent."""
    client = ensure(store.clients)
    given = give(store)
    spent: GrantUse = redemption(given)
    if use == "refresh token":
        spend(store, client, spent)
        spent = rotation(given)
    context = get_context("spawn")
    said, told = context.Pipe(duplex=False)
    process = context.Process(target=racers.spend_and_die, args=(place, spent, told))
    process.start()
    told.close()
    assert said.recv() == "issued"
    process.join(60)
    assert process.exitcode == -9
    again = place.open()
    assert tokens(again) == 1 + (use == "refresh token")
    with pytest.raises(GrantSpent):
        spend(again, client, spent)
    spend(again, client, rotation(given, spent.next_generation))
