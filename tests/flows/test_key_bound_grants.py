"""What the page says of stolen copies is so, whatever the rule binds and whoever refreshes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.approving import AGENT_RULES, Approving, Verifier, running
from tests.flows.dpop import DpopKey
from tests.flows.test_code_flow_life import DESK, ID, put

USELESS, STEALABLE = "It is useless", "not tied to a key"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Approving]:
    with running(tmp_path / "service") as service:
        yield service


@pytest.mark.parametrize("bind", ["none", "if-present", "any", "jkt"])
@pytest.mark.parametrize("is_keyed", [True, False], ids=["key", "no key"])
def test_a_copy_is_called_useless_only_where_tokens_are_bound(house: Approving, bind: str, is_keyed: bool) -> None:
    """OAS-21. A rule that binds nothing gives bearer tokens for a code that is bound to a key, too."""
    head, tail = AGENT_RULES.split('bind = "if-present"', 1)
    put(house, f'{head}bind = "{bind}"{tail}')
    pkce, browser, key = Verifier(), house.browser(), DpopKey() if is_keyed else None
    request_uri = house.pushed(house.agent(DESK), pkce, key=key)
    page = browser.authorize(client_id=ID + DESK, request_uri=request_uri)
    code = browser.decide(page).answer["code"]
    is_bound = bind in ("any", "jkt") or (bind == "if-present" and is_keyed)
    assert (USELESS in page.text, STEALABLE in page.text) == (is_bound, not is_bound)
    reply = house.redeem(house.agent(DESK), code, pkce, key=key or (DpopKey() if is_bound else None))
    assert ("cnf" in reply.claims) is is_bound


def test_what_began_with_a_key_is_not_refreshed_without_any(house: Approving) -> None:
    """A client that authenticates may change its key (RFC 9449 section 5), and not leave it away."""
    pkce, who, key = Verifier(), house.agent(DESK), DpopKey()
    code = house.code(ID + DESK, house.pushed(who, pkce, key=key))
    token = house.redeem(who, code, pkce, key=key).body["refresh_token"]
    assert house.refresh(who, token).error == (400, "invalid_request")
    for proof in (key, DpopKey()):
        assert house.refresh(who, token, key=proof).claims["cnf"] == {"jkt": proof.thumbprint}
    unbound = Verifier()
    code = house.code(ID + DESK, house.pushed(who, unbound))
    token = house.redeem(who, code, unbound).body["refresh_token"]
    assert house.refresh(who, token).body["token_type"] == "Bearer", "where nobody was told otherwise"
