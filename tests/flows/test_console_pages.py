"""Clients, decisions and policies on the console's own Unix socket, as a service at work fills them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.browsing import Page
from tests.flows.client import jwt_fields
from tests.flows.stand import RULES, Stand
from tests.flows.test_console import SocketConnection, exchange

BATCH = "/ns/payments/sa/batch"
ID = f"spiffe://example.org{BATCH}"
WRITE = {"grant_type": "client_credentials", "scope": "ledger.write"}


class Watched:
    """A service, and an operator at its console."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self._connection = SocketConnection(stand.folder / "run/console.sock")

    def visit(self, path: str) -> Page:
        page = exchange(self._connection, path, None)
        assert page.status == 200, page.text
        return page

    def follow(self, page: Page, href: str) -> Page:
        """Press a link of that page."""
        assert f'href="{href}"' in page.text
        return self.visit(href.replace("&amp;", "&"))

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "run").mkdir(exist_ok=True)
    with Stand(folder, more='[console]\nlisten = "unix:run/console.sock"\n', workers=1) as stand:
        operator = Watched(stand)
        yield operator
        operator.close()


def text_of(page: Page) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def test_who_can_get_a_scope_since_when_and_who_used_it_today_in_two_clicks(watched: Watched) -> None:
    stand = watched.stand
    svid = stand.authority.x509_svid(BATCH)
    fields = {**WRITE, "client_id": ID}
    assert stand.client.post("/token", fields, svid=svid, mtls=True).token
    policy = watched.follow(watched.visit("/"), "/policy")
    said = text_of(watched.follow(policy, "/policy/scope?scope=ledger.write"))
    assert "spiffe://example.org/ns/payments/sa/* payments-writes-ledger settlement x509-svid" in said
    assert "before the log begins" in said
    assert re.search(rf"{ID} 1 \d+ s ago payments-writes-ledger {ID}", said)
    # A rule that comes while the service runs is dated by the change that brought it.
    stand.write_rules(RULES.replace('path = "/ns/web/sa/*" }', 'path = ["/ns/web/sa/*", "/ns/shop/sa/*"] }'))
    shop = "/policy/scope?scope=ledger.read"
    stand.until(lambda: "/ns/shop/sa/*" in watched.visit(shop).text, "the policies are in force")
    stand.until(lambda: "before the log begins" in watched.visit(shop).text, "and the change is in the log")
    row = re.search(r"/ns/shop/sa/\*</th>.*?</tr>", watched.visit(shop).text, re.DOTALL)
    assert row is not None
    (change,) = (row for row in stand.audit() if row["event"] == "policy_changed")
    assert f"/decisions/request?id={change['id']}" in row[0]


def test_a_refusal_is_followed_from_its_id_to_the_rule_that_was_missing(watched: Watched) -> None:
    refused = watched.stand.client.post("/token", {**jwt_fields(watched.stand.jwt("/ns/web/sa/api")), **WRITE})
    assert refused.status == 400
    page = watched.visit(f"/decisions?{urlencode({'id': refused.headers['X-Request-Id']})}")
    said = text_of(page)
    assert "Refused: policy_scope" in said
    assert "no one rule covers all of: ledger.write" in said
    assert "payments-writes-ledger example.org.toml" in said
    assert refused.headers["X-Request-Id"] in watched.visit("/decisions?event=refused&rule=").text


def test_a_client_is_found_and_shown_with_what_it_did(watched: Watched) -> None:
    reader = "/ns/web/sa/reader"
    answer = watched.stand.client.post("/token", jwt_fields(watched.stand.jwt(reader)))
    assert answer.token
    found = watched.visit("/clients?q=spiffe%3A%2F%2Fexample.org%2Fns%2Fweb%2F")
    client = watched.follow(found, "/clients/client?id=spiffe%3A%2F%2Fexample.org%2Fns%2Fweb%2Fsa%2Freader")
    said = text_of(client)
    assert "State active" in said
    assert "Admitted by web-reads-ledger" in said
    # A request that named no scope: what was given stands in the row.
    assert re.search(r"token_issued \S+ ledger\.read web-reads-ledger", said)
    assert answer.headers["X-Request-Id"] in client.text


def test_a_request_is_tried_and_nothing_comes_of_it(watched: Watched) -> None:
    before = len(watched.stand.audit())
    query = {"subject": "spiffe://example.org/ns/none/sa/x", "evidence": "jwt-svid", "scope": "ledger.read"}
    said = text_of(watched.visit(f"/policy/try?{urlencode(query)}"))
    assert "Effect deny" in said
    assert "web-reads-ledger example.org.toml the path /ns/none/sa/x does not match" in said
    assert len(watched.stand.audit()) == before
