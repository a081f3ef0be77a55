"""Clients on pages: the tree, the list, and one client with what it did."""

from __future__ import annotations

import re
from urllib.parse import quote_plus, urlencode

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.authority import Authority, AuthorityKind
from bridge.model.authorization import User
from bridge.model.client import ClientKind, ClientState, Provenance
from bridge.model.evidence import EvidenceKind
from tests.browsing import Page
from tests.contract.flows import ADA, consent, give, grant
from tests.contract.records import ensure, event, instance, shared, spiffe
from tests.unit.console.stand import DOCUMENT, RESEARCHER, ConsoleStand
from tests.unit.console.test_policies import text_of

API, JOB = "spiffe://example.org/ns/web/sa/api", "spiffe://example.org/ns/batch/sa/job"
FLEET = "spiffe://example.org/ns/payments/sa/fleet"
HOSTILE = "</td><script>alert(1)</script>\x1b[2J\u202eevil"


@pytest.fixture
def filled(console: ConsoleStand) -> ConsoleStand:
    clients, now = console.store.clients, console.now
    ensure(clients, spiffe(API, rule="web-reads-ledger"), now=now)
    ensure(clients, spiffe("spiffe://example.org/ns/web/sa/gone"), now=now)
    clients.revoke("spiffe://example.org/ns/web/sa/gone", event=event(AuditEventKind.REVOKED), now=now)
    ensure(clients, shared(JOB, client_id="batch", subject="batch", rule="batch-shares-a-client"), now=now)
    vouched = (Authority(AuthorityKind.ANCHOR, "0a" * 20, "0b" * 32),)
    for number in range(7):
        proposed = instance(number, parent=FLEET, rule="payments-writes-ledger", authorities=vouched)
        ensure(clients, proposed, now=now, lease=now + 600)
    console.waiting(RESEARCHER)
    console.waiting(DOCUMENT, rule="apps", metadata={"client_name": "An app", "redirect_uris": ["https://a.example/c"]})
    return console


def shown(page: Page) -> list[str]:
    """The names in the first column of the first table."""
    table = page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    return re.findall(r'<th scope="row" class="long"><a href="[^"]+">([^<]+)</a>', table)


def all_pages(console: ConsoleStand, url: str) -> list[str]:
    browser, found = console.browser(), list[str]()
    while url:
        page = browser.get(url)
        assert page.status == 200
        found += shown(page)
        onward = re.search(r'href="([^"]+)" rel="next"', page.text)
        url = "" if onward is None else onward[1].replace("&amp;", "&")
    return found


TREE = [
    "batch",
    DOCUMENT,
    FLEET,
    *(f"instance-{number}" for number in range(5)),
    RESEARCHER,
    API,
    "spiffe://example.org/ns/web/sa/gone",
]


@pytest.mark.parametrize("size", [1, 2, 50])
@pytest.mark.parametrize("scan", [6, 5000])
def test_the_tree_has_instances_below_their_identity(
    filled: ConsoleStand, monkeypatch: pytest.MonkeyPatch, size: int, scan: int
) -> None:
    monkeypatch.setattr("bridge.console.clients.PAGE", size)
    monkeypatch.setattr("bridge.console.client_search.SCAN", scan)
    assert all_pages(filled, "/clients") == TREE


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"q": "spiffe://example.org/ns/web/"}, [API, "spiffe://example.org/ns/web/sa/gone"]),
        ({"q": API}, [API]),
        ({"q": FLEET}, [FLEET, *(f"instance-{number}" for number in range(5))]),
        ({"q": "instance-1"}, ["instance-1"]),
        ({"q": "https://"}, [DOCUMENT]),
        ({"q": "nobody begins so"}, []),
        # Below it come the halves of surrogate pairs, which no database takes.
        ({"q": "\ue000"}, []),
        ({"state": "pending"}, [DOCUMENT, RESEARCHER]),
        ({"state": "revoked"}, ["spiffe://example.org/ns/web/sa/gone"]),
        ({"state": "no such state"}, []),
        ({"rule": "web-reads-ledger"}, [API]),
        ({"rule": "payments-writes-ledger", "q": "instance-1"}, ["instance-1"]),
        ({"trust_domain": "elsewhere.example"}, []),
        ({"trust_domain": "example.org", "state": "active", "q": "spiffe:"}, [API]),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1, 50])
def test_clients_are_found_by_name_state_rule_and_trust_domain(
    filled: ConsoleStand, monkeypatch: pytest.MonkeyPatch, query: dict[str, str], wanted: list[str], size: int
) -> None:
    monkeypatch.setattr("bridge.console.clients.PAGE", size)
    assert all_pages(filled, f"/clients?{urlencode(query)}") == wanted


def test_an_exact_name_leads_to_its_client(filled: ConsoleStand) -> None:
    found = filled.browser().get(f"/clients?{urlencode({'q': API, 'how': 'is'})}")
    assert found.location == f"/clients/client?id={quote_plus(API)}"


def one(console: ConsoleStand, name: str, **more: str) -> Page:
    return console.browser().get(f"/clients/client?{urlencode({'id': name, **more})}")


def test_a_client_is_shown_with_what_it_could_get_and_what_it_did(filled: ConsoleStand) -> None:
    filled.store.audit.append(
        event(AuditEventKind.TOKEN_ISSUED, id="its-token", time=filled.now, subject=API, client_id=API)
    )
    said = text_of(one(filled, API).text)
    assert "State active" in said
    assert "ledger.read https://ledger.example.org web-reads-ledger jwt-svid, x509-svid" in said
    assert "its-token" in said


def test_a_client_that_waits_leads_to_its_approval(filled: ConsoleStand) -> None:
    page = one(filled, RESEARCHER)
    assert f'/approvals/client?client={quote_plus(RESEARCHER)}">1 to approve or deny' in page.text
    assert "after approval" in page.text


def test_an_identity_that_has_instances_only_has_a_page(filled: ConsoleStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.console.client_life.PAGE", 4)
    first = one(filled, FLEET)
    assert first.status == 200
    assert shown(first) == [f"instance-{number}" for number in range(4)]
    assert "instance=instance-3" in first.text
    assert shown(one(filled, FLEET, instance="instance-3")) == [f"instance-{number}" for number in range(4, 7)]


def test_an_instance_names_its_identity_its_lease_and_who_vouched_for_it(filled: ConsoleStand) -> None:
    said = text_of(one(filled, "instance-3").text)
    assert f"Instance of {FLEET}" in said
    assert "in 10 min" in said
    assert f"anchor {'0b' * 32}" in said


def test_members_are_shown_under_their_client_and_the_other_way_round(filled: ConsoleStand) -> None:
    assert shown(one(filled, "batch")) == [JOB]
    assert shown(one(filled, JOB)) == ["batch"]


def test_a_name_that_nobody_has_is_404_and_leads_to_the_search(filled: ConsoleStand) -> None:
    page = one(filled, "spiffe://example.org/ns/web")
    assert page.status == 404
    assert "/clients?q=spiffe" in page.text


def test_hostile_text_is_inert(console: ConsoleStand) -> None:
    name = HOSTILE.replace("\x1b", "")
    given = {"client_name": HOSTILE, "contacts": [HOSTILE], HOSTILE: {HOSTILE: HOSTILE}}
    ensure(
        console.store.clients,
        spiffe(
            name,
            kind=ClientKind.STATEMENT,
            subject=HOSTILE,
            trust_domain=None,
            rule=HOSTILE,
            state=ClientState.PENDING,
            metadata=given,
            provenance=Provenance(EvidenceKind.SOFTWARE_STATEMENT, statement_issuer=HOSTILE, statement_digest=HOSTILE),
        ),
        now=console.now,
    )
    console.store.clients.await_approval(name, rule=HOSTILE, digest="0" * 64, now=console.now)
    for page in (
        one(console, name),
        console.browser().get("/clients"),
        console.browser().get(f"/clients?{urlencode({'q': name, 'rule': name, 'state': name})}"),
    ):
        assert page.status == 200
        assert "script" not in page.tags
        assert "\x1b" not in page.text
        assert "\u202e" not in page.text


def test_the_start_page_counts_clients_by_state(filled: ConsoleStand) -> None:
    assert "2 pending" in filled.browser().get("/").text


# --- what nobody uses, and what users gave --------------------------------------------------------


@pytest.mark.parametrize("size", [1, 50])
@pytest.mark.parametrize("scan", [2, 5000])
def test_clients_that_nobody_used_come_the_longest_first(
    console: ConsoleStand, monkeypatch: pytest.MonkeyPatch, size: int, scan: int
) -> None:
    monkeypatch.setattr("bridge.console.clients.PAGE", size)
    monkeypatch.setattr("bridge.console.client_search.SCAN", scan)
    for number, days in enumerate((3, 40, 8, 100, 31)):
        name, rule = f"spiffe://example.org/n/{number}", f"rule-{number % 2}"
        ensure(console.store.clients, spiffe(name, rule=rule), now=console.now - days * 86_400)

    def names(*numbers: int) -> list[str]:
        return [f"spiffe://example.org/n/{number}" for number in numbers]

    assert all_pages(console, "/clients?unused=30d") == names(3, 1, 4)
    assert all_pages(console, "/clients?unused=7d&rule=rule-0") == names(4, 2)
    assert all_pages(console, f"/clients?unused=7d&q={names(3)[0]}") == names(3)
    assert all_pages(console, "/clients?unused=365d") == []
    assert all_pages(console, "/clients?unused=30d&state=revoked") == []
    assert all_pages(console, "/clients?unused=nonsense") == names(0, 1, 2, 3, 4)
    assert console.browser().get("/clients?unused=30d&after=nonsense").status == 200


def test_a_client_shows_who_gave_it_what_until_when(console: ConsoleStand) -> None:
    made = ensure(console.store.clients, spiffe(API), now=console.now).record
    hostile = User("user-bob", HOSTILE)
    for number in range(27):
        given = grant(
            number, epoch=str(made.epoch), created_at=console.now - number, user=ADA if number else hostile, actor=API
        )
        agreed = consent(user_id=f"user-{number:02}", agreed_at=console.now - number)
        give(console.store, given, consent=agreed, now=console.now)
    console.store.grants.end("grant-3", event=None, now=console.now)
    give(console.store, grant(99, client_id=JOB), now=console.now)
    browser = console.browser()
    page = browser.get(f"/clients/client?id={quote_plus(API)}")
    grants = page.text.partition('id="grants"')[2].partition("</section>")[0]
    assert grants.count("<tr>") == 1 + 25
    assert "ledger.read" in grants
    assert "over: registered anew" not in grants
    assert "&lt;script&gt;" in grants
    assert "<script>alert" not in page.text
    onward = [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]+)">Older', page.text)]
    older, more = browser.get(onward[0]).text, browser.get(onward[1]).text
    assert older.partition('id="grants"')[2].partition("</section>")[0].count("<tr>") == 1 + 1
    assert more.partition('id="consents"')[2].partition("</section>")[0].count("<tr>") == 1 + 2
    assert "form" not in grants, "nothing is revoked here"
    for odd in ("grant=nonsense", "consent=9999999999999999999-x", "grant=-1-x"):
        assert browser.get(f"/clients/client?id={quote_plus(API)}&{odd}").status == 200


def test_a_grant_to_an_earlier_registration_is_said_to_be_over(console: ConsoleStand) -> None:
    made = ensure(console.store.clients, spiffe(API), now=console.now).record
    give(console.store, grant(1, epoch=str(made.epoch)), now=console.now)
    assert "over: registered anew" not in console.browser().get(f"/clients/client?id={quote_plus(API)}").text
    console.store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=console.now)
    assert "over: registered anew" in console.browser().get(f"/clients/client?id={quote_plus(API)}").text
