"""What users gave to clients: kept whole, ended once, listed for the user, forgotten in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.authorization import PUSHED_CLIENT_ID, Grant, User
from bridge.model.client import ClientKind
from bridge.model.evidence import EvidenceKind
from bridge.store.grants import CONSENT_SECONDS
from bridge.store.ports import Store, SweptFlow
from tests.contract.flows import ADA, BROWSER, HANDLE, consent, digest, give, grant, open_request, push, session
from tests.contract.places import Place
from tests.contract.records import API, NOW, OTHER, event

BOB = User("user-bob", "Bob")
WHOLE = grant(
    client_id=PUSHED_CLIENT_ID,
    kind=ClientKind.PUSHED,
    evidence=EvidenceKind.PUSHED,
    user=User("user-eve", "Ève \N{SNOWMAN}"),
    scopes=(),
    resources=("https://a.example", "https://b.example"),
    actor=API,
    epoch=None,
    dpop_jkt="jkt",
    fingerprint=digest("fingerprint"),
    transaction="transaction-1",
    metadata={"client_name": "\ud83d é", "redirect_uris": ["http://127.0.0.1/cb"]},
)


def ended(store: Store) -> list[str]:
    return [row.event.id for row in store.audit.rows(events=[AuditEventKind.REVOKED])]


def end(store: Store, given: Grant, *, now: int = NOW) -> bool:
    revoked = event(AuditEventKind.REVOKED, id=f"end of {given.grant_id}", time=now)
    return store.grants.end(given.grant_id, event=revoked, now=now)


@pytest.mark.parametrize("given", [grant(), WHOLE], ids=["spiffe", "everything"])
def test_a_grant_is_found_as_it_was_given_by_every_process_and_after_a_restart(
    store: Store, place: Place, given: Grant
) -> None:
    """F-9: by its code and by its name."""
    push(store)
    open_request(store)
    assert store.grants.by_code(given.code_digest) is None
    assert not store.grants.is_live(given.grant_id)
    assert store.requests.decide(HANDLE, browser=BROWSER, grant=given, consent=None, event=None, now=NOW)
    store.close()
    again = place.open()
    assert again.grants.by_code(given.code_digest) == again.grants.get(given.grant_id) == given
    assert again.grants.is_live(given.grant_id)


def test_a_code_is_no_name_and_a_name_is_no_code(store: Store) -> None:
    given = give(store)
    assert store.grants.by_code(given.grant_id) is None
    assert store.grants.get(given.code_digest) is None
    assert not store.grants.is_live(given.code_digest)


def test_a_grant_ends_once_with_one_row_and_stays_there_to_be_recognised(store: Store, place: Place) -> None:
    """OAS-14, T-33: whoever comes with its code or refresh token later can be told from somebody who made one up."""
    one, two = give(store), give(store, grant(2))
    assert end(place.open(), one, now=NOW + 5)
    assert not end(store, one, now=NOW + 9)
    assert store.grants.get(one.grant_id) == replace(one, ended_at=NOW + 5)
    assert (store.grants.is_live(one.grant_id), store.grants.is_live(two.grant_id)) == (False, True)
    assert not end(store, grant(3)), "nobody by that name"
    assert ended(store) == ["end of grant-1"]
    assert store.grants.end(two.grant_id, event=None, now=NOW)
    assert ended(store) == ["end of grant-1"]


def test_a_user_sees_the_newest_grants_that_live_and_nobody_elses(store: Store) -> None:
    for number in range(4):
        give(store, grant(number, created_at=NOW + number, ends_at=NOW + 3600 + number))
    give(store, grant(9, user=BOB))
    end(store, grant(1))

    def of(user: User, *, limit: int = 9, now: int = NOW) -> list[str]:
        return [one.grant_id for one in store.grants.of_user(user.user_id, limit=limit, now=now)]

    assert of(ADA) == ["grant-3", "grant-2", "grant-0"]
    assert of(ADA, limit=2) == ["grant-3", "grant-2"]
    assert of(ADA, now=NOW + 3600) == ["grant-3", "grant-2"], "the end of a grant is not part of its life"
    assert of(BOB) == ["grant-9"]
    assert store.grants.of_user("nobody", limit=9, now=NOW) == []


def end_of_user(store: Store, user: User = ADA, client_id: str = API) -> int:
    return store.grants.end_of_user(user.user_id, client_id, event=event(AuditEventKind.REVOKED, id="all"), now=NOW)


def test_a_user_ends_all_that_one_client_has_with_one_row_and_is_asked_again(store: Store) -> None:
    """CIMD-27: other clients and other users keep theirs."""
    give(store, consent=consent())
    give(store, grant(2))
    others = [give(store, grant(3, client_id=OTHER), consent=consent(OTHER)), give(store, grant(4, user=BOB))]
    assert end_of_user(store) == 2
    assert not any(store.grants.is_live(name) for name in ("grant-1", "grant-2"))
    assert store.grants.consent(ADA.user_id, API) is None
    assert all(store.grants.is_live(given.grant_id) for given in others)
    assert store.grants.consent(ADA.user_id, OTHER) == consent(OTHER)
    assert end_of_user(store) == 0
    assert ended(store) == ["all"], "there was nothing left the second time"


@pytest.mark.parametrize("meanwhile", ["taken back", "to another description", None])
def test_a_yes_that_rests_on_a_consent_needs_it_to_stand_T_44(store: Store, meanwhile: str | None) -> None:
    said = consent()
    give(store, consent=said)
    if meanwhile == "taken back":
        end_of_user(store)
    elif meanwhile is not None:
        give(store, grant(7), consent=consent(fingerprint=digest("new")))
    push(store)
    open_request(store)
    rests: dict[str, Any] = {"browser": BROWSER, "consent": said, "event": None, "now": NOW}
    given = grant(9)
    assert store.requests.decide(HANDLE, grant=given, rests_on=said, **rests) is (meanwhile is None)
    assert (store.grants.get(given.grant_id) is not None) is (meanwhile is None), "all or nothing"
    assert store.requests.decide(HANDLE, grant=grant(9), **rests) is (meanwhile is not None), "who is asked may"


def test_a_user_s_consents_are_that_user_s_the_newest_first(store: Store) -> None:
    given = [consent(), consent(OTHER, agreed_at=NOW + 9), consent(user_id=BOB.user_id)]
    for number, said in enumerate(given):
        give(store, grant(number), consent=said)
    assert store.grants.consents_of(ADA.user_id, limit=9) == [given[1], given[0]]
    assert store.grants.consents_of(ADA.user_id, limit=1) == [given[1]]
    assert store.grants.consents_of("nobody", limit=9) == []


def test_a_consent_alone_is_forgotten_with_a_row(store: Store) -> None:
    end(store, give(store, consent=consent()))
    assert end_of_user(store) == 0
    assert store.grants.consent(ADA.user_id, API) is None
    assert ended(store) == ["end of grant-1", "all"]


def test_the_last_consent_of_a_user_to_a_client_is_the_one_that_counts(store: Store) -> None:
    """CIMD-27: with what it was given to."""
    other = consent(fingerprint=digest("new"), scopes=(), resources=("a", "b"), agreed_at=NOW + 9)
    for number, said in enumerate((consent(), other)):
        give(store, grant(number), consent=said)
        assert store.grants.consent(ADA.user_id, API) == said
    assert store.grants.consent(BOB.user_id, API) is None
    assert store.grants.consent(ADA.user_id, OTHER) is None


# --- sessions


def test_a_session_is_known_to_every_process_until_it_is_over(store: Store, place: Place) -> None:
    """F-9: a restart signs nobody out, and nobody in."""
    store.sessions.begin(session())
    store.close()
    again = place.open()
    assert again.sessions.get(digest("cookie"), now=NOW + 3599) == session()
    assert again.sessions.get(digest("cookie"), now=NOW + 3600) is None
    assert again.sessions.get(digest("other"), now=NOW) is None


def test_a_name_that_is_no_text_signs_in_all_the_same(store: Store) -> None:
    """It comes from another provider, and is only shown."""
    odd = User("user-eve", "Eve \ud83d")
    store.sessions.begin(session(user=odd))
    give(store, grant(user=odd))
    shown = User("user-eve", "Eve \ufffd")
    assert store.sessions.get(digest("cookie"), now=NOW) == session(user=shown)
    assert store.grants.get("grant-1") == grant(user=shown)


def test_to_sign_out_ends_one_session_and_says_whose_it_was(store: Store) -> None:
    for name in ("cookie", "other"):
        store.sessions.begin(session(name))
    assert store.sessions.end(digest("cookie")) == session()
    assert store.sessions.end(digest("cookie")) is None
    assert store.sessions.get(digest("cookie"), now=NOW) is None
    assert store.sessions.get(digest("other"), now=NOW) == session("other")


# --- what time does (PCR-28)


def counts(store: Store) -> tuple[int, int, int]:
    found = store.grants.counts()
    return found["requests"], found["grants"], found["sessions"]


def test_everything_is_counted_as_it_comes_and_goes(store: Store) -> None:
    assert counts(store) == (0, 0, 0)
    push(store)
    one, two = give(store), give(store, grant(2))
    store.sessions.begin(session())
    assert counts(store) == (1, 2, 1)
    end(store, one)
    end(store, one)
    end_of_user(store)
    end_of_user(store)
    store.sessions.end(digest("cookie"))
    store.sessions.end(digest("cookie"))
    open_request(store)
    store.requests.decide(HANDLE, browser=BROWSER, grant=None, consent=None, event=None, now=NOW)
    assert (counts(store), store.grants.is_live(two.grant_id)) == ((0, 0, 0), False)


def test_a_sweep_takes_what_is_over_and_leaves_what_lives(store: Store) -> None:
    """PCR-28, T-41: a minute late, so that a clock that is a little ahead takes nothing from anybody."""
    for number, end_at in ((1, NOW + 3600), (2, NOW + 7200)):
        give(store, grant(number, ends_at=end_at))
        store.sessions.begin(session(f"{number}", expires_at=end_at))
        push(store, digest(f"{number}"), now=end_at - 60)
    assert counts(store) == (2, 2, 2)
    assert store.grants.sweep(now=NOW + 3659, batch=9) == SweptFlow(0, 0, 0, 0)
    assert store.grants.sweep(now=NOW + 3660, batch=9) == SweptFlow(1, 1, 1, 0)
    assert counts(store) == (1, 1, 1)
    assert (store.grants.get("grant-1"), store.grants.get("grant-2")) == (None, grant(2, ends_at=NOW + 7200))
    assert store.sessions.get(digest("2"), now=NOW + 3660) is not None
    assert open_request(store, digest("2"), now=NOW + 7199, until=NOW + 7300) is not None


def test_a_request_before_a_browser_is_swept_when_its_time_to_decide_is_over(store: Store) -> None:
    push(store)
    open_request(store)
    assert store.grants.sweep(now=NOW + 659, batch=9).requests == 0
    assert store.grants.sweep(now=NOW + 660, batch=9).requests == 1
    assert counts(store) == (0, 0, 0)


def test_an_ended_grant_stays_until_its_last_artefact_would_be_dead_and_counts_no_more(store: Store) -> None:
    given = give(store)
    end(store, given)
    assert counts(store) == (0, 0, 0)
    assert store.grants.sweep(now=NOW + 3659, batch=9).grants == 0
    assert store.grants.sweep(now=NOW + 3660, batch=9).grants == 1
    assert (store.grants.get(given.grant_id), counts(store)) == (None, (0, 0, 0))


def test_a_sweep_goes_in_small_steps(store: Store) -> None:
    """T-41."""
    for number in range(3):
        push(store, digest(f"{number}"))
        store.sessions.begin(session(f"{number}"))
    late = NOW + 10_000
    swept = [store.grants.sweep(now=late, batch=2) for _ in range(3)]
    assert swept == [SweptFlow(2, 0, 2, 0), SweptFlow(1, 0, 1, 0), SweptFlow(0, 0, 0, 0)]


@pytest.mark.parametrize(("signed_in_at", "kept"), [(NOW + 86_400, True), (NOW - 1, False)])
def test_a_consent_is_kept_as_long_as_the_user_signs_in_now_and_then(
    store: Store, signed_in_at: int, kept: bool
) -> None:
    """PCR-28: a year after anybody last saw the user it is forgotten; somebody else's sign-in is not the user's."""
    give(store, consent=consent())
    store.sessions.begin(session(signed_in_at=signed_in_at))
    store.sessions.begin(session("other", user=BOB, signed_in_at=NOW + 2 * 86_400))
    assert store.grants.sweep(now=NOW + CONSENT_SECONDS - 1, batch=9).consents == 0
    assert store.grants.sweep(now=NOW + CONSENT_SECONDS, batch=9).consents == (not kept)
    assert (store.grants.consent(ADA.user_id, API) is not None) is kept
