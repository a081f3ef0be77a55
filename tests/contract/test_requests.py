"""Authorization requests: pushed, opened by a browser, decided once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.authorization import PUSHED_CLIENT_ID, AuthorizationRequest, OpenRequest
from bridge.model.client import ClientKind
from bridge.model.errors import LimitReached
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.store.ports import Store
from tests.contract.flows import (
    ANOTHER_BROWSER,
    BROWSER,
    DECIDE_UNTIL,
    HANDLE,
    consent,
    digest,
    grant,
    open_request,
    push,
    pushed_request,
    request,
)
from tests.contract.places import Place
from tests.contract.records import API, NOW, OTHER, event

URL = "https://client.example/c"
FOR_DOCUMENT = PolicySubject(
    Source.METADATA_DOCUMENT, EvidenceKind.METADATA_DOCUMENT, spiffe_id=SpiffeId.parse(API), url=URL
)
FOR_STATEMENT = PolicySubject(
    Source.SOFTWARE_STATEMENT, EvidenceKind.SOFTWARE_STATEMENT, issuer="https://ci.example.org", subject="job"
)


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        pushed_request(),
        pushed_request(state='a "state"\x00 \ud800 é', metadata={"client_name": "\ud83d", "n": [1, None, True]}),
        request(client_id=URL, kind=ClientKind.METADATA_DOCUMENT, subject=FOR_DOCUMENT, state=""),
        request(client_id="statement-1", kind=ClientKind.STATEMENT, subject=FOR_STATEMENT),
    ],
    ids=["spiffe", "pushed", "odd characters", "document", "statement"],
)
def test_a_request_is_opened_as_it_was_pushed_by_every_process(
    store: Store, place: Place, asked: AuthorizationRequest
) -> None:
    """PCR-14: what counts is what was pushed, byte for byte."""
    store.requests.push(HANDLE, asked, expires_at=NOW + 60, now=NOW)
    opened = open_request(place.open(), client_id=asked.client_id)
    assert opened == OpenRequest(asked, DECIDE_UNTIL)
    assert store.requests.opened(HANDLE, browser=BROWSER, now=NOW) == opened


def test_only_the_client_that_pushed_a_request_opens_it(store: Store) -> None:
    """PCR-13, also for the browser that has it open."""
    push(store)
    for client_id in (OTHER, PUSHED_CLIENT_ID, ""):
        assert open_request(store, client_id=client_id) is None
    assert open_request(store) is not None
    assert open_request(store, client_id=OTHER) is None


def test_an_unknown_handle_opens_nothing(store: Store) -> None:
    """PCR-12."""
    push(store)
    assert open_request(store, digest("other")) is None
    assert store.requests.opened(HANDLE, browser=BROWSER, now=NOW) is None, "it was not opened yet"
    assert open_request(store) is not None


@pytest.mark.parametrize(("late", "there"), [(59, True), (60, False)])
def test_a_request_is_opened_within_its_time(store: Store, late: int, there: bool) -> None:
    """PCR-12, T-32."""
    push(store)
    assert (open_request(store, now=NOW + late) is not None) is there


@pytest.mark.parametrize(("late", "there"), [(599, True), (600, False)])
def test_the_browser_that_opened_it_comes_back_until_the_end_that_was_said_first(
    store: Store, late: int, there: bool
) -> None:
    """PCR-12: to reload prolongs nothing."""
    asked = push(store)
    for at in (NOW, NOW + 300):
        assert open_request(store, now=at, until=at + 600) == OpenRequest(asked, NOW + 600)
    found = open_request(store, now=NOW + late, until=NOW + late + 600)
    assert found == (OpenRequest(asked, NOW + 600) if there else None)
    assert store.requests.opened(HANDLE, browser=BROWSER, now=NOW + late) == found


@pytest.mark.parametrize(("late", "there"), [(59, True), (60, False)])
def test_another_browser_opens_it_only_within_the_time_of_the_request(store: Store, late: int, there: bool) -> None:
    """T-32. The last that opened it has it, and may not have it for longer than the first was told."""
    asked = push(store)
    assert open_request(store)
    found = open_request(store, browser=ANOTHER_BROWSER, now=NOW + late, until=NOW + late + 600)
    assert found == (OpenRequest(asked, DECIDE_UNTIL) if there else None)
    holder, other = (ANOTHER_BROWSER, BROWSER) if there else (BROWSER, ANOTHER_BROWSER)
    assert store.requests.opened(HANDLE, browser=holder, now=NOW + late) is not None
    assert store.requests.opened(HANDLE, browser=other, now=NOW + late) is None


def decide(store: Store, *, browser: str = BROWSER, now: int = NOW, approve: bool = True) -> bool:
    kind = AuditEventKind.APPROVED if approve else AuditEventKind.REFUSED
    given = grant(created_at=now) if approve else None
    return store.requests.decide(
        HANDLE,
        browser=browser,
        grant=given,
        consent=consent() if approve else None,
        event=event(kind, id="decision", time=now),
        now=now,
    )


def rows(store: Store) -> list[AuditEventKind]:
    return [row.event.event for row in store.audit.rows()]


@pytest.mark.parametrize("approve", [True, False], ids=["approve", "deny"])
def test_a_decision_consumes_the_request_with_all_that_comes_of_it(store: Store, place: Place, approve: bool) -> None:
    """PCR-12, T-32, F-9: by whichever process, and a restart brings nothing back."""
    push(store)
    open_request(store)
    assert decide(store, approve=approve)
    assert store.grants.by_code(digest("code-1")) == (grant() if approve else None)
    assert store.grants.consent("user-ada", API) == (consent() if approve else None)
    assert rows(store) == [AuditEventKind.APPROVED if approve else AuditEventKind.REFUSED]
    store.close()
    again = place.open()
    assert open_request(again) is None
    assert again.requests.opened(HANDLE, browser=BROWSER, now=NOW) is None
    assert not decide(again, approve=True)
    assert len(rows(again)) == 1


def test_a_decision_without_a_grant_a_consent_or_a_row_is_one_too(store: Store) -> None:
    """A remembered consent writes no other; nothing is audited where nobody said so."""
    push(store)
    open_request(store)
    assert store.requests.decide(HANDLE, browser=BROWSER, grant=None, consent=None, event=None, now=NOW)
    assert open_request(store) is None
    assert rows(store) == []


@pytest.mark.parametrize(
    ("browser", "late", "decides"),
    [(BROWSER, 599, True), (BROWSER, 600, False), (ANOTHER_BROWSER, 0, False)],
    ids=["in time", "too late", "another browser"],
)
def test_only_the_browser_that_has_it_decides_and_in_time(store: Store, browser: str, late: int, decides: bool) -> None:
    """T-32: whoever else tries changes nothing."""
    push(store)
    open_request(store)
    assert decide(store, browser=browser, now=NOW + late) is decides
    assert (store.grants.get("grant-1") is not None) is decides
    assert (store.grants.consent("user-ada", API) is not None) is decides
    assert len(rows(store)) == decides


def test_nobody_decides_about_a_request_that_nobody_opened(store: Store) -> None:
    push(store)
    assert not decide(store)
    assert open_request(store) is not None
    assert decide(store)


def test_a_full_table_refuses_new_requests_and_puts_none_out(place: Place) -> None:
    """T-42: what was pushed stays good, and there is room again when one is decided."""
    store = place.open(request_limit=3)
    handles = [digest(f"{number}") for number in range(4)]
    for handle in handles[:3]:
        push(store, handle)
    for _ in range(2):
        with pytest.raises(LimitReached) as refusal:
            push(store, handles[3])
        assert (refusal.value.limit, refusal.value.retry_after) == ("waiting_requests", 60)
    assert all(open_request(store, handle) for handle in handles[:3])
    assert store.requests.decide(handles[0], browser=BROWSER, grant=None, consent=None, event=None, now=NOW)
    push(store, handles[3])
    with pytest.raises(LimitReached):
        push(store, digest("5"))


def test_requests_whose_time_is_over_make_room_without_a_sweep(place: Place) -> None:
    """T-42: who fills the table holds it for the life of a request, not until somebody sweeps."""
    store = place.open(request_limit=2)
    push(store, digest("1"))
    push(store, digest("2"))
    assert open_request(store, digest("2"))
    with pytest.raises(LimitReached):
        push(store, now=NOW + 119)
    push(store, now=NOW + 120)
    assert open_request(store, now=NOW + 120, until=NOW + 720)
    assert open_request(store, digest("2"), now=NOW + 120), "it is before a browser, and stays"


def test_the_same_handle_is_never_pushed_twice_over_what_is_there(store: Store) -> None:
    """Handles are random, so this never happens; if it did, nobody's request would become another's."""
    asked = push(store)
    with pytest.raises(Exception, match="UNIQUE"):
        store.requests.push(HANDLE, replace(asked, client_id=OTHER), expires_at=NOW + 60, now=NOW)
    assert open_request(store) == OpenRequest(asked, DECIDE_UNTIL)
