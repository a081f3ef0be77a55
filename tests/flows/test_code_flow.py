"""Agents, applications and tools that act for people: from the pushed request to the last token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from bridge.lab.jws import JwtKey
from tests.flows.approving import (
    AGENT_CB,
    APP_CB,
    LOOPBACK_CB,
    SHARED_CB,
    URN,
    Approving,
    Verifier,
    answered,
    running,
)
from tests.flows.client import JWT_BEARER
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import PORTAL, jwks
from tests.flows.stand import LEDGER, ORDERS

ID = "spiffe://example.org"
DESK = "/ns/people/sa/desk"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Approving]:
    with running(tmp_path_factory.mktemp("house") / "service") as service:
        yield service


# --- workloads ------------------------------------------------------------------------------------


def test_a_workload_s_first_call_at_par_registers_it_and_a_user_s_yes_gives_it_a_token(house: Approving) -> None:
    """ROFU-18, OAS-8, OAS-29, PCR-23, PCR-32: nobody registered it; its SPIFFE ID stands in the token as the actor."""
    path, pkce, row = "/ns/people/sa/desk", Verifier(), house.last_row()
    assert ID + path not in house.records()
    request_uri = house.pushed(house.agent(path), pkce)
    assert house.records()[ID + path].rule == "agents-act-for-people"
    browser = house.browser()
    page = browser.authorize(client_id=ID + path, request_uri=request_uri)
    assert page.status == 200
    answer = answered(browser.decide(page))
    assert set(answer) == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("state-of-this-request", house.stand.client.issuer)
    reply = house.redeem(house.agent(path), answer["code"], pkce, redirect_uri=AGENT_CB)
    claims = reply.claims
    assert (claims["client_id"], claims["act"]) == (ID + path, {"sub": ID + path})
    assert (claims["aud"], claims["scope"]) == (LEDGER, "ledger.read")
    assert claims["sub"].startswith("user-")
    assert "client_token" not in claims
    assert reply.headers["Cache-Control"] == "no-store"
    assert house.events(row) == [
        ("registered", "par", "active"),
        ("approved", "par", "consent"),
        ("token_issued", "par", "allow"),
    ]


def test_what_is_written_down_of_a_user_s_token_says_whose_it_is_and_explains_the_same(house: Approving) -> None:
    path, pkce = "/ns/people/sa/desk", Verifier()
    code = house.code(ID + path, house.pushed(house.agent(path), pkce))
    claims = house.redeem(house.agent(path), code, pkce).claims
    approved, issued = house.rows_of(ID + path)[-2:]
    assert (approved.event.value, approved.jti, approved.ask["user"]) == ("approved", claims["grant"], claims["sub"])
    assert (issued.event.value, issued.jti, issued.ask["grant"]) == ("token_issued", claims["jti"], claims["grant"])
    assert issued.ask["user"] == claims["sub"]
    # One policy version decides it again at the door where it was decided.
    code_, said = house.operate("policy", "explain", "--audit", issued.id, "--json")
    assert code_ == 0, said


def test_a_refresh_token_of_a_workload_stays_and_gives_what_was_given(house: Approving) -> None:
    """OAS-15, OAS-16: a confidential client proves who it is each time; its key is not asked for."""
    pkce, key = Verifier(), DpopKey()
    code = house.code(ID + DESK, house.pushed(house.agent(DESK), pkce, scope="ledger.read ledger.write"))
    first = house.redeem(house.agent(DESK), code, pkce)
    token = first.body["refresh_token"]
    for _ in range(2):
        again = house.refresh(house.agent(DESK), token)
        assert again.body["refresh_token"] == token
        assert again.claims["scope"] == "ledger.read ledger.write"
        assert again.claims["grant"] == first.claims["grant"]
        assert again.claims["act"] == {"sub": ID + DESK}
    bound = house.refresh(house.agent(DESK), token, key=key)
    assert bound.claims["cnf"] == {"jkt": key.thumbprint}
    svid = house.stand.authority.x509_svid(DESK)
    other_key = house.ask({"grant_type": "refresh_token", "refresh_token": token, "client_id": ID + DESK}, svid=svid)
    assert other_key.claims["act"] == {"sub": ID + DESK}, "the SPIFFE ID is what it is bound to, whatever proves it"
    assert "x5t#S256" in other_key.claims["cnf"]


def test_a_workload_pushes_and_redeems_over_mutual_tls(house: Approving) -> None:
    path, pkce = "/ns/people/sa/mtls", Verifier()
    svid, named = house.stand.authority.x509_svid(path), {"client_id": ID + path}
    request_uri = house.pushed(named, pkce, svid=svid, redirect_uri="https://mtls.apps.example.org/cb")
    code = house.code(ID + path, request_uri)
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": pkce.verifier, **named}
    assert "x5t#S256" in house.ask(form, svid=svid).claims["cnf"]


def test_members_of_a_shared_client_act_under_its_name_each_for_itself(house: Approving) -> None:
    """OAS-29: `act.sub` is the workload, `client_id` what it shares; a code is for the member that asked for it."""
    pkce, one, other = Verifier(), "/ns/fleet/sa/one", "/ns/fleet/sa/other"
    request_uri = house.pushed(house.agent(one), pkce, redirect_uri=SHARED_CB)
    code = house.code("fleet", request_uri)
    assert house.redeem(house.agent(other), code, pkce).error == (400, "invalid_grant")
    reply = house.redeem(house.agent(one), code, pkce)
    assert (reply.claims["client_id"], reply.claims["act"]) == ("fleet", {"sub": ID + one})
    token = reply.body["refresh_token"]
    assert house.refresh(house.agent(other), token).error == (400, "invalid_grant")
    assert house.refresh(house.agent(one), token).claims["act"] == {"sub": ID + one}


def test_an_instance_acts_for_a_user_by_its_own_key(house: Approving) -> None:
    path, pkce, key, other = "/ns/crews/sa/one", Verifier(), DpopKey(), DpopKey()
    request_uri = house.pushed(house.agent(path), pkce, redirect_uri=SHARED_CB, key=key)
    client_id = next(name for name in house.records() if name.startswith("instance-"))
    code = house.code(client_id, request_uri)
    assert house.redeem(house.agent(path), code, pkce, key=other).error == (400, "invalid_grant")
    assert house.redeem(house.agent(path), code, pkce, key=key).claims["client_id"] == client_id


def test_a_statement_may_say_where_its_client_is_answered(house: Approving) -> None:
    """ROFU-19: what the trust domain states, as far as the rule lets it; nothing else, and nothing from the front."""
    path, pkce = "/ns/stated/sa/one", Verifier()
    claims = {"redirect_uris": [PORTAL], "grant_types": ["authorization_code"]}
    assert house.enrol(path, claims=claims).registered["redirect_uris"] == [PORTAL]
    assert house.push(house.agent(path), pkce, redirect_uri=APP_CB).error == (400, "invalid_request")
    request_uri = house.pushed(house.agent(path), pkce, redirect_uri=PORTAL)
    reply = house.redeem(house.agent(path), house.code(ID + path, request_uri), pkce)
    assert reply.claims["client_id"] == ID + path
    assert "refresh_token" not in reply.body, "the rule gives none"


def test_a_workload_that_waits_for_an_operator_pushes_once_it_is_approved(house: Approving) -> None:
    path, pkce = "/ns/assistants/sa/one", Verifier()
    waits = house.push(house.agent(path), pkce, redirect_uri=SHARED_CB)
    assert waits.error == (403, "unauthorized_client")
    assert house.operate("clients", "approve", ID + path)[0] == 0
    request_uri = house.pushed(house.agent(path), pkce, redirect_uri=SHARED_CB)
    assert house.redeem(house.agent(path), house.code(ID + path, request_uri), pkce).claims["client_id"] == ID + path


# --- applications with a document -----------------------------------------------------------------


def test_an_application_comes_with_plain_parameters_and_rotates_its_refresh_tokens(house: Approving) -> None:
    """CIMD-17, OAS-15, OAS-20, OAS-30: what MCP clients do today, on a loopback port that nobody knew before."""
    url, pkce, browser = house.app(), Verifier(), house.browser()
    redirect = "http://127.0.0.1:49152/cb"
    asked = {"response_type": "code", "client_id": url, "redirect_uri": redirect, "state": "s", "scope": "ledger.read"}
    page = browser.authorize(**asked, **pkce.fields, resource=LEDGER)
    assert page.status == 200
    answer = answered(browser.decide(page), redirect)
    reply = house.redeem({"client_id": url}, answer["code"], pkce, redirect_uri=redirect)
    assert reply.claims["client_id"] == url
    assert "act" not in reply.claims
    assert house.rows_of(url)[-2].outcome == "consent"
    first = reply.body["refresh_token"]
    second = house.refresh({"client_id": url}, first).body["refresh_token"]
    assert first != second
    assert house.refresh({"client_id": url}, second).claims["grant"] == reply.claims["grant"]


def test_nothing_is_fetched_for_a_browser_in_which_nobody_is_signed_in_CIMD_31(house: Approving) -> None:
    url, pkce, browser = house.app("/plain/unfetched"), Verifier(), house.browser()
    asked = {"response_type": "code", "client_id": url, "redirect_uri": APP_CB, "resource": LEDGER, **pkce.fields}
    page = browser.get("/authorize?" + urlencode(asked))
    assert (page.status, (page.location or "").split("?")[0]) == (303, "/sign-in")
    assert house.shelf.counts[url] == 0
    assert browser.visit(page.location or "").status == 200
    assert house.shelf.counts[url] == 1


def test_a_bound_application_keeps_its_refresh_token_and_needs_its_key(house: Approving) -> None:
    """OAS-15, PCR-20: bound to the key of the first proof, which the code need not have been bound to."""
    url, pkce, key, other = house.app("/plain/bound"), Verifier(), DpopKey(), DpopKey()
    request_uri = house.pushed({"client_id": url}, pkce, redirect_uri=APP_CB)
    reply = house.redeem({"client_id": url}, house.code(url, request_uri), pkce, key=key)
    assert reply.body["token_type"] == "DPoP"
    token = reply.body["refresh_token"]
    assert house.refresh({"client_id": url}, token).error == (400, "invalid_grant")
    assert house.refresh({"client_id": url}, token, key=other).error == (400, "invalid_grant")
    again = house.refresh({"client_id": url}, token, key=key)
    assert again.body["refresh_token"] == token
    assert again.claims["cnf"] == {"jkt": key.thumbprint}


def test_an_application_that_has_keys_proves_them_at_every_step_CIMD_20(house: Approving) -> None:
    key, pkce = JwtKey.generate("ES256", kid="app"), Verifier()
    url = house.shelf.keyed("/plain/keyed", key, redirect_uris=[APP_CB])

    def own() -> dict[str, str]:
        return {
            "client_id": url, "client_assertion_type": JWT_BEARER, "client_assertion": house.assertion(key, url),
        }  # fmt: skip

    nameless = {"client_id": url}
    assert house.push(nameless, pkce, redirect_uri=APP_CB).error == (401, "invalid_client")
    code = house.code(url, house.pushed(own(), pkce, redirect_uri=APP_CB))
    assert house.redeem(nameless, code, pkce).error == (401, "invalid_client")
    reply = house.redeem(own(), code, pkce)
    assert reply.claims["client_id"] == url
    token = reply.body["refresh_token"]
    assert house.refresh(nameless, token).error == (401, "invalid_client")
    assert house.revoke(nameless, token).error == (401, "invalid_client")
    assert house.refresh(own(), token).body["refresh_token"] == token
    assert house.revoke(own(), token).status == 200


def test_a_client_of_a_statement_issuer_acts_for_people_by_the_keys_it_stated(house: Approving) -> None:
    key, pkce = JwtKey.generate("ES256", kid="ci"), Verifier()
    claims = {"jwks": jwks(key), "redirect_uris": [PORTAL], "grant_types": ["authorization_code"]}
    client_id = house.state("redirected", claims).registered["client_id"]

    def own() -> dict[str, str]:
        return {"client_assertion_type": JWT_BEARER, "client_assertion": house.assertion(key, client_id)}

    assert house.push(own(), pkce, redirect_uri=APP_CB).error == (400, "invalid_request")
    code = house.code(client_id, house.pushed(own(), pkce, redirect_uri=PORTAL))
    assert house.redeem({"client_id": client_id}, code, pkce).error == (401, "invalid_client")
    claims_ = house.redeem(own(), code, pkce).claims
    assert claims_["client_id"] == client_id
    assert "act" not in claims_, "no SPIFFE ID was authenticated"


def test_an_assertion_that_is_for_once_is_used_by_a_push(house: Approving) -> None:
    who = house.agent("/ns/singles/sa/one")
    redirect: dict[str, Any] = {"redirect_uri": SHARED_CB}
    assert house.push(who, Verifier(), **redirect, scope="ledger.own").error == (400, "invalid_scope")
    assert house.push(who, Verifier(), **redirect).status == 201
    assert house.push(who, Verifier(), **redirect).error == (401, "invalid_client")


def test_an_agent_that_names_its_document_acts_for_people_as_that(house: Approving) -> None:
    """SCA-32, OAS-29, PCR-32: through `/par`, `/authorize` and `/token` the URL's client, the SPIFFE ID its actor;
    naming nothing it is its own client; a deny of the SPIFFE ID stops both."""
    path, pkce = "/ns/web/sa/acting", Verifier()
    url = house.shelf.publish(
        "/apps/agent", redirect_uris=[APP_CB], token_endpoint_auth_method="spiffe_jwt", spiffe_id=f"{ID}/ns/web/sa/*"
    )

    def acting() -> dict[str, str]:
        return house.agent(path, client_id=url)

    request_uri = house.pushed(acting(), pkce, redirect_uri=APP_CB)
    code = house.code(url, request_uri)
    strange = house.agent("/ns/web/sa/elsewhere", client_id=url)
    assert house.redeem(strange, code, pkce).error == (400, "invalid_grant")
    reply = house.redeem(acting(), code, pkce)
    assert (reply.claims["client_id"], reply.claims["act"]) == (url, {"sub": ID + path})
    assert house.by_jwt(path).claims["client_id"] == ID + path
    assert house.introspect(reply.body["access_token"])["act"] == {"sub": ID + path}
    assert house.operate("clients", "deny", ID + path)[0] == 0
    assert house.introspect(reply.body["access_token"]) == {"active": False}
    assert house.refresh(acting(), reply.body["refresh_token"]).error == (401, "invalid_client")
    assert house.by_jwt(path).error == (401, "invalid_client")


@pytest.mark.parametrize("rule", ["apps", "plain"])
def test_a_workload_that_acts_for_a_document_redeems_a_code_that_a_browser_began(house: Approving, rule: str) -> None:
    """ROFU-16: nobody was authenticated when it began, so only who is authenticated later gets anything of it: one
    that the document names and a rule lets act for it, and from then on that one alone."""
    path, pkce, browser = "/ns/web/sa/later", Verifier(), house.browser()
    stated: dict[str, Any] = {"token_endpoint_auth_method": "spiffe_jwt", "spiffe_id": f"{ID}/ns/web/sa/*"}
    url = house.shelf.publish(f"/{rule}/later", redirect_uris=[APP_CB], **stated)
    asked = {"response_type": "code", "client_id": url, "redirect_uri": APP_CB, "scope": "ledger.read"}
    code = answered(browser.decide(browser.authorize(**asked, **pkce.fields)), APP_CB)["code"]
    assert house.redeem({"client_id": url}, code, pkce).error == (401, "invalid_client")
    assert house.redeem(house.agent(path), code, pkce).error == (400, "invalid_grant"), "its own client"
    reply = house.redeem(house.agent(path, client_id=url), code, pkce)
    if rule == "plain":
        assert reply.error == (401, "invalid_client"), "no rule lets a workload act for these"
        return
    assert (reply.claims["client_id"], reply.claims["act"]) == (url, {"sub": ID + path})
    token = reply.body["refresh_token"]
    other = house.agent("/ns/web/sa/elsewhere", client_id=url)
    assert house.refresh(other, token).error == (400, "invalid_grant")
    assert house.refresh(house.agent(path, client_id=url), token).claims["act"] == {"sub": ID + path}
    assert house.operate("clients", "revoke", ID + path)[0] == 0
    assert house.acting(path, url, scope="ledger.read").status == 200, "it is back"
    assert house.refresh(house.agent(path, client_id=url), token).error == (400, "invalid_grant"), "T-23"


# --- narrowing ------------------------------------------------------------------------------------


def test_a_request_that_names_no_scope_gets_those_of_its_rule(house: Approving) -> None:
    pkce = Verifier()
    request_uri = house.pushed(house.agent(DESK), pkce, scope=None, resource=LEDGER)
    claims = house.redeem(house.agent(DESK), house.code(ID + DESK, request_uri), pkce).claims
    assert (claims["aud"], claims["scope"]) == (LEDGER, "ledger.read ledger.write")


def test_a_token_is_for_what_is_named_and_never_for_more_than_was_given(house: Approving) -> None:
    """OAS-16, OAS-18, PCR-21: at the code and at each refresh; narrowing one token does not narrow the grant."""
    pkce, who = Verifier(), house.agent(DESK)
    request_uri = house.pushed(who, pkce, scope="ledger.read ledger.write")
    code = house.code(ID + DESK, request_uri)
    assert house.redeem(who, code, pkce, scope="orders.read").error == (400, "invalid_scope")
    assert house.redeem(who, code, pkce, resource=ORDERS).error == (400, "invalid_target")
    reply = house.redeem(who, code, pkce, resource=LEDGER, scope="ledger.read")
    assert reply.claims["scope"] == "ledger.read"
    token = reply.body["refresh_token"]
    assert house.refresh(who, token, scope="orders.read").error == (400, "invalid_scope")
    assert house.refresh(who, token, resource=ORDERS).error == (400, "invalid_target")
    assert house.refresh(who, token, scope="ledger.write").claims["scope"] == "ledger.write"
    assert house.refresh(who, token).claims["scope"] == "ledger.read ledger.write"


# --- consent that is remembered -------------------------------------------------------------------


def test_a_user_is_not_asked_twice_for_the_same_but_for_more(house: Approving) -> None:
    """CIMD-27: nor again after a key rotates; again after the name, a redirect URI or the method changed."""
    url, browser = house.app("/plain/remembered", redirect_uris=[APP_CB]), house.browser()

    def asks(**fields: str) -> bool:
        pkce = Verifier()
        request_uri = house.pushed({"client_id": url}, pkce, redirect_uri=APP_CB, **fields)
        page = browser.authorize(client_id=url, request_uri=request_uri)
        if page.status == 200:
            page = browser.decide(page)
            assert house.redeem({"client_id": url}, page.answer["code"], pkce).status == 200
            return True
        return "code" not in page.answer

    assert asks()
    assert not asks()
    assert house.rows_of(url)[-1].outcome == "consent_remembered"
    assert asks(scope="ledger.read ledger.write")
    assert not asks()
    changes: tuple[dict[str, Any], ...] = (
        {"client_name": "Mail!"},
        {"redirect_uris": [APP_CB, PORTAL]},
        {"scope": "ledger.read"},
    )
    for change in changes:
        house.app("/plain/remembered", **{"redirect_uris": [APP_CB], **change})
        house.after(120)
        assert asks(), change
        assert not asks(), change


def test_a_workload_s_user_is_asked_at_its_first_request_and_at_no_later_one_for_the_same(house: Approving) -> None:
    path, browser, redirect = "/ns/people/sa/asks-once", house.browser(), "https://asks-once.apps.example.org/cb"
    statuses = []
    for svid in (None, None, house.stand.authority.x509_svid(path)):
        who = house.agent(path) if svid is None else {"client_id": ID + path}
        request_uri = house.pushed(who, Verifier(), svid=svid, redirect_uri=redirect)
        page = browser.authorize(client_id=ID + path, request_uri=request_uri)
        statuses.append(page.status)
        assert "code" in (browser.decide(page) if page.status == 200 else page).answer
    assert statuses == [200, 303, 303]


def test_a_remembered_yes_is_taken_back_when_its_tokens_are_over(house: Approving) -> None:
    """T-44: nothing is left of the grant, and still nobody would be asked."""
    browser, url, pkce = house.browser(), house.app(), Verifier()
    plain = {"client_id": url, "redirect_uri": APP_CB, "response_type": "code", "scope": "ledger.read", **pkce.fields}
    browser.visit("/account", user="tess, who has nothing else")
    for page in (browser.decide(browser.authorize(**plain)), browser.authorize(**plain)):
        code = answered(page, APP_CB)["code"]
        token = house.redeem({"client_id": url}, code, pkce).body["refresh_token"]
        assert house.revoke({"client_id": url}, token).status == 200
    account = browser.visit("/account")
    assert "again without asking you" in account.text
    assert browser.post("/account", account.hidden).status == 303
    assert browser.authorize(**plain).status == 200, "asked for the first time again"


@pytest.mark.parametrize("redirect", [LOOPBACK_CB, "http://127.0.0.1:50000/cb", "com.example.mail:/cb"])
def test_a_consent_is_never_remembered_where_any_program_may_listen_T_10(house: Approving, redirect: str) -> None:
    url = house.app("/plain/local", redirect_uris=[LOOPBACK_CB, "com.example.mail:/cb"])
    browser = house.browser()
    for _ in range(2):
        request_uri = house.pushed({"client_id": url}, Verifier(), redirect_uri=redirect)
        page = browser.authorize(client_id=url, request_uri=request_uri)
        assert page.status == 200
        assert "code" in browser.decide(page).answer


# --- questions about tokens -----------------------------------------------------------------------


def test_revoking_a_refresh_token_ends_the_access_tokens_of_its_grant_OAS_25(house: Approving) -> None:
    pkce, who = Verifier(), house.agent(DESK)
    reply = house.redeem(who, house.code(ID + DESK, house.pushed(who, pkce)), pkce)
    access, token = reply.body["access_token"], reply.body["refresh_token"]
    other = house.refresh(who, token).body["access_token"]
    assert house.introspect(access)["active"]
    assert house.introspect(other)["active"]
    assert house.revoke(house.agent("/ns/people/sa/other"), token).error == (400, "invalid_grant")
    assert house.introspect(access)["active"]
    assert house.revoke(who, token).status == 200
    assert house.revoke(who, token).status == 200
    assert house.introspect(access) == house.introspect(other) == {"active": False}
    assert house.refresh(who, token).error == (400, "invalid_grant")


def test_a_client_may_ask_about_its_own_refresh_token_and_nobody_else_T_39(house: Approving) -> None:
    pkce, who = Verifier(), house.agent(DESK)
    reply = house.redeem(who, house.code(ID + DESK, house.pushed(who, pkce)), pkce)
    token = reply.body["refresh_token"]
    own = house.introspect(token, by=DESK)
    assert (own["active"], own["client_id"], own["sub"]) == (True, ID + DESK, reply.claims["sub"])
    assert house.introspect(token) == house.introspect(token, by="/ns/people/sa/other") == {"active": False}
    assert house.introspect(token + "A", by=DESK) == {"active": False}


def test_ending_one_access_token_leaves_its_grant(house: Approving) -> None:
    pkce, who = Verifier(), house.agent(DESK)
    reply = house.redeem(who, house.code(ID + DESK, house.pushed(who, pkce)), pkce)
    assert house.revoke(who, reply.body["access_token"]).status == 200
    assert house.introspect(reply.body["access_token"]) == {"active": False}
    assert house.refresh(who, reply.body["refresh_token"]).status == 200


# --- pushed clients, the short way (test_pushed_clients has the rest) -----------------------------


def test_a_client_that_nobody_knows_pushes_itself_and_is_gone_with_its_tokens(house: Approving) -> None:
    """PCR-1, PCR-10, PCR-15, PCR-19, PCR-24."""
    pkce, key = Verifier(), DpopKey()
    who = {"client_id": URN}
    request_uri = house.pushed(who, pkce, key=key, redirect_uri=APP_CB, client_registration='{"client_name": "Tool"}')
    reply = house.redeem(who, house.code(URN, request_uri), pkce, key=key)
    claims = reply.claims
    assert (claims["client_id"], claims["cnf"]) == (URN, {"jkt": key.thumbprint})
    assert claims["client_transaction"]
    told = house.introspect(reply.body["access_token"])
    assert told["client_metadata"] == {"client_name": "Tool"}
    assert told["client_transaction"] == claims["client_transaction"]
    assert URN not in house.records()
