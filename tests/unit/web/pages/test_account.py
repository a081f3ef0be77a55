"""What a user approved, on their own page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.authorization import PUSHED_CLIENT_ID, Consent, Grant, User
from bridge.model.client import ClientKind
from bridge.model.evidence import Door, EvidenceKind
from tests.browsing import Browser, Form
from tests.unit.web.pages.stand import DOCUMENT, LEDGER, NOW, ORDERS, SPIFFE_ID, Stand


def grant(stand: Stand, user: str = "alice", **other: object) -> Grant:
    """One that a user gave."""
    made = Grant(
        grant_id="grant-1",
        code_digest="0" * 64,
        user=User(stand.ids.of("development", user), user),
        client_id=DOCUMENT,
        kind=ClientKind.METADATA_DOCUMENT,
        evidence=EvidenceKind.METADATA_DOCUMENT,
        door=Door.AUTHORIZE,
        scopes=("ledger.read",),
        resources=(LEDGER,),
        redirect_uri="https://app.example.com/callback",
        code_challenge="c" * 43,
        created_at=NOW,
        code_expires_at=NOW + 60,
        ends_at=NOW + 3600,
        metadata={"client_name": "<b>The Friendly App</b>"},
    )
    return replace(made, **other)  # type: ignore[arg-type]


@pytest.fixture
def stand() -> Stand:
    return Stand()


def end(browser: Browser, form: Form) -> int:
    return browser.post(form.action, form.fields).status


def test_nobody_sees_it_who_is_not_signed_in(stand: Stand) -> None:
    stand.grants.rows = [grant(stand)]
    assert DOCUMENT not in stand.browser().get("/account").text


def test_everybody_sees_their_own_alone(stand: Stand) -> None:
    stand.grants.rows = [grant(stand), grant(stand, "bob", grant_id="grant-2", client_id=SPIFFE_ID)]
    assert SPIFFE_ID not in stand.signed_in("alice").get("/account").text
    bob = stand.signed_in("bob").get("/account").text
    assert SPIFFE_ID in bob
    assert DOCUMENT not in bob


def test_grants_to_one_client_are_one_entry_with_all_that_it_has(stand: Stand) -> None:
    stand.grants.rows = [
        grant(stand),
        grant(stand, grant_id="grant-2", created_at=NOW - 86400, scopes=("orders.read",), resources=(ORDERS,)),
    ]
    page = stand.signed_in().get("/account")
    assert len(page.forms) == 1
    assert all(words in page.text for words in ("Read entries", "Read orders", "The ledger", ORDERS))
    assert "Since 14 January 2027, 08:00 UTC" in page.text
    assert "&lt;b&gt;The Friendly App&lt;/b&gt;" in page.text


def test_ending_it_ends_all_of_that_client_and_is_written_down(stand: Stand) -> None:
    stand.grants.rows = [
        grant(stand),
        grant(stand, grant_id="grant-2"),
        grant(stand, grant_id="grant-3", client_id="x"),
    ]
    browser = stand.signed_in()
    form = next(form for form in browser.get("/account").forms if form.fields["client_id"] == DOCUMENT)
    assert end(browser, form) == 303
    assert [row.grant_id for row in stand.grants.rows if row.ended_at is None] == ["grant-3"]
    (event,) = stand.grants.events
    assert (event.event, event.client_id, event.outcome) == (AuditEventKind.REVOKED, DOCUMENT, "ended_by_user")
    assert event.subject == stand.ids.of("development", "alice")


def test_pushed_clients_are_one_entry_each_and_end_alone(stand: Stand) -> None:
    pushed = {"client_id": PUSHED_CLIENT_ID, "kind": ClientKind.PUSHED}
    stand.grants.rows = [grant(stand, **pushed), grant(stand, grant_id="grant-2", **pushed)]
    browser = stand.signed_in()
    page = browser.get("/account")
    forms = page.forms
    assert len(forms) == page.text.count("An application that nobody registered") == 2
    assert end(browser, forms[0]) == 303
    assert [row.ended_at for row in stand.grants.rows] in ([None, NOW], [NOW, None])


def test_what_is_over_is_not_there(stand: Stand) -> None:
    stand.grants.rows = [grant(stand, ended_at=NOW - 1), grant(stand, grant_id="grant-2", ends_at=NOW)]
    assert "No application has access" in stand.signed_in().get("/account").text


def test_a_yes_that_is_remembered_can_be_taken_back_when_nothing_is_left_of_it_T_44(stand: Stand) -> None:
    """Nobody would be asked the next time, so it is there; what has access is one entry, consent and all."""
    alice, bob = (stand.ids.of("development", name) for name in ("alice", "bob"))
    consents = [
        Consent(user, client, "f" * 64, ("ledger.read",), (LEDGER,), NOW)
        for user, client in ((alice, DOCUMENT), (alice, SPIFFE_ID), (bob, "fleet"))
    ]
    stand.grants.rows, stand.grants.consents = [grant(stand)], consents
    browser = stand.signed_in()
    page = browser.get("/account")
    assert [form.fields["client_id"] for form in page.forms] == [DOCUMENT, SPIFFE_ID]
    assert page.text.count("again without asking you") == 1
    assert end(browser, page.forms[1]) == 303
    assert stand.grants.consents == [consents[0], consents[2]]
    (event,) = stand.grants.events
    assert (event.client_id, event.outcome) == (SPIFFE_ID, "ended_by_user")
    assert SPIFFE_ID not in browser.get("/account").text


def test_nobody_ends_another_s_T_44(stand: Stand) -> None:
    pushed = {"client_id": PUSHED_CLIENT_ID, "kind": ClientKind.PUSHED}
    stand.grants.rows = [grant(stand), grant(stand, grant_id="grant-2", **pushed)]
    alice, mallory = stand.signed_in("alice"), stand.signed_in("mallory")
    forms = alice.get("/account").forms
    for form in forms:
        assert end(mallory, form) == 400
    # With a form of her own for the same client she ends what she has of it: nothing. Of a pushed client's grant
    # she would have to know the name, and it is still not hers.
    stand.grants.rows += [
        grant(stand, "mallory", grant_id="grant-3"),
        grant(stand, "mallory", grant_id="grant-4", **pushed),
    ]
    for form in mallory.get("/account").forms:
        assert end(mallory, form) == 303
    assert [row.grant_id for row in stand.grants.rows if row.ended_at is None] == ["grant-1", "grant-2"]
    for form in forms:
        assert end(alice, form) == 303


@pytest.mark.parametrize("field", ["client_id", "grant_id", "form_token"])
def test_a_form_that_is_not_as_it_was_shown_ends_nothing_T_44(stand: Stand, field: str) -> None:
    pushed = {"client_id": PUSHED_CLIENT_ID, "kind": ClientKind.PUSHED}
    stand.grants.rows = [grant(stand, **pushed), grant(stand, grant_id="grant-2")]
    browser = stand.signed_in()
    form = next(form for form in browser.get("/account").forms if form.fields["grant_id"])
    changed = {**form.fields, field: "x"}
    assert browser.post("/account", changed).status == 400
    assert stand.grants.events == []
    assert end(browser, form) == 303


def test_a_session_that_is_over_ends_nothing(stand: Stand) -> None:
    stand.grants.rows = [grant(stand)]
    browser = stand.signed_in()
    form = browser.get("/account").form
    stand.sessions.rows.clear()
    told = browser.follow(browser.post("/account", form.fields))
    assert "signed out meanwhile" in told.text
    assert stand.grants.events == []
