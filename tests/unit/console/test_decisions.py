"""Recent decisions: the filter, the pages, and one request with what policy says of it."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from bridge.console.asked import asked_words, further_of, request_words
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authority import Authority, AuthorityKind, to_audit
from bridge.model.reasons import Reason
from tests.browsing import Page
from tests.contract.records import event
from tests.unit.console.stand import ConsoleStand

WEB, PAYMENTS = "spiffe://example.org/ns/web/sa/api", "spiffe://example.org/ns/payments/sa/batch"
HOSTILE = "</td></table><script>alert(1)</script>\x1b[2J\u202eevil"
REFUSED, ISSUED = AuditEventKind.REFUSED, AuditEventKind.TOKEN_ISSUED


def asked(*scopes: str, **more: object) -> dict[str, object]:
    return {"grant_type": "client_credentials", "scopes": list(scopes), "resources": [], "proved": [], **more}


def row(console: ConsoleStand, id_: str, kind: AuditEventKind = ISSUED, subject: str = WEB, **fields: object) -> None:
    given: dict[str, object] = {
        "door": "token",
        "evidence": "x509-svid",
        "rule": "web-reads-ledger",
        "outcome": "deny" if kind is REFUSED else "allow",
        "reason": "policy_scope" if kind is REFUSED else "",
        "client_id": subject,
        "policy_version": console.policies.current.version,
        "ask": asked("ledger.read", proved=["x5t#S256"]),
    }
    console.store.audit.append(event(kind, id=id_, time=console.now, subject=subject, **(given | fields)))


def ids(page: Page) -> list[str]:
    """Whose rows a page shows, without those of the signing keys that every service begins with."""
    found: list[str] = re.findall(r'/decisions/request\?id=([^"]+)"', page.text)
    return [one for one in found if not one.startswith("key-")]


@pytest.fixture
def log(console: ConsoleStand) -> ConsoleStand:
    row(console, "first")
    row(console, "second", REFUSED, ask=asked("ledger.write", proved=["x5t#S256"]), rule="")
    row(console, "third", subject=PAYMENTS, rule="payments-writes-ledger")
    row(
        console, "fourth", AuditEventKind.POLICY_CHANGED, subject="", rule="", ask={"before": "v0", "files": ["a.toml"]}
    )
    return console


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, ["fourth", "third", "second", "first"]),
        ({"event": "refused"}, ["second"]),
        ({"event": "token_issued"}, ["third", "first"]),
        ({"event": "no such event"}, []),
        ({"subject": WEB}, ["second", "first"]),
        ({"client": PAYMENTS}, ["third"]),
        ({"rule": "payments-writes-ledger"}, ["third"]),
        ({"outcome": "deny"}, ["second"]),
        ({"reason": "policy_scope", "subject": WEB}, ["second"]),
        ({"door": "par"}, []),
        ({"before": "4"}, ["second", "first"]),
        ({"before": "not a number"}, ["fourth", "third", "second", "first"]),
    ],
    ids=str,
)
def test_the_newest_rows_that_meet_the_filter_are_shown(
    log: ConsoleStand, query: dict[str, str], wanted: list[str]
) -> None:
    page = log.browser().get(f"/decisions?{urlencode(query)}")
    assert page.status == 200
    assert ids(page) == wanted


def test_the_filter_stays_in_its_fields_and_in_the_link_to_what_is_older(
    console: ConsoleStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.console.decisions.PAGE", 2)
    for number in range(5):
        row(console, f"id-{number}")
        row(console, f"other-{number}", subject=PAYMENTS)
    browser, seen = console.browser(), list[str]()
    url = f"/decisions?{urlencode({'subject': WEB})}"
    while url:
        page = browser.get(url)
        assert page.form.fields["subject"] == WEB
        seen += ids(page)
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        url = "" if older is None else older[1].replace("&amp;", "&")
    assert seen == [f"id-{number}" for number in range(4, -1, -1)]


def test_a_correlation_id_leads_to_its_request_at_once(log: ConsoleStand) -> None:
    found = log.browser().get("/decisions?id=second&event=token_issued")
    assert "Request second" in found.text
    assert log.browser().get("/decisions/request?id=second").text.count("What the log has") == 1


def test_a_refusal_is_explained_as_policy_explain_does_and_with_advice(log: ConsoleStand) -> None:
    page = log.browser().get("/decisions/request?id=second")
    assert page.status == 200
    assert "no one rule covers all of: ledger.write" in page.text
    assert "payments-writes-ledger" in page.text  # the nearest other rule
    assert "To do" in page.text
    assert "Not the answer of then" not in page.text


def test_what_was_decided_by_other_policies_is_said_to_be(log: ConsoleStand) -> None:
    row(log, "old", REFUSED, policy_version="v-of-last-year")
    page = log.browser().get("/decisions/request?id=old")
    assert "Not the answer of then: it was refused then (policy_scope), by policies v-of-last-year" in page.text
    row(log, "old too", policy_version="v-of-last-year", ask=asked("ledger.write"))
    assert "it was decided by policies v-of-last-year" in log.browser().get("/decisions/request?id=old+too").text


def test_what_no_rule_refused_is_said_so(log: ConsoleStand) -> None:
    row(log, "limit", REFUSED, reason=Reason.JWT_EXPIRED.value)
    assert "by no rule: jwt_expired" in log.browser().get("/decisions/request?id=limit").text


def test_an_id_that_nobody_has_is_404_with_what_to_do(log: ConsoleStand) -> None:
    page = log.browser().get("/decisions/request?id=nothing")
    assert page.status == 404
    assert "No audit row has this id" in page.text


def test_a_row_that_is_no_request_has_no_explanation(log: ConsoleStand) -> None:
    page = log.browser().get("/decisions/request?id=fourth")
    assert "What the policies in force say of it" not in page.text
    assert "a.toml" in page.text


def test_who_vouched_is_named_in_full(console: ConsoleStand) -> None:
    authority = Authority(AuthorityKind.ANCHOR, "0a" * 20, "0b" * 32)
    row(console, "with", ask=asked("ledger.read", authorities=to_audit([authority])))
    assert f"anchor <code>{'0b' * 32}" in console.browser().get("/decisions/request?id=with").text
    row(console, "odd", ask=asked("ledger.read", authorities="odd"))
    assert console.browser().get("/decisions/request?id=odd").status == 200


def test_hostile_text_is_inert(console: ConsoleStand) -> None:
    row(
        console,
        HOSTILE,
        REFUSED,
        subject=HOSTILE,
        rule=HOSTILE,
        reason=HOSTILE,
        outcome=HOSTILE,
        source_address=HOSTILE,
        client_id=HOSTILE,
        key_id=HOSTILE,
        jti=HOSTILE,
        policy_version=HOSTILE,
        ask={"grant_type": HOSTILE, "scopes": [HOSTILE], "resources": [HOSTILE], HOSTILE: HOSTILE},
    )
    browser = console.browser()
    for url in (
        "/decisions",
        f"/decisions/request?{urlencode({'id': HOSTILE})}",
        f"/decisions?{urlencode({'subject': HOSTILE, 'event': HOSTILE})}",
    ):
        page = browser.get(url)
        assert "<script" not in page.text
        assert "\x1b" not in page.text
        assert "\u202e" not in page.text
        assert "script" not in page.tags


def test_a_row_of_any_shape_has_words() -> None:
    assert request_words({}) == ""
    assert request_words({"grant_type": 7, "scopes": {"a": 1}}) == (
        '7, scope {"a": 1}, resource none named, key proved by none named'
    )
    assert asked_words({"grant_type": "client_credentials", "scopes": "no list", "granted": ["a", "b"]}) == "a b"
    assert asked_words({"scopes": ["x" * 120] * 64}) == f"{'x' * 120} {'x' * 79}... (7743 characters)"
    assert further_of({"files": ["a", "b"], "more": 3, "authorities": []}) == [("files", "a b"), ("more", "3")]
    assert AuditEvent("id", 1, ISSUED).ask == {}
