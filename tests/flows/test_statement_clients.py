"""Statements: whose word counts for what, which keys they bring, and that they are good at one door only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from bridge.lab.authority import Authority
from bridge.lab.jws import JwtKey
from tests.flows.client import JWT_BEARER, JWT_SPIFFE
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import CI, MUTE_CI, OTHER_CI, PORTAL, Office, jwks, own_assertion, own_jwks
from tests.flows.timed import Timed

KEY, OTHER_KEY = JwtKey.generate("ES256"), JwtKey.generate("ES256")
STATED = {"jwks": jwks(KEY)}


# --- clients of pinned issuers -----------------------------------------------------------------------------------


def test_a_pinned_issuer_s_statement_makes_a_client_that_authenticates_by_its_own_key(office: Office) -> None:
    told = office.state("pipeline", {**STATED, "client_name": "Pipeline"}).registered
    assert told["client_id"].startswith("statement-")
    assert (told["client_name"], told["token_endpoint_auth_method"]) == ("Pipeline", "private_key_jwt")
    assert told["jwks"]["keys"][0]["x"] == KEY.public_jwk()["x"]
    assert "spiffe_id" not in told
    claims = office.token_by_key(KEY, told["client_id"]).claims
    assert (claims["client_id"], claims["scope"]) == (told["client_id"], "ledger.read")
    assert office.token_by_key(OTHER_KEY, told["client_id"]).error == (401, "invalid_client")


def test_a_client_without_a_spiffe_id_is_the_subject_of_its_tokens_by_its_client_id(office: Office) -> None:
    client_id = office.state("pipeline", STATED).registered["client_id"]
    answer = office.token_by_key(KEY, client_id)
    claims = answer.claims
    assert (claims["sub"], claims["client_id"], claims["client_token"]) == (client_id, client_id, True)
    assert office.is_active(answer.body["access_token"])


def test_an_issuer_without_keys_is_said_without_alarm_and_one_with_unfit_keys_aloud_T_20(
    timed: Callable[..., Timed], caplog: pytest.LogCaptureFixture
) -> None:
    stand = timed().stand

    def said(words: str) -> set[int]:
        return {record.levelno for record in caplog.records if f"{CI}{words}" in record.getMessage()}

    with caplog.at_level(logging.INFO):
        stand.pin()
        stand.until(lambda: said(" has no keys"), "the empty set is seen")
        assert (said(" has no keys"), said(": ")) == ({logging.INFO}, set())
        (stand.folder / "trust/ci.jwks.json").write_text('{"keys": [{"kty": "oct", "k": "AAAA"}]}')
        stand.until(lambda: said(": "), "the set of unfit keys is seen")
        assert said(": ") == {logging.ERROR}


def test_the_name_of_such_a_client_is_stable_and_of_issuer_and_subject_DCR_24(office: Office) -> None:
    first = office.state("pipeline", STATED).registered["client_id"]
    again = office.state("pipeline", {**STATED, "client_name": "Later"}).registered["client_id"]
    other = office.state("other-pipeline", STATED).registered["client_id"]
    assert first == again != other
    # Nobody can take it for a name that means something else: a URL, a SPIFFE ID, a URN.
    assert not any(":" in name or "/" in name for name in (first, other))


def test_keys_must_be_stated_and_policy_must_let_the_issuer_state_them_T_46(office: Office) -> None:
    assert office.state("third-pipeline", STATED).status == 201
    with office.untouched("policy_no_rule", "metadata_invalid", "metadata_invalid"):
        assert office.state("other-one-of-them", STATED).error == (400, "unapproved_software_statement")
        assert office.state("keyless", STATED).error == (400, "invalid_client_metadata")
        assert office.state("third-pipeline", {}).error == (400, "invalid_client_metadata")


@pytest.mark.parametrize("source", ["pinned", "svid"])
def test_a_captured_statement_cannot_bring_a_foreign_key_T_46(office: Office, source: str) -> None:
    """Whoever read it in a log has no key that it names, and no certificate."""
    subject = "third-pipeline" if source == "pinned" else "/ns/web/sa/captured"
    statement = office.stand.statement(subject) if source == "pinned" else office.stand.svid(subject)
    foreign = DpopKey()
    with office.untouched("key_foreign"):
        refused = office.register({"software_statement": statement, "jwks": jwks(OTHER_KEY)})
        assert refused.error == (400, "invalid_client_metadata")
    with office.untouched("key_foreign"):
        proof = office.proof(DpopKey())
        refused = office.register({"software_statement": statement, "jwks": own_jwks(foreign)}, proof)
        assert refused.error == (400, "invalid_client_metadata")
    if source == "pinned":
        # Its own key proved beside it makes it no client's key either: nobody stated it.
        with office.untouched("metadata_invalid"):
            body = {"software_statement": statement, "jwks": own_jwks(foreign)}
            assert office.register(body, office.proof(foreign)).error == (400, "invalid_client_metadata")
    else:
        assert office.register({"software_statement": statement}).status == 201


def test_keys_of_a_statement_exclude_keys_of_the_request_DCR_7(office: Office) -> None:
    told = office.state("third-pipeline", STATED, jwks=jwks(OTHER_KEY)).registered
    assert [key["x"] for key in told["jwks"]["keys"]] == [KEY.public_jwk()["x"]]
    assert office.token_by_key(OTHER_KEY, told["client_id"]).error == (401, "invalid_client")
    assert office.token_by_key(KEY, told["client_id"]).status == 200
    elsewhere = office.state("third-pipeline", STATED, jwks_uri="https://evil.example/jwks").registered
    assert "jwks_uri" not in elsewhere


# --- whose word goes before whose --------------------------------------------------------------------------------


def test_a_statement_s_word_goes_before_the_request_s_member_by_member_DCR_7_ROFU_19(office: Office) -> None:
    told = office.enrol(
        "/ns/told/sa/precedence",
        claims={"client_name": "Stated", "contacts": ["stated@example.org"]},
        client_name="Said",
        contacts=["said@example.org"],
        software_id="said",
        **{"client_name#fr": "Dit"},
    ).registered
    assert (told["client_name"], told["contacts"]) == ("Stated", ["stated@example.org"])
    assert told["software_id"] == "said"
    # No language beside a stated name says something else.
    assert "client_name#fr" not in told


def test_a_member_that_asserts_lacks_is_neither_believed_nor_echoed(office: Office) -> None:
    claims = {"client_name": "Stated", "client_uri": "https://stated.example/", "tos_uri": "javascript:alert(1)"}
    told = office.enrol("/ns/told/sa/asserts", claims=claims).registered
    assert told["client_name"] == "Stated"
    assert not told.keys() & {"client_uri", "tos_uri"}
    # Without `asserts` none is: such claims are the request's to say.
    told = office.enrol("/ns/web/sa/asserts-nothing", claims=claims, client_name="Said").registered
    assert told["client_name"] == "Said"


def test_claims_about_the_statement_itself_are_no_metadata_DCR_18(office: Office) -> None:
    told = office.enrol("/ns/told/sa/protocol-claims", claims={"jti": "x", "nbf": 1, "client_auth": "y"}).registered
    assert not told.keys() & {"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_auth"}


def test_a_member_that_may_be_stated_is_held_to_the_same_table(office: Office) -> None:
    assert office.enrol("/ns/told/sa/table", claims={"contacts": ["a@example.org"]}).status == 201
    with office.untouched("metadata_invalid"):
        refused = office.enrol("/ns/told/sa/table-2", claims={"contacts": "a@example.org"})
        assert refused.error == (400, "invalid_client_metadata")


@pytest.mark.parametrize("who", ["the statement", "the request"])
@pytest.mark.parametrize(
    ("member", "fits", "too_much"),
    [
        pytest.param("scope", "ledger.read", "ledger.read orders.read", id="scope"),
        pytest.param("grant_types", ["client_credentials"], ["client_credentials", "password"], id="grant type"),
    ],
)
def test_policy_caps_last_whoever_said_it_T_45(
    office: Office, who: str, member: str, fits: object, too_much: object
) -> None:
    path = f"/ns/told/sa/caps-{member.replace('_', '-')}-{who[4:]}"

    def register(value: object) -> tuple[int, str]:
        said: dict[str, Any] = {member: value}
        answer = office.enrol(path, claims=said) if who == "the statement" else office.enrol(path, **said)
        return answer.error if answer.status >= 400 else (answer.status, str(answer.body[member]))

    with office.untouched(*(["policy_scope"] if member == "scope" else ["metadata_invalid"])):
        assert register(too_much) == (400, "invalid_client_metadata")
    assert register(fits) == (201, str(fits))


def test_a_later_statement_widens_no_record_ROFU_22(office: Office) -> None:
    path, own = "/ns/told/sa/later", "https://later.apps.example.org/cb"
    office.enrol(path, claims={"redirect_uris": [own], "scope": "ledger.read", "grant_types": ["authorization_code"]})
    wider = {"redirect_uris": [own, PORTAL], "scope": "ledger.read ledger.write", "client_name": "Later"}
    told = office.enrol(path, claims=wider).registered
    assert (told["redirect_uris"], told["scope"]) == ([own], "ledger.read")
    assert (told["grant_types"], told.get("client_name")) == (["authorization_code"], None)


def test_a_grant_that_the_rule_does_not_give_is_refused_T_45(office: Office) -> None:
    with office.untouched("policy_grant_type"):
        refused = office.enrol("/ns/web/sa/grants", grant_types=["authorization_code"], redirect_uris=[PORTAL])
        assert refused.error == (400, "invalid_client_metadata")
    assert office.enrol("/ns/web/sa/grants", grant_types=["client_credentials"]).status == 201


# --- redirect URIs ---------------------------------------------------------------------------------------------------

OWN = "https://{}.apps.example.org/cb"


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        pytest.param(None, [OWN, PORTAL], id="none named: all of the rule"),
        pytest.param([PORTAL], [PORTAL], id="an exact one"),
        pytest.param([OWN], [OWN], id="one from the template"),
    ],
)
def test_redirect_uris_come_from_the_rule_ROFU_14(office: Office, asked: list[str] | None, given: list[str]) -> None:
    name = f"r{len(asked or [])}{len(given)}{PORTAL in (asked or [])}".lower()
    body: dict[str, Any] = {} if asked is None else {"redirect_uris": [uri.format(name) for uri in asked]}
    told = office.enrol(f"/ns/portal/sa/{name}", **body).registered
    assert set(told["redirect_uris"]) == {uri.format(name) for uri in given}


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param(PORTAL + "/", id="one character more T-30"),
        pytest.param(PORTAL + "?a=1", id="a query more T-30"),
        pytest.param("https://other.apps.example.org/cb", id="a sibling's template"),
        pytest.param("https://PORTAL.example.org/cb", id="another spelling"),
        pytest.param("http://portal.example.org/cb", id="DCR-21 http"),
        pytest.param(PORTAL + "#", id="DCR-21 fragment"),
        pytest.param("https://*.example.org/cb", id="DCR-21 wildcard"),
        pytest.param("myapp:/cb", id="DCR-21 scheme without a dot"),
        pytest.param("https://portal.example.org@evil.example/cb", id="T-7 user part"),
        pytest.param("https://evil.example\\@portal.example.org/cb", id="T-7 backslash"),
        pytest.param("javascript:alert(1)", id="javascript"),
    ],
)
def test_a_redirect_uri_that_nobody_vouches_for_is_refused_DCR_21_ROFU_15(office: Office, strange: str) -> None:
    # Without one, with a good one beside it, and as the word of a statement whose rule lists others.
    row = office.records()
    for uris in ([strange], [PORTAL, strange]):
        refused = office.enrol("/ns/portal/sa/strange", redirect_uris=uris)
        assert refused.error == (400, "invalid_redirect_uri")
    stated = office.enrol("/ns/told/sa/strange", claims={"redirect_uris": [strange]})
    assert stated.error == (400, "invalid_redirect_uri")
    assert office.records() == row


def test_what_a_statement_states_is_cut_to_what_the_rule_lists_T_45(office: Office) -> None:
    own = "https://intersected.apps.example.org/cb"
    claims = {"redirect_uris": [own, "https://evil.example/cb"]}
    told = office.enrol("/ns/told/sa/intersected", claims=claims, redirect_uris=[PORTAL]).registered
    assert told["redirect_uris"] == [own]


def test_a_statement_s_redirect_uris_stand_alone_where_the_rule_lists_none(office: Office) -> None:
    own = "https://ci.example.org/cb"
    claims: dict[str, Any] = {**STATED, "redirect_uris": [own], "grant_types": ["authorization_code"]}
    assert office.state("redirected", STATED, redirect_uris=[own]).error == (400, "invalid_redirect_uri")
    told = office.state("redirected", claims, redirect_uris=[PORTAL]).registered
    assert (told["redirect_uris"], told["grant_types"]) == ([own], ["authorization_code"])


def test_a_code_that_no_redirect_uri_could_receive_is_not_registered(office: Office) -> None:
    """RFC 7591 section 2: clients that use codes register where these go."""
    told = office.state("codeless", STATED).registered
    assert (told["grant_types"], told["response_types"]) == (["client_credentials"], [])
    with office.untouched("redirect_uri_invalid"):
        refused = office.state("codeless", STATED, grant_types=["authorization_code"])
        assert refused.error == (400, "invalid_redirect_uri")


# --- one door only, and one maker each -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [JWT_SPIFFE, JWT_BEARER], ids=["jwt-spiffe", "jwt-bearer"])
def test_a_statement_is_no_client_assertion_and_the_reverse_DCR_17_T_25(office: Office, kind: str) -> None:
    path, issuer = "/ns/web/sa/one-door", office.stand.client.issuer
    client_id = office.state("pipeline", STATED).registered["client_id"]
    with office.untouched():
        for statement in (office.stand.svid(path), office.stand.statement("pipeline", STATED)):
            assert office.token(statement, client_assertion_type=kind).error == (401, "invalid_client")
        for assertion in (office.stand.jwt(path), own_assertion(KEY, client_id, issuer)):
            refused = office.register({"software_statement": assertion})
            assert refused.error[1] in ("invalid_software_statement", "unapproved_software_statement")
        both = office.stand.svid(path, audience=[office.stand.endpoint, issuer])
        assert office.register({"software_statement": both}).error == (400, "invalid_software_statement")
        assert office.token(both).error == (401, "invalid_client")
    assert office.register({"software_statement": office.stand.svid(path)}).status == 201
    assert office.token(office.stand.jwt(path)).status == 200


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        pytest.param({"iss": OTHER_CI}, "unapproved_software_statement", id="DCR-10 unknown issuer"),
        pytest.param({"iss": CI + "/"}, "unapproved_software_statement", id="DCR-10 another spelling"),
        pytest.param({"iss": None}, "invalid_software_statement", id="DCR-9 no issuer"),
        pytest.param({"sub": None}, "invalid_software_statement", id="DCR-9 no subject"),
        pytest.param({"exp": None}, "invalid_software_statement", id="DCR-9 no exp"),
        pytest.param({"iat": None}, "invalid_software_statement", id="DCR-9 no iat"),
        pytest.param({"aud": CI}, "invalid_software_statement", id="DCR-16 another audience"),
        pytest.param({"exp": 1}, "invalid_software_statement", id="DCR-9 expired"),
        pytest.param({"exp": 32503680000}, "invalid_software_statement", id="lives too long"),
        pytest.param(
            {"sub": "spiffe://example.org/ns/web/sa/x"}, "invalid_software_statement", id="states a SPIFFE ID T-46"
        ),
        pytest.param({"sub": "nobody"}, "unapproved_software_statement", id="DCR-10 refused by policy"),
    ],
)
def test_a_statement_that_is_not_sound_or_not_wanted_registers_nobody(
    office: Office, claims: dict[str, object], error: str
) -> None:
    refusals = ["policy_no_rule"] if "sub" in claims and claims["sub"] == "nobody" else []
    with office.untouched(*refusals):
        assert office.state("pipeline", {**STATED, **claims}).error == (400, error)
    assert office.state("pipeline", STATED).status == 201


def test_a_statement_signed_by_another_than_its_maker_is_refused_DCR_11_T_12(office: Office) -> None:
    stand = office.stand
    foreign = [
        stand.statement("pipeline", STATED, key=JwtKey.generate("ES256", kid="ci-1")),
        Authority("example.org").jwt_svid("/ns/web/sa/forged", stand.endpoint),
        stand.ci.sign({"alg": "ES256", "kid": "ci-1"}, b'{"sub":"spiffe://example.org/ns/web/sa/forged"}'),
    ]
    with office.untouched():
        for statement in foreign:
            assert office.register({"software_statement": statement}).error == (400, "invalid_software_statement")
        stranger = stand.stranger.jwt_svid("/ns/web/sa/forged", stand.endpoint)
        assert office.register({"software_statement": stranger}).error == (400, "unapproved_software_statement")


def test_keys_that_never_arrived_are_our_fault_and_none_of_the_client_s(office: Office) -> None:
    with office.untouched():
        answer = office.state("pipeline", {**STATED, "iss": MUTE_CI})
        assert answer.error == (503, "temporarily_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1


def test_a_key_that_the_issuer_s_file_lost_vouches_for_nothing_from_then_on(office: Office) -> None:
    stand, successor = office.stand, JwtKey.generate("ES256", kid="ci-2")
    client_id = office.state("pipeline", STATED).registered["client_id"]
    try:
        stand.pin(successor)
        office.look()
        assert office.state("pipeline", STATED).error == (400, "invalid_software_statement")
        by_successor = {"software_statement": stand.statement("pipeline", STATED, key=successor)}
        assert office.register(by_successor).registered["client_id"] == client_id
    finally:
        stand.pin(stand.ci)
        office.look()
    assert office.state("pipeline", STATED).status == 201
