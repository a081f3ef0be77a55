"""The policies on pages: who can get what, by which rule and why, since when, and who used it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest

from bridge.console import uses
from bridge.console.matrix import Matrices
from bridge.console.since import Change, Histories, History, Known, Since
from bridge.console.uses import HOUR, UseBook
from bridge.model.audit import AuditEventKind
from bridge.policy.gains import MOST_NAMED, gained
from bridge.policy.reach import Survey
from tests.browsing import Browser
from tests.contract.records import NOW, event
from tests.unit.console.stand import ConsoleStand
from tests.unit.policy.policy_folders import Policies, rule

WRITER = "spiffe://example.org/ns/payments/sa/*"
PAYER = "spiffe://example.org/ns/payments/sa/batch"
HOSTILE = "</script><script>alert(1)</script>\x1b[2J\u202e"


@pytest.fixture
def policies(tmp_path: Path) -> Policies:
    """A policy folder beside the console's."""
    folder = tmp_path / "other-policies"
    folder.mkdir()
    return Policies(folder)


def issued(console: ConsoleStand, subject: str = PAYER, *, time: int | None = None, **ask: object) -> None:
    console.store.audit.append(
        event(
            AuditEventKind.TOKEN_ISSUED,
            time=console.now if time is None else time,
            subject=subject,
            client_id=subject,
            rule="payments-writes-ledger",
            ask={"grant_type": "client_credentials", "scopes": ["ledger.write"], **ask},
        )
    )


def changed(console: ConsoleStand, before: str, after: str, *, time: int, **ask: object) -> str:
    row = event(AuditEventKind.POLICY_CHANGED, time=time, policy_version=after, ask={"before": before, **ask})
    console.store.audit.append(row)
    return row.id


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# --- the pages ----------------------------------------------------------------------------------


def test_the_matrix_says_who_has_what_by_which_rule_and_why(console: ConsoleStand) -> None:
    page = console.browser().get("/policy")
    assert page.status == 200
    said = text_of(page.text)
    assert f"{WRITER} payments-writes-ledger settlement payments-writes-ledger settlement" in said
    assert "spiffe://example.org/ns/research/sa/* research-asks after approval an operator looks at each" in said


def test_a_scope_is_two_clicks_from_the_start_page(console: ConsoleStand) -> None:
    """The console answers who can get ledger.write, since when, and who used it today."""
    issued(console)
    issued(console)
    browser = console.browser()
    start = browser.get("/")
    assert '<h2><a href="/policy">Policy</a></h2>' in start.text
    link = re.search(r'href="(/policy/scope\?scope=ledger\.write)"', browser.get("/policy").text)
    assert link is not None
    said = text_of(browser.get(link[1]).text)
    assert f"{WRITER} payments-writes-ledger settlement x509-svid" in said
    assert "before the log begins" in said
    assert f"{PAYER} 2 0 s ago payments-writes-ledger {PAYER}" in said


def test_a_page_says_since_when_by_the_change_that_brought_it(console: ConsoleStand) -> None:
    now = console.policies.current.version
    brought = changed(console, "v1", now, time=NOW, gained={"ledger.write": [WRITER]})
    page = console.browser().get("/policy/scope?scope=ledger.write")
    assert f"/decisions/request?id={brought}" in page.text


def test_a_resource_has_pages_and_a_filter(console: ConsoleStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.console.policies.PAGE", 2)
    browser, url, seen = console.browser(), "/policy/resource?name=https%3A%2F%2Forders.example.org", list[str]()
    while url:
        page = browser.get(url)
        seen += re.findall(r'<th scope="row" class="long">(\S+?)</th>', page.text)
        onward = re.search(r'href="([^"]+)" rel="next"', page.text)
        url = "" if onward is None else onward[1].replace("&amp;", "&")
    assert seen == [f"spiffe://example.org/ns/{name}/sa/*" for name in ("batch", "both", "edge", "once", "research")]
    only = browser.get("/policy/resource?name=https%3A%2F%2Forders.example.org&with=edge")
    assert "1 patterns" not in only.text or "edge" in only.text
    assert "/ns/batch/" not in only.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/policy/scope?scope=nothing", "no such scope"),
        ("/policy/resource?name=nothing", "no such resource"),
    ],
)
def test_what_the_catalogue_does_not_know_is_404(console: ConsoleStand, path: str, words: str) -> None:
    page = console.browser().get(path)
    assert page.status == 404
    assert words in page.text
    assert console.browser().get("/policy/scope?scope=ledger.read").status == 200


TRIED = {"subject": PAYER, "evidence": "x509-svid", "scope": "ledger.write", "resource": "https://ledger.example.org"}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({}, "Effect allow Asked by"),
        ({"scope": "orders.read", "resource": ""}, "no one rule covers all of: orders.read"),
        ({"evidence": "jwt-svid"}, "rules name it, but none for jwt-svid at the door token"),
        ({"proved": "none"}, "lacks a proof"),
        ({"proved": "jkt"}, "lacks a proof"),
        ({"proved": "x5t#S256"}, "Effect allow Asked by"),
        ({"grant_type": "refresh_token", "door": "par"}, "no rule gives it the grant type refresh_token"),
        ({"evidence": ""}, "This is no request: say the evidence"),
        ({"evidence": "magic"}, "This is no request: evidence is one of"),
        ({"door": "back"}, "This is no request: door is one of"),
        ({"subject": "", "resource": ""}, "This is no request: say a subject"),
        ({"subject": "spiffe://Example.org/x"}, "This is no request"),
        ({"subject": "", "evidence": "pushed", "scope": "", "resource": ""}, "a pushed client"),
    ],
    ids=str,
)
def test_a_request_is_tried_out(console: ConsoleStand, other: Mapping[str, str], words: str) -> None:
    page = console.browser().get(f"/policy/try?{urlencode({**TRIED, **other})}")
    assert page.status == 200
    assert words in text_of(page.text)


def test_the_form_keeps_what_was_filled_in_and_says_what_each_other_rule_lacked(console: ConsoleStand) -> None:
    page = console.browser().get(f"/policy/try?{urlencode(TRIED)}")
    assert {name: page.form.fields[name] for name in ("subject", "scope", "resource")} == {
        name: TRIED[name] for name in ("subject", "scope", "resource")
    }
    assert "<option selected>x509-svid</option>" in page.text
    assert "web-reads-ledger example.org.toml the path /ns/payments/sa/batch does not match /ns/web/sa/*" in text_of(
        page.text
    )


def test_hostile_text_is_inert(console: ConsoleStand) -> None:
    changed(console, HOSTILE, HOSTILE, time=NOW, gained={"ledger.write": [HOSTILE, 7], HOSTILE: HOSTILE})
    issued(console, HOSTILE, scopes=["ledger.write", HOSTILE])
    browser, plain = console.browser(), HOSTILE.replace("\x1b", "")
    query = urlencode(dict.fromkeys(("scope", "name", "with", "subject", "evidence", "issuer", "spiffe_id"), plain))
    for path in ("/policy", "/policy/resource", "/policy/scope", "/policy/try"):
        for url in (f"{path}?{query}", f"{path}?scope=ledger.write&name=x"):
            page = browser.get(url)
            assert page.status in (200, 404), url
            assert "script" not in page.tags
            assert "\x1b" not in page.text
            assert "\u202e" not in page.text


# --- the matrix ---------------------------------------------------------------------------------


def test_the_matrix_holds_exactly_what_reach_says(policies: Policies) -> None:
    policy = policies.load(
        rule("reads")
        + rule("both", when='path = "/ns/pay/sa/*"', scopes='"ledger.read", "ledger.write"')
        + rule("no", effect="deny", when='path = "/ns/pay/sa/api", scope = "ledger.write"')
    )
    matrix = Matrices().of(policy)
    found = {
        (who.pattern, scope, given.rule.id, evidence, given.unless)
        for scope in policy.scopes()
        for who, ways in matrix.having(scope)
        for given in ways
        for evidence in given.with_
    }
    assert found == {(r.pattern, r.scope, r.rule, r.evidence.value, r.unless) for r in Survey(policy).whole()}
    assert any(unless == ("no",) for *_, unless in found)


def test_the_matrix_is_made_anew_for_another_policy_only(policies: Policies) -> None:
    matrices, policy = Matrices(), policies.load(rule("reads"))
    first = matrices.of(policy)
    assert matrices.of(policy) is first
    assert matrices.of(policies.load(rule("other"))) is not first


# --- since when ---------------------------------------------------------------------------------


def change(number: int, gained: dict[str, list[str]] | None, *, before: str = "", more: int = 0) -> Change:
    ask: dict[str, object] = {"before": before or f"v{number - 1}"}
    if gained is not None:
        ask |= {"gained": gained, **({"gained_more": more} if more else {})}
    return Change.of(
        event(AuditEventKind.POLICY_CHANGED, id=f"c{number}", time=number, policy_version=f"v{number}", ask=ask)
    )


GAINS = {"ledger.write": [WRITER]}


@pytest.mark.parametrize(
    ("changes", "began_with", "wanted"),
    [
        ([], "v3", Since(Known.BEFORE, 0)),
        ([], "", Since(Known.BEFORE, 0)),
        ([], "v0", Since(Known.AFTER, 0, "v3")),
        ([change(3, {})], "v2", Since(Known.BEFORE, 0)),
        ([change(3, GAINS)], "v2", Since(Known.AT, 3, "v3", "c3")),
        ([change(3, {}), change(2, GAINS)], "v1", Since(Known.AT, 2, "v2", "c2")),
        ([change(3, GAINS), change(2, GAINS)], "v1", Since(Known.AT, 3, "v3", "c3")),
        ([change(3, None), change(2, GAINS)], "v1", Since(Known.BY, 3, "v3", "c3")),
        ([change(3, {}, more=1), change(2, GAINS)], "v1", Since(Known.BY, 3, "v3", "c3")),
        ([change(2, GAINS)], "v1", Since(Known.AFTER, 2, "v3")),
        ([change(3, {}), change(1, GAINS)], "v0", Since(Known.BY, 3, "v3", "c3")),
        ([change(3, {})], "v1", Since(Known.BY, 3, "v3", "c3")),
    ],
    ids=[
        "no-change",
        "an-empty-log",
        "the-log-began-with-others",
        "a-change-of-something-else",
        "a-change",
        "an-earlier-change",
        "lost-and-gained-again",
        "a-row-of-an-earlier-release",
        "a-change-too-large-to-name",
        "others-since-the-last-row",
        "others-between-two-rows",
        "others-before-the-first-row",
    ],
)
def test_since_when_is_known_or_bounded(changes: list[Change], began_with: str, wanted: Since) -> None:
    assert History(changes, began_with, 0).since(WRITER, "ledger.write", version="v3") == wanted


def test_the_history_goes_on_where_it_ended(console: ConsoleStand) -> None:
    histories = Histories(console.store.audit)
    assert histories.now().changes == ()
    first = changed(console, "v0", "v1", time=NOW, gained=GAINS)
    assert [one.id for one in histories.now().changes] == [first]
    second = changed(console, "v1", "v2", time=NOW + 1, gained={})
    assert [one.id for one in histories.now().changes] == [second, first]
    assert [one.id for one in histories.now().changes] == [second, first]
    assert histories.now().began_with == "v0"


def test_what_a_change_gives_is_named_by_scope_and_pattern(policies: Policies) -> None:
    before = policies.load(rule("reads") + rule("gone", when='path = "/ns/a/sa/b"'))
    after = policies.load(
        rule("renamed") + rule("more", when='path = "/ns/a/sa/*"', scopes='"ledger.read", "ledger.write"')
    )
    wide = "spiffe://example.org/ns/a/sa/*"
    assert gained(before, after) == ({"ledger.read": [wide], "ledger.write": [wide]}, 0)
    assert gained(after, after) == ({}, 0)
    many = policies.load("".join(rule(f"r{n}", when=f'path = "/ns/n{n}/sa/x"') for n in range(MOST_NAMED + 3)))
    named, more = gained(before, many)
    assert (len(named["ledger.read"]), more) == (MOST_NAMED, 3)


# --- who used it --------------------------------------------------------------------------------


def test_tokens_of_the_last_day_are_counted_by_identity(console: ConsoleStand) -> None:
    book = UseBook(console.store.audit)
    issued(console, time=NOW - 2 * 86_400)
    issued(console, time=NOW - 3 * HOUR)
    issued(console, "spiffe://example.org/ns/payments/sa/other", time=NOW - 60)
    issued(console, scopes=["ledger.read"])
    issued(console, scopes=[], granted=["ledger.write"])
    issued(console, scopes=[])
    found = book.of("ledger.write", now=NOW)
    assert [(use.subject, use.tokens, use.last) for use in found.found] == [
        (PAYER, 2, NOW),
        ("spiffe://example.org/ns/payments/sa/other", 1, NOW - 60),
    ]
    assert (found.whole, found.full, found.unsaid) == (True, False, 1)
    assert [use.tokens for use in book.of("ledger.read", now=NOW).found] == [1]
    issued(console)
    assert book.of("ledger.write", now=NOW).found[0].tokens == 3
    later = book.of("ledger.write", now=NOW + 86_400 - HOUR)
    assert [use.tokens for use in later.found] == [2, 1]
    assert book.of("ledger.write", now=NOW + 3 * 86_400).found == ()


@pytest.mark.parametrize("said", [7, "ledger.write", {"ledger.write": 1}, [["ledger.write"]], [None]], ids=str)
def test_a_row_that_says_its_scopes_as_nobody_writes_them_says_none(console: ConsoleStand, said: object) -> None:
    issued(console)
    issued(console, scopes=said)
    found = UseBook(console.store.audit).of("ledger.write", now=NOW)
    assert ([use.tokens for use in found.found], found.unsaid) == ([1], 1)


def test_a_long_day_is_read_in_parts_from_its_end(console: ConsoleStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "ROWS_AT_ONCE", 4)
    book = UseBook(console.store.audit)
    for number in range(10):
        issued(console, time=NOW - 10 + number)
    seen = []
    for _ in range(3):
        found = book.of("ledger.write", now=NOW)
        seen.append((sum(use.tokens for use in found.found), found.whole))
    assert seen[0] == (4, False)
    assert seen[1] == (8, False)
    assert seen[2] == (10, True)
    assert found.since == (NOW - 86_400) // HOUR * HOUR


def test_more_than_can_be_counted_is_said_to_be(console: ConsoleStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "MOST_COUNTS", 3)
    monkeypatch.setattr(uses, "ROWS_AT_ONCE", 3)
    book = UseBook(console.store.audit)
    for number in range(9):
        issued(console, f"spiffe://example.org/ns/payments/sa/p{number}")
    book.of("ledger.write", now=NOW)
    found = book.of("ledger.write", now=NOW)
    assert (len(found.found), found.whole, found.full) == (3, False, True)
    browser = console.browser()
    assert "Look further back" in browser.get("/policy/scope?scope=ledger.write").text
    assert "more of the day than is counted here" in browser.get("/policy/scope?scope=ledger.write").text


# --- rules that decided nothing -------------------------------------------------------------------


def idle_of(console: ConsoleStand, browser: Browser) -> tuple[str, list[str]]:
    """What the page says, and the rules that it names."""
    section = browser.get("/policy").text.partition('id="idle"')[2].partition("</section>")[0]
    return text_of(section), re.findall(r"<li><code>([^<]+)</code>", section)


def test_each_look_goes_further_back_for_rules_that_decided_nothing(
    console: ConsoleStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.console.idle_rules.ROWS_AT_ONCE", 3)
    rules = sorted(one.id for one in console.policies.current.rules)
    for number, name in enumerate(rules):
        row = event(AuditEventKind.TOKEN_ISSUED, rule=name, time=console.now - 86_400 * (20 - number))
        console.store.audit.append(row)
    browser, left = console.browser(), list(rules)
    while left:
        left = left[:-3]
        words, named = idle_of(console, browser)
        assert named == left
    assert "each of the" in words or "None" in words
    assert idle_of(console, browser)[1] == []
    for _ in range(7):
        console.store.audit.append(event(AuditEventKind.REFUSED, time=console.now))
    assert idle_of(console, browser)[1] == [], "what was seen stays seen"
    assert idle_of(console, console.browser())[1] == []


def test_a_rule_is_named_until_a_row_names_it(console: ConsoleStand) -> None:
    rules = sorted(one.id for one in console.policies.current.rules)
    console.store.audit.append(event(AuditEventKind.TOKEN_ISSUED, rule=rules[0], time=console.now))
    words, named = idle_of(console, console.browser())
    assert named == rules[1:]
    assert f"{len(rules) - 1} of {len(rules)} since" in words
    assert "where the audit log begins" in words
    console.store.audit.append(event(AuditEventKind.REFUSED, rule=rules[1], time=console.now))
    assert idle_of(console, console.browser())[1] == rules[2:]
