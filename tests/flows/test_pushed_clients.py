"""Clients that exist for one transaction: what they may push, what they are bound to, and that nothing stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.lab.jws import JwtKey
from tests.flows.approving import AGENT_CB, APP_CB, PUSHED_RULES, URN, USERS, Approving, Verifier, running
from tests.flows.client import JWT_BEARER
from tests.flows.dpop import DpopKey
from tests.flows.stand import LEDGER

WHO = {"client_id": URN}
LOOPBACK = "http://127.0.0.1:49152/cb"
INVALID_GRANT, INVALID_REQUEST, INVALID_METADATA = (
    (400, "invalid_grant"),
    (400, "invalid_request"),
    (400, "invalid_client_metadata"),
)
# An address sends more here than one may, but where a test is about that.
WIDE = USERS + "[limits]\nanonymous_per_minute = 1000000\n"
LOOSE_RULES = PUSHED_RULES.replace('refresh_ttl = "1h"', 'refresh_ttl = "1h"\nbind = "if-present"')


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Approving]:
    with running(tmp_path_factory.mktemp("house") / "service", more=WIDE) as service:
        yield service


def push(house: Approving, registration: object = None, **fields: Any) -> Any:
    """Push with a key of its own, unless one is given; `registration` is sent as JSON unless it is a text."""
    text = registration if isinstance(registration, str | None) else json.dumps(registration)
    asked = {"redirect_uri": APP_CB, "client_registration": text, "key": DpopKey(), **fields}
    return house.push(WHO, asked.pop("pkce", None) or Verifier(), **asked)


METADATA: dict[str, tuple[object, tuple[int, str]]] = {
    "PCR-6 no JSON": ("{", INVALID_METADATA),
    "PCR-6 a list": ([], INVALID_METADATA),
    "PCR-6 a text": ('"x"', INVALID_METADATA),
    "PCR-6 twice": ('{"client_name": "a", "client_name": "b"}', INVALID_METADATA),
    "PCR-6 large": ({"x": "y" * 5120}, INVALID_METADATA),
    "PCR-6 deep": ("[" * 40 + "]" * 40, INVALID_METADATA),
    "PCR-7 secret": ({"client_secret": "s"}, INVALID_METADATA),
    "PCR-7 secret's end": ({"client_secret_expires_at": 0}, INVALID_METADATA),
    "PCR-7 basic": ({"token_endpoint_auth_method": "client_secret_basic"}, INVALID_METADATA),
    "PCR-7 symmetric": ({"token_endpoint_auth_method": "client_secret_jwt"}, INVALID_METADATA),
    "PCR-7 a method with keys": ({"token_endpoint_auth_method": "private_key_jwt"}, INVALID_METADATA),
    "PCR-7 unknown method": ({"token_endpoint_auth_method": "guess"}, INVALID_METADATA),
    "PCR-7 statement": ({"software_statement": "e30.e30.AA"}, INVALID_METADATA),
    "PCR-7 oct key": ({"jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}, INVALID_METADATA),
    "PCR-8 not listed": ({"redirect_uris": ["https://other.example.org/cb"]}, INVALID_REQUEST),
    "PCR-8 empty": ({"redirect_uris": []}, INVALID_REQUEST),
    "PCR-26 http": ({"redirect_uris": ["http://app.example.org/cb"]}, (400, "invalid_redirect_uri")),
    "PCR-26 private": ({"redirect_uris": ["com.example.app:/cb", APP_CB]}, INVALID_METADATA),
    "PCR-26 user": ({"redirect_uris": ["https://a@app.example.org/cb"]}, (400, "invalid_redirect_uri")),
    "no code": ({"grant_types": ["client_credentials"]}, INVALID_METADATA),
    "more grants": ({"grant_types": ["authorization_code", "client_credentials"]}, INVALID_METADATA),
    "T-38": ({"response_types": ["token"]}, INVALID_METADATA),
    "markup is a name": ({"client_name": "a\u202eb"}, INVALID_METADATA),
}


@pytest.mark.parametrize(("registration", "error"), METADATA.values(), ids=METADATA)
def test_metadata_that_no_such_client_may_push(house: Approving, registration: object, error: tuple[int, str]) -> None:
    assert push(house, registration).error == error


@pytest.mark.parametrize(
    "registration",
    [
        None,
        {},
        {"client_name": "Tool", "redirect_uris": [APP_CB], "token_endpoint_auth_method": "none"},
        {"grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]},
        {"unknown_member": {"a": [1]}, "another": None},
        {"jwks_uri": "https://nobody.example/keys", "logo_uri": "https://nobody.example/logo"},
    ],
)
def test_metadata_that_may_be_pushed_PCR_7_PCR_9(house: Approving, registration: object) -> None:
    """Unknown members are ignored, and nothing that is named is fetched."""
    before = house.shelf.counts
    assert push(house, registration).status == 201
    assert house.shelf.counts == before


REDIRECTS = ["http://app.example.org/cb", "com.example.app:/cb", APP_CB + "#f", "https://a:b@app.example.org/cb"]


@pytest.mark.parametrize("redirect", REDIRECTS)
def test_a_pushed_redirect_uri_is_https_or_loopback_PCR_26(house: Approving, redirect: str) -> None:
    assert push(house, redirect_uri=redirect).status == 400
    assert push(house, redirect_uri=LOOPBACK).status == 201


@pytest.mark.parametrize(
    "missing", ["response_type", "redirect_uri", "state", "code_challenge", "code_challenge_method"]
)
def test_each_of_these_is_needed_PCR_3_PCR_4(house: Approving, missing: str) -> None:
    assert push(house, **{missing: None}).error == INVALID_REQUEST


def test_state_is_long_enough_to_be_a_random_number_PCR_5(house: Approving) -> None:
    assert push(house, state="x" * 15).error == INVALID_REQUEST
    assert push(house, state="x" * 16).status == 201


def test_a_pushed_client_is_its_key(house: Approving) -> None:
    """PCR-18, PCR-19: the rule wants tokens bound, so the key is named at `/par`, by proof or by thumbprint."""
    key = DpopKey()
    assert push(house, key=None).error == INVALID_REQUEST
    assert push(house, key=None, dpop_jkt=key.thumbprint).status == 201
    assert push(house, key=key, dpop_jkt=DpopKey().thumbprint).error == (400, "invalid_dpop_proof")


def test_nobody_else_comes_by_that_name_PCR_15_PCR_29(house: Approving) -> None:
    row = house.last_row()
    for grant_type in ("client_credentials", JWT_BEARER, "urn:ietf:params:oauth:grant-type:token-exchange", "password"):
        assert house.ask({**WHO, "grant_type": grant_type}).error == (400, "unauthorized_client"), grant_type
    assert house.ask({**WHO, "token": "x"}, at="/introspect").error == (401, "invalid_client")
    assert house.ask({**WHO, "token": "x"}, at="/revoke").status == 200
    told = house.enrol("/ns/web/sa/urn", client_id=URN, client_name="x").registered
    assert told["client_id"] != URN
    assert URN not in house.records()
    assert [event for event in house.events(row) if event[0] != "registered"] == [], "nobody proved anything"


def test_what_it_said_of_itself_is_told_to_resource_servers_and_to_its_user_unverified_PCR_31(house: Approving) -> None:
    pkce, key = Verifier(), DpopKey()
    said = {
        "client_name": "Bank", "client_name#de": "Sparkasse", "client_uri": "https://bank.example",
        "software_id": "b-1", "contacts": ["a@bank.example"], "dpop_bound_access_tokens": True,
    }  # fmt: skip
    request_uri = push(house, said, pkce=pkce, key=key).body["request_uri"]
    browser = house.browser()
    page = browser.authorize(client_id=URN, request_uri=request_uri)
    assert page.status == 200
    assert "Bank" in page.text
    assert "Not verified" in page.text
    assert "app.example.org" in page.text
    reply = house.redeem(WHO, browser.decide(page).answer["code"], pkce, key=key)
    told = house.introspect(reply.body["access_token"])
    assert told["client_metadata"] == {name: said[name] for name in said if name != "contacts"}
    assert told["client_transaction"] == reply.claims["client_transaction"]
    assert house.introspect(reply.body["access_token"], by="/ns/web/sa/api") == {"active": False}


def test_a_yes_is_good_for_one_transaction_PCR_27(house: Approving) -> None:
    browser = house.browser()
    for _ in range(2):
        page = browser.authorize(client_id=URN, request_uri=push(house).body["request_uri"])
        assert page.status == 200
        assert "code" in browser.decide(page).answer


def test_refresh_gives_what_was_given_to_the_same_key_alone_PCR_12_PCR_20_PCR_21(house: Approving) -> None:
    pkce, key = Verifier(), DpopKey()
    request_uri = push(house, pkce=pkce, key=key).body["request_uri"]
    reply = house.redeem(WHO, house.code(URN, request_uri), pkce, key=key)
    token = reply.body["refresh_token"]
    assert house.refresh(WHO, token).error == INVALID_GRANT
    assert house.refresh(WHO, token, key=DpopKey()).error == INVALID_GRANT
    assert house.refresh(WHO, token, key=key, scope="ledger.write").error == (400, "invalid_scope")
    again = house.refresh(WHO, token, key=key)
    assert again.body["refresh_token"] == token
    assert again.claims["client_transaction"] == reply.claims["client_transaction"]
    assert again.claims["cnf"] == {"jkt": key.thumbprint}
    assert house.revoke(WHO, token).status == 200
    assert house.introspect(again.body["access_token"]) == {"active": False}


def test_one_that_uses_no_refresh_tokens_gets_none(house: Approving) -> None:
    pkce, key = Verifier(), DpopKey()
    request_uri = push(house, {"grant_types": ["authorization_code"]}, pkce=pkce, key=key).body["request_uri"]
    assert "refresh_token" not in house.redeem(WHO, house.code(URN, request_uri), pkce, key=key).body


def test_its_code_is_for_once_PCR_17(house: Approving) -> None:
    pkce, key = Verifier(), DpopKey()
    code = house.code(URN, push(house, pkce=pkce, key=key).body["request_uri"])
    reply = house.redeem(WHO, code, pkce, key=key)
    assert house.introspect(reply.body["access_token"])["active"]
    assert house.redeem(WHO, code, pkce, key=key).error == INVALID_GRANT
    assert house.introspect(reply.body["access_token"]) == {"active": False}


def test_nothing_stays_of_it_when_its_last_token_is_over_PCR_28(house: Approving) -> None:
    pkce, key = Verifier(), DpopKey()
    reply = house.redeem(WHO, house.code(URN, push(house, pkce=pkce, key=key).body["request_uri"]), pkce, key=key)
    grant = house.grant_of(reply.body["access_token"])
    assert grant.metadata is not None
    grants = house.process.worker._store.grants
    house.after(3600 - 1)
    assert grants.get(grant.grant_id) is not None
    house.after(120)
    assert house.refresh(WHO, reply.body["refresh_token"], key=key).error == INVALID_GRANT
    house.process.worker._store.grants.sweep(now=house.clock() + 60, batch=100)
    assert grants.get(grant.grant_id) is None


def test_a_rule_may_take_one_without_a_key_which_then_gets_no_refresh_token_PCR_21(tmp_path: Path) -> None:
    with running(tmp_path / "service", more=WIDE) as house:
        house.write("pushed.toml", LOOSE_RULES)
        house.look()
        pkce = Verifier()
        request_uri = push(house, pkce=pkce, key=None).body["request_uri"]
        reply = house.redeem(WHO, house.code(URN, request_uri), pkce)
        assert reply.body["token_type"] == "Bearer"
        assert "refresh_token" not in reply.body
        key = DpopKey()
        request_uri = push(house, pkce=pkce, key=key).body["request_uri"]
        assert "refresh_token" in house.redeem(WHO, house.code(URN, request_uri), pkce, key=key).body


def test_new_ones_are_limited_by_their_address_PCR_30_T_42(tmp_path: Path) -> None:
    with running(tmp_path / "service", more=USERS + "[limits]\nanonymous_per_minute = 3\n") as house:
        assert push(house, state="short").status == 400, "what is refused is not new"
        assert [push(house).status for _ in range(4)] == [201, 201, 201, 429]
        refused = push(house)
        assert refused.error == (429, "temporarily_unavailable")
        assert "anonymous_per_minute" in refused.body["error_description"]
        assert int(refused.headers["Retry-After"]) > 0
        assert house.push(house.agent("/ns/people/sa/desk"), Verifier()).status == 201, "who is somebody is not"
        house.after(60)
        assert push(house).status == 201


def test_what_anybody_can_push_is_limited_by_address_PCR_30_T_42(tmp_path: Path) -> None:
    """Kept requests are room for everybody: nobody in particular fills it in the name of a client known to all."""
    limited = USERS + "[limits]\nanonymous_per_minute = 3\n"
    with running(tmp_path / "limited", more=limited) as house:
        who, key = {"client_id": house.app()}, JwtKey.generate("ES256", kid="own")
        keyed = house.shelf.keyed("/plain/keyed", key, redirect_uris=[APP_CB])
        assert house.push(house.keyed_fields(key, keyed), Verifier(), redirect_uri=APP_CB).status == 201
        # Two tokens of the three went for documents that were not known before.
        assert [house.push(who, Verifier(), redirect_uri=APP_CB).status for _ in range(3)] == [201, 429, 429]
        assert house.push(who, Verifier(), redirect_uri=APP_CB).error == (429, "temporarily_unavailable")
        for known in (house.keyed_fields(key, keyed), house.agent("/ns/people/sa/desk")):
            to = APP_CB if "client_id" in known else AGENT_CB
            assert house.push(known, Verifier(), redirect_uri=to).status == 201, "who is somebody is not"
        house.after(60)
        assert house.push(who, Verifier(), redirect_uri=APP_CB).status == 201


def test_they_are_out_unless_the_draft_is_named_and_a_rule_takes_them_PCR_1_PCR_24(tmp_path: Path) -> None:
    metadata = "/.well-known/oauth-authorization-server"
    with running(tmp_path / "named", more=WIDE) as house:
        assert house.call("GET", metadata).body["pushed_client_registration_supported"] is True
        assert push(house).status == 201
        (house.stand.policies / "pushed.toml").unlink()
        house.look()
        assert push(house).error == (401, "invalid_client")
        assert "pushed_client_registration_supported" not in house.call("GET", metadata).body
    unnamed = WIDE.replace('[drafts]\npushed_client_registration = "00"\n', "")
    with running(tmp_path / "unnamed", more=unnamed) as house:
        assert push(house).error == (401, "invalid_client")
        assert "pushed_client_registration_supported" not in house.call("GET", metadata).body


def test_a_rule_narrows_where_they_may_be_answered(tmp_path: Path) -> None:
    with running(tmp_path / "service", more=WIDE) as house:
        house.write("pushed.toml", PUSHED_RULES + f'redirect_uris = ["{APP_CB}", "http://127.0.0.1/cb"]\n')
        house.look()
        assert push(house).status == 201
        assert push(house, redirect_uri=LOOPBACK).status == 201
        assert push(house, redirect_uri="https://evil.example/cb").error == INVALID_REQUEST


def test_the_metadata_names_what_a_client_of_the_code_flow_must_know_PCR_24_OAS_11(house: Approving) -> None:
    document = house.call("GET", "/.well-known/oauth-authorization-server").body
    issuer = house.stand.client.issuer
    assert document["pushed_authorization_request_endpoint"] == issuer + "/par"
    assert document["authorization_endpoint"] == issuer + "/authorize"
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["response_types_supported"] == ["code"]
    assert document["response_modes_supported"] == ["query"]
    assert document["grant_types_supported"] == ["authorization_code", "client_credentials", "refresh_token"]
    assert document["require_pushed_authorization_requests"] is False
    assert document["client_id_metadata_document_supported"] is True
    assert "none" in document["token_endpoint_auth_methods_supported"]
    assert "none" not in document["introspection_endpoint_auth_methods_supported"]
    assert "ES256" in document["dpop_signing_alg_values_supported"]
    assert LEDGER not in json.dumps(document)
