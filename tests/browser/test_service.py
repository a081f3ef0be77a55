"""The whole service in its own processes, and a person with a browser: from a workload's push to a user's token."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.browser.chromium import ENTER, Chromium
from tests.browser.house import PICTURES
from tests.browser.served import Client
from tests.browser.test_flow import answer_of
from tests.flows.client import JWT_SPIFFE
from tests.flows.stand import LEDGER, RULES, Stand

AGENT = "spiffe://example.org/ns/people/sa/desk"
AGENT_RULES = f"""
[[rule]]
id = "agents-act-for-people"
why = "people's own agents"
effect = "allow"
when = {{ path = "/ns/people/sa/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
bind = "if-present"
grant_types = ["authorization_code", "refresh_token"]
redirect_uris = ["http://127.0.0.1/callback"]
"""
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path, more='[users]\nsource = "development"\n')
    stand.write_rules(RULES + AGENT_RULES)
    with stand:
        yield stand


def by(stand: Stand, **fields: str) -> dict[str, str]:
    """A form of the agent's, who proves who it is."""
    assertion = stand.jwt("/ns/people/sa/desk")
    return {"client_assertion_type": JWT_SPIFFE, "client_assertion": assertion, **fields}


def test_an_agent_gets_a_token_of_the_person_who_approved(chromium: Chromium, client: Client, service: Stand) -> None:
    assert "signs in as anybody" in service.log
    pushed = service.client.post(
        "/par",
        by(
            service,
            response_type="code",
            redirect_uri=client.callback,
            code_challenge=CHALLENGE,
            code_challenge_method="S256",
            state="the-state",
        ),
    )
    assert pushed.status == 201, pushed.content
    query = urlencode({"client_id": AGENT, "request_uri": pushed.body["request_uri"]})
    chromium.go(f"{service.client.issuer}/authorize?{query}")
    chromium.fill("#user", "alice" + ENTER)
    assert chromium.find("h1 .who").text == AGENT
    assert chromium.shows("Read entries")
    chromium.screenshot(PICTURES / "service-consent.png")
    chromium.click("button[name=approve]")
    answer = answer_of(client)
    assert (answer["state"], answer["iss"]) == ("the-state", service.client.issuer)
    redeemed = service.client.post(
        "/token",
        by(
            service,
            grant_type="authorization_code",
            code=answer["code"],
            code_verifier=VERIFIER,
            redirect_uri=client.callback,
        ),
    )
    assert redeemed.claims["sub"].startswith("user-")
    assert redeemed.claims["act"] == {"sub": AGENT}
    assert chromium.refusals() == []
    # The person sees it, and ends it.
    chromium.go(f"{service.client.issuer}/account")
    assert chromium.find("article h2").text == AGENT
    chromium.click("article form button")
    assert chromium.shows("No application has access")
    refreshed = service.client.post(
        "/token", by(service, grant_type="refresh_token", refresh_token=str(redeemed.body["refresh_token"]))
    )
    assert refreshed.error == "invalid_grant"
