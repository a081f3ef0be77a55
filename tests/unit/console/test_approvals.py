"""A yes or a no from the console: to what was shown, by who was shown it, once, and audited (ROFU-12, T-44)."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientState
from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.reasons import Reason
from bridge.registration.seen_documents import look_at
from bridge.registration.verdicts import local_user
from tests.browsing import Browser, Page
from tests.contract.records import API, ensure
from tests.unit.console.stand import ASKS, DOCUMENT, ORIGIN, RESEARCHER, ConsoleStand

ME = local_user(os.getuid())
SAME_ORIGIN = ((b"origin", ORIGIN.encode()), (b"sec-fetch-site", b"same-origin"))


def asked(browser: Browser, client: str = RESEARCHER) -> Page:
    page = browser.get(f"/approvals/client?{urlencode({'client': client})}")
    assert page.status == 200, page.text
    return page


def decisions(console: ConsoleStand) -> list[AuditEvent]:
    kinds = [AuditEventKind.APPROVED, AuditEventKind.DENIED]
    return [row.event for row in console.store.audit.rows(events=kinds)]


def is_approved(console: ConsoleStand, client: str = RESEARCHER, rule: str = ASKS, digest: str | None = None) -> bool:
    terms = (rule, digest or console.digest(rule))
    return console.store.clients.find(client, subject=client, terms=terms).approved


def test_whoever_waits_is_listed_with_what_it_would_get(console: ConsoleStand) -> None:
    console.waiting()
    browser = console.browser()
    page = browser.get("/approvals")
    assert RESEARCHER in page.text
    assert "4 wait" not in browser.get("/").text
    assert "1 waits for a yes or no" in browser.get("/").text
    page = asked(browser)
    for shown in (ASKS, "an operator looks at each", "https://orders.example.org", "orders.read", "5 min"):
        assert shown in page.text
    assert set(page.form.buttons) == {"approve", "deny"}


def test_a_yes_lets_the_client_in_and_names_the_operator_and_the_note(console: ConsoleStand) -> None:
    console.waiting()
    browser = console.browser()
    done = browser.submit(asked(browser), "approve", note="SEC-7, reviewed")
    assert is_approved(console)
    record = console.store.clients.get(RESEARCHER)
    assert record is not None
    assert record.state is ClientState.ACTIVE
    (event,) = decisions(console)
    assert (event.event, event.subject, event.rule) == (AuditEventKind.APPROVED, RESEARCHER, ASKS)
    assert (event.door, event.source_address, event.reason) == ("operator", ME, "SEC-7, reviewed")
    assert done.location == f"/approvals/done?id={event.id}"
    page = browser.follow(done)
    for shown in (RESEARCHER, "approved", ME, "SEC-7, reviewed", f"bridge audit show {event.id}"):
        assert shown in page.text
    assert browser.get(f"/decisions/request?id={event.id}").status == 200
    assert f'href="/decisions/request?id={event.id}"' in page.text
    assert "Nobody waits." in browser.get("/approvals").text


def test_a_no_keeps_the_client_out(console: ConsoleStand) -> None:
    console.waiting()
    browser = console.browser()
    page = browser.follow(browser.submit(asked(browser), "deny", note="INC-42"))
    assert "Denied" in page.text
    assert "INC-42" in page.text
    assert console.store.clients.find(RESEARCHER, subject=RESEARCHER).denied
    (event,) = decisions(console)
    assert (event.event, event.source_address, event.reason) == (AuditEventKind.DENIED, ME, "INC-42")


@pytest.mark.parametrize("button", ["approve", "deny"])
def test_a_form_that_is_sent_twice_is_done_once(console: ConsoleStand, button: str) -> None:
    console.waiting()
    browser = console.browser()
    page = asked(browser)
    assert "/approvals/done" in browser.submit(page, button).location
    again = browser.submit(page, button)
    assert again.location.startswith("/approvals?gone=")
    assert "Nothing was done" in browser.follow(again).text
    assert len(decisions(console)) == 1


def test_of_two_operators_the_second_is_told_that_somebody_was_faster(console: ConsoleStand) -> None:
    console.waiting()
    one, other = console.browser(), console.browser(**{"bridge.peer_uid": os.getuid() + 1})
    pages = asked(one), asked(other)
    one.submit(pages[0], "approve")
    assert "Nothing was done" in other.follow(other.submit(pages[1], "approve")).text
    assert len(decisions(console)) == 1


def test_a_yes_is_to_what_was_shown_and_to_nothing_that_came_since(console: ConsoleStand) -> None:
    console.waiting()
    browser = console.browser()
    page = asked(browser)
    console.store.clients.await_approval(RESEARCHER, rule="other", digest="d", now=console.now)
    console.store.clients.await_approval(RESEARCHER, rule=ASKS, digest="e" * 64, now=console.now)
    assert "Nothing was done" in browser.follow(browser.submit(page, "approve")).text
    assert not is_approved(console)
    assert not is_approved(console, rule="other", digest="d")
    assert decisions(console) == []


def test_terms_of_a_rule_that_changed_let_nobody_in_and_are_not_offered(console: ConsoleStand) -> None:
    console.waiting(digest="0" * 64)
    page = asked(console.browser())
    assert "The rule has changed since this was asked for" in page.text
    assert set(page.form.buttons) == {"deny"}


def test_an_instance_is_shown_with_who_stands_behind_it_and_decided_alone(console: ConsoleStand) -> None:
    console.waiting()
    one = console.waiting("instance-1", subject=f"{RESEARCHER} k", kind=ClientKind.INSTANCE, parent=RESEARCHER)
    browser = console.browser()
    assert browser.get("/approvals").text.count(RESEARCHER) >= 2
    page = asked(browser, one)
    assert f"<dd>{RESEARCHER}</dd>" in page.text
    browser.submit(page, "approve")
    assert (is_approved(console, one), is_approved(console)) == (True, False)


# --- forms (T-44) -------------------------------------------------------------------------------


def test_a_browser_s_own_words_about_the_form_are_fine(console: ConsoleStand) -> None:
    console.waiting()
    browser = console.browser()
    form = asked(browser).form
    answer = browser.post(form.action, {**form.fields, "approve": "approve"}, *SAME_ORIGIN)
    assert "/approvals/done" in answer.location


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"sec-fetch-site", b"cross-site")], id="another site"),
        pytest.param([(b"sec-fetch-site", b"same-site")], id="another port of this host"),
        pytest.param([(b"sec-fetch-site", b"none")], id="no page at all"),
        pytest.param([(b"origin", b"https://evil.example")], id="origin"),
        pytest.param([(b"origin", b"http://localhost:9999")], id="origin of another port"),
        pytest.param([(b"origin", b"null")], id="an origin that is hidden"),
        pytest.param([(b"origin", ORIGIN.encode()), (b"sec-fetch-site", b"cross-site")], id="half right"),
    ],
)
def test_a_form_from_another_page_is_not_taken(console: ConsoleStand, headers: list[tuple[bytes, bytes]]) -> None:
    console.waiting()
    browser = console.browser()
    form = asked(browser).form
    answer = browser.post(form.action, {**form.fields, "approve": "approve"}, *headers)
    assert answer.status == 403
    assert console.observed.refusals[-1][1] == "form_token"
    assert decisions(console) == []


@pytest.mark.parametrize("changed", ["client", "terms", "document", "form_token", "absent"])
def test_a_form_that_is_about_something_else_than_was_shown_is_not_taken(console: ConsoleStand, changed: str) -> None:
    console.waiting()
    console.waiting(API, digest="f" * 64)
    browser = console.browser()
    fields = {**asked(browser).form.fields, "approve": "approve"}
    others = {"client": API, "terms": json.dumps([["other", "d"]]), "document": "0" * 64}
    if changed == "absent":
        del fields["form_token"]
    elif changed == "form_token":
        fields["form_token"] = asked(browser, API).form.fields["form_token"]
    else:
        fields[changed] = others[changed]
    answer = browser.post("/approvals/client", fields)
    assert answer.status == 403, answer.text
    assert decisions(console) == []


def test_another_operator_s_form_is_not_taken(console: ConsoleStand) -> None:
    console.waiting()
    theirs = asked(console.browser(**{"bridge.peer_uid": os.getuid() + 1}))
    browser = console.browser()
    assert browser.submit(theirs, "approve").status == 403
    assert decisions(console) == []
    assert "/approvals/done" in browser.submit(asked(browser), "approve").location


def test_a_form_is_good_for_some_hours(console: ConsoleStand) -> None:
    console.waiting()
    browser = console.browser()
    page = asked(browser)
    console.now += 4 * 3600
    assert browser.submit(page, "approve").status == 403
    console.now -= 1
    assert "/approvals/done" in browser.submit(page, "approve").location


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"approve": "approve", "deny": "deny"}, 400),
        ({"approve": "approve", "note": "x" * 501}, 400),
        ({"approve": "approve", "note": "red \u202e flag"}, 400),
        ({"approve": "approve", "note": "x" * 500}, 303),
    ],
    ids=["no button", "both buttons", "a long note", "a note that turns round", "the longest note"],
)
def test_a_form_says_one_thing(console: ConsoleStand, fields: dict[str, str], status: int) -> None:
    console.waiting()
    browser = console.browser()
    form = asked(browser).form
    assert browser.post(form.action, {**form.fields, **fields}).status == status
    assert len(decisions(console)) == (status == 303)


def test_what_is_no_form_is_not_read(console: ConsoleStand) -> None:
    page = console.browser()._ask("POST", "/approvals/client", b"{}", [(b"content-type", b"application/json")])
    assert page.status == 415


def test_names_that_nobody_has_are_shown_and_do_nothing(console: ConsoleStand) -> None:
    browser = console.browser()
    page = browser.get("/approvals/client?client=%3Cscript%3E")
    assert "No client goes by this name" in page.text
    assert page.forms == []
    assert "no approval and no denial" in browser.get("/approvals/done?id=nothing").text
    ensure(console.store.clients)
    assert "It waits for nothing" in asked(browser, API).text
    assert browser.get("/approvals/client").status == 400


# --- documents (CIMD-24) ------------------------------------------------------------------------


def serve(console: ConsoleStand, name: str = "Notes") -> str:
    """Put a document at the URL; its digest."""
    body = json.dumps(
        {
            "client_id": DOCUMENT,
            "client_name": name,
            "redirect_uris": ["https://app.example.com/cb"],
            "token_endpoint_auth_method": "none",
        }
    ).encode()
    seen = look_at(DOCUMENT, lambda url, *, for_keys: body)
    console.documents[DOCUMENT] = seen
    return seen.digest


def waits_for_a_document(console: ConsoleStand) -> None:
    console.waiting(DOCUMENT, metadata={})


def look(browser: Browser, page: Page) -> Page:
    (form,) = [form for form in page.forms if form.action == "/approvals/document"]
    return browser.post(form.action, form.fields)


def decide(browser: Browser, page: Page, button: str) -> Page:
    (form,) = [form for form in page.forms if form.action == "/approvals/client"]
    return browser.post(form.action, {**form.fields, button: button})


def test_a_document_is_seen_before_its_client_is_let_in(console: ConsoleStand) -> None:
    waits_for_a_document(console)
    digest = serve(console)
    browser = console.browser()
    page = asked(browser, DOCUMENT)
    assert "Notes" not in page.text
    assert not any("approve" in form.buttons for form in page.forms)
    page = look(browser, page)
    for shown in ("Notes", "its own word", "https://app.example.com/cb", digest):
        assert shown in page.text
    assert "/approvals/done" in decide(browser, page, "approve").location
    (event,) = decisions(console)
    assert dict(event.ask) == {"document": digest}
    assert is_approved(console, DOCUMENT)


def test_a_document_that_nobody_saw_lets_nobody_in(console: ConsoleStand) -> None:
    waits_for_a_document(console)
    serve(console)
    browser = console.browser()
    (form,) = [form for form in asked(browser, DOCUMENT).forms if "deny" in form.buttons]
    assert browser.post(form.action, {**form.fields, "approve": "approve"}).status == 400
    assert decisions(console) == []
    assert "/approvals/done" in browser.post(form.action, {**form.fields, "deny": "deny"}).location


@pytest.mark.parametrize(
    "fault",
    [EvidenceRejected(Reason.DOCUMENT_REFUSED, "it is 404"), Unavailable(Reason.FETCH_FAILED, "it is 404")],
    ids=["refused", "unavailable"],
)
def test_a_document_that_cannot_be_seen_is_told_of(console: ConsoleStand, fault: Unavailable) -> None:
    waits_for_a_document(console)
    console.documents[DOCUMENT] = fault
    browser = console.browser()
    page = look(browser, asked(browser, DOCUMENT))
    assert "There is nothing to see: it is 404" in page.text
    assert not any("approve" in form.buttons for form in page.forms)


def test_nothing_is_fetched_for_whom_nobody_asked_or_who_waits_no_more(console: ConsoleStand) -> None:
    waits_for_a_document(console)
    browser = console.browser()
    (form,) = [form for form in asked(browser, DOCUMENT).forms if form.action == "/approvals/document"]
    forged = replace(form, fields={**form.fields, "client": "https://inner.example/secrets"})
    assert browser.post(forged.action, forged.fields).status == 403
    assert browser.get("/approvals/document?client=x").status == 405
    console.store.clients.revoke(DOCUMENT, event=AuditEvent("r", console.now, AuditEventKind.REVOKED), now=console.now)
    # The stand has no document: a look would be an error of the test.
    assert "gone=" in browser.post(form.action, form.fields).location
