"""How long what a user gave lasts: through changes of policy, of the client and of its record, and over a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.flows.approving import (
    AGENT_CB,
    AGENT_RULES,
    APP_CB,
    LOOPBACK_CB,
    SHARED_CB,
    USERS,
    Approving,
    Verifier,
    answered,
    running,
)
from tests.flows.browser import Page, over_tls
from tests.flows.client import Answer, jwt_fields
from tests.flows.documented import NO_STORE
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import MORE_RULES, PORTAL, Reply
from tests.flows.stand import LEDGER, ORDERS, RULES, Stand
from tests.flows.timed import INSTANCE_RULES

ID = "spiffe://example.org"
DESK = "/ns/people/sa/desk"
DAY = 86_400
PUSHING = f"""
[[rule]]
id = "pushing-apps"
why = "these push"
effect = "allow"
when = {{ url = "https://app.example.org/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], require_par = true }}
"""
INVALID_GRANT = (400, "invalid_grant")
BASE_RULES = RULES + MORE_RULES + INSTANCE_RULES


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Approving]:
    with running(tmp_path / "service") as service:
        yield service


def put(house: Approving, rules: str) -> None:
    """Replace the trust domain's rules, at once."""
    house.stand.write_rules(BASE_RULES + rules)
    house.look()


def granted(house: Approving, path: str = DESK, **fields: str) -> tuple[str, str]:
    """An access token and a refresh token of a user's grant to a workload."""
    pkce, who = Verifier(), house.agent(path)
    reply = house.redeem(who, house.code(ID + path, house.pushed(who, pkce, **fields)), pkce)
    return reply.body["access_token"], reply.body["refresh_token"]


# --- policy ---------------------------------------------------------------------------------------


def test_what_policy_takes_away_is_gone_at_the_next_use_and_the_rest_stays(house: Approving) -> None:
    """OAS-16, interface section 3: a scope named and gone is invalid_scope; unnamed, the rest; nothing left, over."""
    _, token = granted(house, scope="ledger.read ledger.write")
    put(house, AGENT_RULES.replace('"ledger.read", "ledger.write", "orders.read"', '"ledger.read", "orders.read"'))
    assert house.refresh(house.agent(DESK), token, scope="ledger.write").error == (400, "invalid_scope")
    assert house.refresh(house.agent(DESK), token).claims["scope"] == "ledger.read"
    put(house, AGENT_RULES.replace(f'["{LEDGER}", "{ORDERS}"]', f'["{ORDERS}"]').replace(
        '"ledger.read", "ledger.write", "orders.read"', '"orders.read"'
    ))  # fmt: skip
    assert house.refresh(house.agent(DESK), token).error == INVALID_GRANT
    put(house, AGENT_RULES)
    again = house.refresh(house.agent(DESK), token)
    assert again.claims["scope"] == "ledger.read ledger.write", "a refusal consumed nothing"


def test_of_two_resources_the_one_that_is_left_is_given(house: Approving) -> None:
    pkce, who = Verifier(), house.agent(DESK)
    form = {"response_type": "code", "redirect_uri": AGENT_CB, "scope": "ledger.read orders.read", **pkce.fields, **who}
    fields = [*form.items(), ("resource", LEDGER), ("resource", ORDERS)]
    request_uri = house.raw("POST", "/par", urlencode(fields).encode()).body["request_uri"]
    reply = house.redeem(who, house.code(ID + DESK, request_uri), pkce)
    assert (reply.claims["aud"], reply.claims["scope"]) == ([LEDGER, ORDERS], "ledger.read orders.read")
    token = reply.body["refresh_token"]
    assert house.refresh(who, token, scope="orders.read").claims["aud"] == ORDERS, "for whom nothing is, is no audience"
    deny = (
        f'[[rule]]\nid = "no-orders"\nwhy = "x"\neffect = "deny"\nwhen = {{ path = "{DESK}", resource = "{ORDERS}" }}\n'
    )
    put(house, AGENT_RULES + deny)
    left = house.refresh(who, token)
    assert (left.claims["aud"], left.claims["scope"]) == (LEDGER, "ledger.read")
    assert house.refresh(who, token, resource=ORDERS).error == (400, "invalid_target")


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ('path = "/ns/people/sa/desk"', (401, "invalid_client")),
        ('path = "/ns/people/sa/desk", door = "par"', (401, "invalid_client")),
        ('path = "/ns/people/sa/desk", grant_type = "refresh_token"', (400, "unauthorized_client")),
        ('path = "/ns/people/sa/desk", door = "token"', None),
        ('path = "/ns/people/sa/desk", grant_type = "client_credentials"', None),
    ],
)
def test_a_deny_holds_for_a_grant_at_the_door_where_it_began(
    house: Approving, when: str, error: tuple[int, str] | None
) -> None:
    _, token = granted(house)
    put(house, AGENT_RULES + f'[[rule]]\nid = "no-desk"\nwhy = "x"\neffect = "deny"\nwhen = {{ {when} }}\n')
    reply = house.refresh(house.agent(DESK), token)
    assert (reply.status == 200) if error is None else (reply.error == error)
    put(house, AGENT_RULES)
    assert house.refresh(house.agent(DESK), token).status == 200


def test_a_grant_is_over_when_the_rules_give_another_client(house: Approving) -> None:
    _, token = granted(house)
    head = 'when = { path = "/ns/people/sa/*" }\n[rule.grant]'
    put(house, AGENT_RULES.replace(head, head + '\nclient = { shared = "pool" }'))
    assert house.refresh(house.agent(DESK), token).error == INVALID_GRANT
    assert house.refresh(house.agent(DESK, client_id=ID + DESK), token).error == INVALID_GRANT


def test_what_the_user_sees_and_gives_is_what_policy_has_then_and_never_more(house: Approving) -> None:
    """RFC 9126 section 4: asked again at `/authorize` and at the yes. A wider policy widens neither a request nor what
    the page showed (T-44): a page that is loaded again shows it first."""
    browser, pkce = house.browser(), Verifier()
    request_uri = house.pushed(house.agent(DESK), pkce, scope=None, resource=LEDGER)
    put(house, AGENT_RULES.replace('"ledger.read", "ledger.write", "orders.read"', '"ledger.read", "orders.read"'))
    page = browser.authorize(client_id=ID + DESK, request_uri=request_uri)
    assert "ledger.read" in page.text
    assert "ledger.write" not in page.text
    put(house, AGENT_RULES)
    code = browser.decide(page).answer["code"]
    assert house.redeem(house.agent(DESK), code, pkce).claims["scope"] == "ledger.read"
    request_uri = house.pushed(house.agent(DESK), pkce, scope=None, resource=LEDGER)
    put(house, AGENT_RULES.replace('"ledger.read", "ledger.write", "orders.read"', '"ledger.read", "orders.read"'))
    here = {"client_id": ID + DESK, "request_uri": request_uri}
    other = house.browser()
    assert "ledger.write" not in other.authorize(**here, user="bob").text
    put(house, AGENT_RULES)
    reloaded = other.authorize(**here)
    assert "ledger.write" in reloaded.text
    code = other.decide(reloaded).answer["code"]
    assert house.redeem(house.agent(DESK), code, pkce).claims["scope"] == "ledger.read ledger.write"
    narrow = house.pushed(house.agent(DESK), pkce, scope="ledger.write")
    put(house, AGENT_RULES.replace('"ledger.read", "ledger.write", "orders.read"', '"ledger.read", "orders.read"'))
    gone = browser.authorize(client_id=ID + DESK, request_uri=narrow)
    assert answered(gone)["error"] == "invalid_scope"
    assert browser.authorize(client_id=ID + DESK, request_uri=narrow).status == 400, "and is over by that"


# --- the client -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["revoke", "deny"])
def test_an_end_of_the_client_ends_what_it_was_given_and_its_return_does_not_bring_it_back_T_23(
    house: Approving, verb: str
) -> None:
    access, token = granted(house)
    pkce = Verifier()
    code = house.code(ID + DESK, house.pushed(house.agent(DESK), pkce))
    assert house.operate("clients", verb, ID + DESK)[0] == 0
    assert house.introspect(access) == {"active": False}
    error = INVALID_GRANT if verb == "revoke" else (401, "invalid_client")
    assert house.refresh(house.agent(DESK), token).error == error
    assert house.redeem(house.agent(DESK), code, pkce).error == error
    assert house.standing(ID + DESK) == ("revoked" if verb == "revoke" else "denied"), "a refusal registers nobody"
    if verb == "deny":
        house.operate("clients", "undeny", ID + DESK)
    assert house.by_jwt(DESK, scope="ledger.read").status == 200
    assert house.refresh(house.agent(DESK), token).error == INVALID_GRANT
    assert house.introspect(access) == {"active": False}


def test_a_client_that_idled_out_has_lost_its_grants_T_23(tmp_path: Path) -> None:
    with running(tmp_path / "service", more=USERS + '[registration]\nidle_expiry = "2h"\n') as house:
        rules = AGENT_RULES.replace('grant_types = ["client_cred', 'refresh_ttl = "40h"\ngrant_types = ["client_cred')
        house.stand.write_rules(BASE_RULES + rules)
        house.look()
        _, token = granted(house)
        house.after(2 * 3600 - 60)
        assert house.refresh(house.agent(DESK), token).status == 200, "each use keeps it"
        house.after(2 * 3600 + 60)
        assert house.refresh(house.agent(DESK), token).error == INVALID_GRANT
        assert house.by_jwt(DESK, scope="ledger.read").status == 200, "it comes back as itself"
        assert house.refresh(house.agent(DESK), token).error == INVALID_GRANT


def test_a_refresh_token_ends_when_it_is_not_used_for_so_long_as_its_rule_says(house: Approving) -> None:
    put(house, AGENT_RULES.replace('grant_types = ["client_cred', 'refresh_ttl = "2h"\ngrant_types = ["client_cred', 1))
    _, token = granted(house)
    for _ in range(3):
        house.after(7100)
        assert house.refresh(house.agent(DESK), token).status == 200
    house.after(7200)
    assert house.refresh(house.agent(DESK), token).error == INVALID_GRANT


def test_a_document_that_says_other_things_needs_a_new_yes_and_new_keys_do_not_T_8(house: Approving) -> None:
    """CIMD-27, CIMD-28: name, redirect URIs, method; the access tokens of a client that is less sure end too."""

    def flow(path: str) -> tuple[str, str, str]:
        url, pkce = house.app(path, redirect_uris=[APP_CB]), Verifier()
        code = house.code(url, house.pushed({"client_id": url}, pkce, redirect_uri=APP_CB))
        reply = house.redeem({"client_id": url}, code, pkce)
        return url, reply.body["access_token"], reply.body["refresh_token"]

    url, access, token = flow("/plain/renamed")
    house.app("/plain/renamed", redirect_uris=[APP_CB], client_name="Other")
    house.after(120)
    assert house.refresh({"client_id": url}, token).error == INVALID_GRANT
    assert house.introspect(access)["active"]
    url, _, token = flow("/plain/moved")
    house.app("/plain/moved", redirect_uris=[APP_CB, PORTAL])
    house.after(120)
    assert house.refresh({"client_id": url}, token).error == INVALID_GRANT
    url, _, token = flow("/plain/software")
    house.app("/plain/software", redirect_uris=[APP_CB], software_version="2")
    house.after(120)
    assert house.refresh({"client_id": url}, token).status == 200


def test_a_code_of_before_a_change_of_the_document_is_not_redeemed_T_8(house: Approving) -> None:
    url, pkce = house.app("/plain/between", headers=NO_STORE, redirect_uris=[APP_CB]), Verifier()
    code = house.code(url, house.pushed({"client_id": url}, pkce, redirect_uri=APP_CB))
    house.app("/plain/between", headers=NO_STORE, redirect_uris=[APP_CB, LOOPBACK_CB])
    assert house.redeem({"client_id": url}, code, pkce).error == INVALID_GRANT


def test_revoking_one_member_of_a_shared_client_ends_its_grants_alone(house: Approving) -> None:
    one, other = "/ns/fleet/sa/one", "/ns/fleet/sa/other"
    tokens = {}
    for path in (one, other):
        pkce, who = Verifier(), house.agent(path)
        code = house.code("fleet", house.pushed(who, pkce, redirect_uri=SHARED_CB))
        tokens[path] = house.redeem(who, code, pkce).body
    assert house.operate("clients", "revoke", ID + one)[0] == 0
    assert house.introspect(tokens[one]["access_token"]) == {"active": False}
    assert house.refresh(house.agent(one), tokens[one]["refresh_token"]).error == INVALID_GRANT
    assert house.introspect(tokens[other]["access_token"])["active"]
    assert house.refresh(house.agent(other), tokens[other]["refresh_token"]).status == 200


def test_a_nonce_that_is_asked_for_consumes_neither_push_nor_code_PCR_19(tmp_path: Path) -> None:
    """Interface section 9: not the assertion, not the request, not the code."""
    with running(tmp_path / "service", more=USERS + "[dpop]\nrequire_nonce = true\n") as house:
        key, pkce = DpopKey(), Verifier()
        who = house.agent("/ns/singles/sa/nonce")

        def call(path: str, nonce: str | None, **fields: str) -> Reply:
            said: dict[str, Any] = {} if nonce is None else {"nonce": nonce}
            proof = key.proof("POST", house.stand.client.issuer + path, iat=house.clock(), **said)
            return house.raw("POST", path, urlencode(fields).encode(), (b"dpop", proof.encode()))

        form = {"response_type": "code", "redirect_uri": SHARED_CB, **pkce.fields, **who}
        asked = call("/par", None, **form)
        assert asked.error == (400, "use_dpop_nonce")
        nonce = asked.headers["DPoP-Nonce"]
        pushed = call("/par", nonce, **form)
        assert (pushed.status, pushed.headers["DPoP-Nonce"]) == (201, nonce)
        code = house.code(ID + "/ns/singles/sa/nonce", pushed.body["request_uri"])
        redeemed = {
            "grant_type": "authorization_code", "code": code, "code_verifier": pkce.verifier,
            **house.agent("/ns/singles/sa/nonce"),
        }  # fmt: skip
        assert call("/token", None, **redeemed).error == (400, "use_dpop_nonce")
        assert call("/token", nonce, **redeemed).claims["scope"] == "ledger.read"


def test_without_users_there_is_no_code_flow_and_nothing_names_it_OAS_10(tmp_path: Path) -> None:
    with running(tmp_path / "service", more="") as house:
        assert house.push(house.agent(DESK), Verifier()).status == 404
        assert house.redeem(house.agent(DESK), "A" * 43, Verifier()).error == (400, "unsupported_grant_type")
        assert house.refresh(house.agent(DESK), "x").error == (400, "unsupported_grant_type")
        assert house.browser().get("/authorize").status == 404
        document = house.call("GET", "/.well-known/oauth-authorization-server").body
        assert document["grant_types_supported"] == ["client_credentials"]
        assert not [name for name in document if "pushed" in name or "code_challenge" in name]


def test_where_every_request_has_to_be_pushed_the_metadata_says_so(house: Approving) -> None:
    def says() -> object:
        document = house.call("GET", "/.well-known/oauth-authorization-server").body
        return document["require_pushed_authorization_requests"]

    assert says() is False
    house.write("metadata-documents.toml", 'version = 1\nsource = "metadata-document"\n' + PUSHING)
    house.look()
    assert says() is True


def test_no_secret_of_a_flow_is_in_the_database_OAS_38(house: Approving) -> None:
    pkce, who = Verifier(), house.agent(DESK)
    request_uri = house.pushed(who, pkce)
    browser = house.browser()
    code = house.code(ID + DESK, request_uri, browser=browser)
    body = house.redeem(who, code, pkce).body
    secrets = [request_uri.rpartition(":")[2], code, pkce.verifier, body["refresh_token"], body["access_token"]]
    secrets += [value.split(".")[0] for value in browser.cookies.values()]
    stored = b"".join(path.read_bytes() for path in house.stand.folder.glob("bridge.db*"))
    assert pkce.challenge.encode() in stored, "what is there is found"
    assert [secret for secret in secrets if secret.encode() in stored] == []


# --- over a restart -------------------------------------------------------------------------------


def test_what_was_used_stays_used_and_what_is_good_stays_good_over_a_kill_F_9_T_34(tmp_path: Path) -> None:
    """Two worker processes, real TLS and sockets, SIGKILL: code, refresh token, request_uri and proofs."""
    stand = Stand(tmp_path / "stand", more='[users]\nsource = "development"\n')
    stand.write_rules(RULES + AGENT_RULES)
    with stand:
        key, pkce = DpopKey(), Verifier()

        def send(path: str, proof: str | None = None, **fields: str) -> Answer:
            named = {**jwt_fields(stand.jwt(DESK)), **fields}
            if path == "/par":
                del named["grant_type"]
            headers = [] if proof is None else [("DPoP", proof)]
            return stand.client.post(path, named, headers=headers)

        def push(proof: str | None = None) -> Answer:
            return send("/par", proof, response_type="code", redirect_uri=AGENT_CB, scope="ledger.read", **pkce.fields)

        def approve(request_uri: str) -> Page:
            browser = over_tls(stand.client)
            page = browser.authorize(client_id=ID + DESK, request_uri=request_uri)
            return browser.decide(page) if page.status == 200 else page

        def redeem(code: str) -> Answer:
            return send("/token", grant_type="authorization_code", code=code, code_verifier=pkce.verifier)

        proof = key.proof("POST", stand.client.issuer + "/par")
        assert push(proof).status == 201
        used_uri, waiting_uri = (push().body["request_uri"] for _ in range(2))
        used_code, waiting_code = (approve(uri).answer["code"] for uri in (used_uri, push().body["request_uri"]))
        first = redeem(used_code)
        assert first.status == 200
        stand.kill()
        stand.start()
        assert push(proof).error == "invalid_dpop_proof"
        assert approve(used_uri).status == 400
        assert "code" in approve(waiting_uri).answer
        kept = redeem(waiting_code)
        assert kept.status == 200
        assert send("/token", grant_type="refresh_token", refresh_token=kept.body["refresh_token"]).status == 200
        assert redeem(used_code).error == "invalid_grant"
        for reply in (first, kept):
            refreshed = send("/token", grant_type="refresh_token", refresh_token=reply.body["refresh_token"])
            assert (refreshed.status == 200) == (reply is kept), "the second use of a code ended its grant"
