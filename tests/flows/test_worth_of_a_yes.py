"""What a user's yes is worth when policy or the client changes: to what was shown, to that client, to that place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.approving import AGENT_CB, AGENT_RULES, APP_CB, Approving, Verifier, answered, running
from tests.flows.dpop import DpopKey
from tests.flows.stand import LEDGER
from tests.flows.test_code_flow_life import DESK, ID, put


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Approving]:
    with running(tmp_path / "service") as service:
        yield service


def test_what_a_user_agreed_to_without_being_asked_is_what_they_agreed_to_before(house: Approving) -> None:
    """T-44: the second time nobody is asked for the same; what a wider policy adds is asked for."""
    browser, pkce, lost = house.browser(), Verifier(), '"ledger.read", "orders.read"'
    put(house, AGENT_RULES.replace('"ledger.read", "ledger.write", "orders.read"', lost))
    narrow = house.pushed(house.agent(DESK), pkce, scope=None, resource=LEDGER)
    browser.decide(browser.authorize(client_id=ID + DESK, request_uri=narrow))
    again = house.pushed(house.agent(DESK), pkce, scope=None, resource=LEDGER)
    assert "code" in answered(browser.authorize(client_id=ID + DESK, request_uri=again))
    put(house, AGENT_RULES)
    wider = house.pushed(house.agent(DESK), pkce, scope=None, resource=LEDGER)
    assert "ledger.write" in browser.authorize(client_id=ID + DESK, request_uri=wider).text


@pytest.mark.parametrize("when", ["before the page", "before the yes"])
def test_nobody_is_sent_where_policy_does_not_let_the_client_be_answered_any_more(house: Approving, when: str) -> None:
    """T-30, RFC 9126 section 4: a redirect URI that its rule listed at the push, and does not list now."""
    moved = AGENT_RULES.replace("https://{1}.apps.example.org/cb", "https://{1}.apps.example.org/moved")
    for rules, sent in ((AGENT_RULES, True), (moved, False)):
        put(house, AGENT_RULES)
        browser, who = house.browser(), {"user": f"somebody-{sent}"}
        here = {"client_id": ID + DESK, "request_uri": house.pushed(house.agent(DESK), Verifier()), **who}
        browser.visit("/account", **who)
        if when == "before the page":
            put(house, rules)
            page = browser.authorize(**here)
        else:
            page = browser.authorize(**here)
            put(house, rules)
        if sent:
            assert "code" in answered(browser.decide(page))
            continue
        refused = page if when == "before the page" else browser.decide(page)
        assert (refused.status, refused.location) == (400, None)
        put(house, AGENT_RULES)
        assert browser.authorize(**here).status == 400, "and is over by that"


@pytest.mark.parametrize("client", ["workload", "document"])
def test_a_yes_is_not_remembered_for_a_client_that_ended_and_came_back_T_23(house: Approving, client: str) -> None:
    """Whoever has the name now need not be whom the user agreed to."""
    browser, url = house.browser(), house.app()
    client_id, to = (ID + DESK, AGENT_CB) if client == "workload" else (url, APP_CB)

    def asks() -> bool:
        who = house.agent(DESK) if client == "workload" else {"client_id": url}
        page = browser.authorize(client_id=client_id, request_uri=house.pushed(who, Verifier(), redirect_uri=to))
        answered(browser.decide(page) if page.status == 200 else page, to)
        return page.status == 200

    assert [asks(), asks()] == [True, False]
    assert house.operate("clients", "revoke", client_id)[0] == 0
    assert [asks(), asks()] == [True, False]


@pytest.mark.parametrize("client", ["workload", "document"])
def test_the_first_request_after_an_end_is_one_of_the_client_that_came_back_T_23(house: Approving, client: str) -> None:
    """Whatever a worker remembered of the record: the code would be refused when it is redeemed."""
    url, key = house.app(), DpopKey()
    client_id, to = (ID + DESK, AGENT_CB) if client == "workload" else (url, APP_CB)
    for verb in (None, "revoke"):
        who, pkce = house.agent(DESK) if client == "workload" else {"client_id": url}, Verifier()
        if verb is not None:
            assert house.operate("clients", verb, client_id)[0] == 0
        request_uri = house.pushed(who, pkce, redirect_uri=to, key=key)
        assert house.redeem(who, house.code(client_id, request_uri), pkce, key=key).status == 200, verb
