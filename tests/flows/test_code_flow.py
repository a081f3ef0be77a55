"""Agents, applications and tools that act for people: from the pushed request to the last token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import bridge.app
from tests.flows.approving import AGENT_CB, Approving, Verifier, answered
from tests.flows.stand import LEDGER
from tests.flows.timed import Clock

ID = "spiffe://example.org"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Approving]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bridge.app, "now", clock)
        running = Approving(tmp_path_factory.mktemp("house") / "service", clock)
        yield running
        running.close()


def test_an_agent_pushes_is_approved_and_redeems(house: Approving) -> None:
    """ROFU-18, OAS-8, OAS-29: registered on first use at PAR; the SPIFFE ID stands in the token as the actor."""
    path, pkce = "/ns/people/sa/desk", Verifier()
    request_uri = house.pushed(house.agent(path), pkce)
    browser = house.browser()
    page = browser.authorize(client_id=ID + path, request_uri=request_uri)
    assert page.status == 200
    answer = answered(browser.decide(page))
    assert (answer["state"], answer["iss"]) == ("state-of-this-request", house.stand.client.issuer)
    reply = house.redeem(house.agent(path), answer["code"], pkce, redirect_uri=AGENT_CB)
    claims = reply.claims
    assert claims["client_id"] == ID + path
    assert claims["act"] == {"sub": ID + path}
    assert claims["sub"].startswith("user-")
    assert "client_token" not in claims
    assert (claims["aud"], claims["scope"]) == (LEDGER, "ledger.read")
    again = house.refresh(house.agent(path), reply.body["refresh_token"])
    assert again.claims["sub"] == claims["sub"]
