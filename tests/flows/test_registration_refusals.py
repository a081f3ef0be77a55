"""What `/register` refuses: the tables of RFC 7591 and of the contract, each beside a twin that is granted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.lab.jws import JwtKey
from tests.flows.enrolling import PORTAL, Office, Registering, jwks
from tests.svid_factory import compact

WEB = "/ns/web/sa/well-formed"
EC = jwks(JwtKey.generate("ES256"))["keys"][0]  # type: ignore[index]
CALLBACK = "https://shop.example.org/callback"
PRIVATE = {**EC, "d": "AAAA"}
META, REDIRECT, STATEMENT = "invalid_client_metadata", "invalid_redirect_uri", "invalid_software_statement"


def deep(levels: int) -> str:
    return '{"x":' * levels + "1" + "}" * levels


# --- bodies that are none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="DCR-1 a list"),
        pytest.param(b'"x"', id="DCR-1 a string"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"{}{}", id="two objects"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param('{"client_name": "é"}'.encode("latin-1"), id="no UTF-8"),
        pytest.param(b'{"software_statement": "%s", "software_statement": "x"}', id="T-28 duplicate statement"),
        pytest.param(
            b'{"software_statement": "%s", "client_name": "a", "client_name": "b"}', id="T-28 duplicate member"
        ),
        pytest.param(b'{"software_statement": "%s", "x": {"y": 1, "y": 2}}', id="T-28 duplicate within"),
        pytest.param(b'{"software_statement": "%s", "x": ' + deep(17).encode() + b"}", id="T-27 deep"),
        pytest.param(b'{"software_statement": "%s", "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", id="T-27 very deep"),
        pytest.param(b'{"software_statement": "%s", "x": ' + b"9" * 5000 + b"}", id="T-27 5,000 digits"),
        pytest.param(b'{"software_statement": "%s", "x": NaN}', id="T-28 NaN"),
        pytest.param(b'{"software_statement": "%s", "x": 1e400}', id="T-28 1e400"),
        pytest.param(b'{"software_statement": "%s", "x": "\\ud800"}', id="half a surrogate pair"),
    ],
)
def test_a_body_that_is_not_one_plain_json_object_registers_nobody_DCR_1(office: Office, body: bytes) -> None:
    statement = office.stand.svid("/ns/web/sa/bodies").encode()
    with office.untouched():
        assert office.register(body.replace(b"%s", statement)).error == (400, META)
    sound = b'{"software_statement": "%s", "x": [1, {"y": 2}]}'.replace(b"%s", statement)
    assert office.register(sound).status == 201


@pytest.mark.parametrize("kind", [None, b"", b"text/plain", b"application/x-www-form-urlencoded", b"application/jwt"])
def test_another_content_type_registers_nobody_DCR_1(office: Office, kind: bytes | None) -> None:
    body = {"software_statement": office.stand.svid("/ns/web/sa/types")}
    with office.untouched():
        assert office.register(body, kind=kind).error[0] == 415
    assert office.register(body, kind=b"application/json; charset=utf-8").status == 201


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_registers_nobody_DCR_1(office: Office, method: str) -> None:
    with office.untouched():
        answer = office.call(method, "/register", {}, headers=[(b"content-type", b"application/json")])
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer x y",
        b"Bearer \xff",
        b"Basic YTpi",
        b"Basic",
        b"DPoP x",
        b"x" * 9000,
        b",",
        b"=",
    ],
)
def test_any_authorization_header_is_401_and_registers_nobody_T_47_DCR_23(office: Office, value: bytes) -> None:
    with office.untouched():
        answer = office.enrol("/ns/web/sa/authorized", (b"authorization", value))
        assert answer.error == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert office.enrol("/ns/web/sa/authorized").status == 201


# --- statements that are none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda s: None, META, id="null"),
        pytest.param(lambda s: "", META, id="empty"),
        pytest.param(lambda s: 7, META, id="a number"),
        pytest.param(lambda s: {"sub": "x"}, META, id="an object"),
        pytest.param(lambda s: [s.svid(WEB)], META, id="a list"),
        pytest.param(lambda s: "a.b.c", STATEMENT, id="no JWS"),
        pytest.param(lambda s: "." * 20_000, STATEMENT, id="T-27 dots"),
        pytest.param(lambda s: "x" * 20_000, STATEMENT, id="over its size"),
        pytest.param(lambda s: s.svid(WEB) + "A", STATEMENT, id="DCR-9 bad signature"),
        pytest.param(lambda s: s.svid(WEB)[:-8], STATEMENT, id="DCR-9 cut signature"),
        pytest.param(lambda s: compact({"alg": "none"}, {"sub": f"spiffe://example.org{WEB}"}), STATEMENT, id="T-26"),
        pytest.param(
            lambda s: compact({"alg": "HS256"}, {"sub": f"spiffe://example.org{WEB}"}), STATEMENT, id="DCR-19"
        ),
        pytest.param(lambda s: s.svid(WEB, audience=s.client.issuer), STATEMENT, id="DCR-16 the issuer"),
        pytest.param(lambda s: s.svid(WEB, audience=s.endpoint + "/"), STATEMENT, id="DCR-16 a slash more"),
        pytest.param(lambda s: s.svid(WEB, audience=s.mtls_base + "/register"), STATEMENT, id="DCR-16 the mTLS alias"),
        pytest.param(lambda s: s.svid(WEB, audience=[s.endpoint, "x"]), STATEMENT, id="DCR-16 two T-22"),
        pytest.param(lambda s: s.svid(WEB, ttl=-60), STATEMENT, id="DCR-9 expired"),
        pytest.param(lambda s: s.svid(WEB, ttl=660), STATEMENT, id="T-46 lives too long"),
        pytest.param(lambda s: s.svid(WEB, {"iat": None}), STATEMENT, id="DCR-9 iat"),
        pytest.param(lambda s: s.svid(WEB, {"exp": "9"}), STATEMENT, id="T-28 exp as string"),
        pytest.param(lambda s: s.svid(WEB, {"sub": "spiffe://example.org/%2e"}), STATEMENT, id="DCR-9 bad ID T-11"),
        pytest.param(lambda s: s.svid(WEB, {"sub": "SPIFFE://example.org" + WEB}), STATEMENT, id="T-11 case"),
        pytest.param(lambda s: s.svid(WEB, {"sub": "spiffe://example.org"}), STATEMENT, id="a trust domain's ID"),
    ],
)
def test_a_statement_that_does_not_hold_registers_nobody(
    office: Office, make: Callable[[Registering], Any], error: str
) -> None:
    with office.untouched():
        assert office.register({"software_statement": make(office.stand)}).error == (400, error)
    assert office.register({"software_statement": office.stand.svid(WEB)}).status == 201


def test_why_a_statement_failed_cannot_be_told_from_the_answer(office: Office) -> None:
    stand = office.stand
    failures = [stand.svid(WEB)[:-8], stand.svid(WEB, ttl=-60), stand.svid(WEB, audience="x"), "a.b.c"]
    answers = [office.register({"software_statement": statement}).content for statement in failures]
    assert len(set(answers)) == 1


# --- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "twin", "error"),
    [
        pytest.param({"client_name": 5}, {"client_name": "5"}, META, id="T-28 a number for a name"),
        pytest.param({"client_name": None}, {}, META, id="null"),
        pytest.param({"client_name": "a\u202eb"}, {"client_name": "ab"}, META, id="T-43 bidi override"),
        pytest.param({"client_name": "x" * 201}, {"client_name": "x" * 200}, META, id="too long a name"),
        pytest.param({"contacts": ["a"] * 11}, {"contacts": ["a"]}, META, id="too many contacts"),
        pytest.param({"logo_uri": "http://x.example/"}, {"logo_uri": "https://x.example/"}, META, id="T-4 http logo"),
        pytest.param({"tos_uri": "javascript:1"}, {"tos_uri": "https://x.example/"}, META, id="a script as a page"),
        pytest.param(
            {"jwks": {"keys": [EC]}, "jwks_uri": "https://x.example/"}, {}, META, id="DCR-4 two sources of keys"
        ),
        pytest.param({"jwks_uri": "https://x.example/keys"}, {}, META, id="keys by reference T-4"),
        pytest.param({"jwks": {"keys": [PRIVATE]}}, {}, META, id="a private key T-9"),
        pytest.param({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}, {}, META, id="a symmetric key"),
        pytest.param({"response_types": ["code"]}, {"response_types": []}, META, id="DCR-6 code without its grant"),
        pytest.param({"response_types": ["token"]}, {}, META, id="DCR-6 implicit"),
        pytest.param({"grant_types": ["implicit"]}, {"grant_types": ["client_credentials"]}, META, id="unknown grant"),
        pytest.param({"grant_types": ["refresh_token"]}, {}, META, id="refresh without code"),
        pytest.param({"grant_types": []}, {}, META, id="no grant"),
        pytest.param({"scope": "ledger.read nothing"}, {"scope": "ledger.read"}, META, id="unknown scope"),
        pytest.param({"scope": ["ledger.read"]}, {"scope": "ledger.read"}, META, id="scope as a list"),
        pytest.param({"token_endpoint_auth_method": "none"}, {}, META, id="DCR-14 none"),
        pytest.param({"token_endpoint_auth_method": "client_secret_basic"}, {}, META, id="DCR-14 basic"),
        pytest.param({"token_endpoint_auth_method": "client_secret_post"}, {}, META, id="DCR-14 post"),
        pytest.param({"token_endpoint_auth_method": "client_secret_jwt"}, {}, META, id="DCR-14 jwt"),
        pytest.param({"token_endpoint_auth_method": "x"}, {}, META, id="unknown method"),
        pytest.param(
            {"spiffe_id": "spiffe://example.org/ns/web/sa/other"},
            {"spiffe_id": "spiffe://example.org/ns/web/sa/meta"},
            META,
            id="DCR-15 another's SPIFFE ID",
        ),
        pytest.param({"spiffe_id": "spiffe://example.org/ns/web/*"}, {}, META, id="DCR-15 wider"),
        pytest.param({"spiffe_id": "spiffe://example.org/ns/web/sa/meta/*"}, {}, META, id="DCR-15 below"),
        pytest.param({"dpop_bound_access_tokens": "yes"}, {"dpop_bound_access_tokens": False}, META, id="T-28 boolean"),
        pytest.param(
            {"dpop_bound_access_tokens": True, "tls_client_certificate_bound_access_tokens": True},
            {"tls_client_certificate_bound_access_tokens": False},
            META,
            id="two bindings",
        ),
        pytest.param({"application_type": "x"}, {"application_type": "native"}, META, id="unknown application type"),
        pytest.param({"redirect_uris": ["javascript:1"]}, {"redirect_uris": []}, REDIRECT, id="DCR-21 a script"),
        pytest.param({"redirect_uris": "https://x.example/"}, {"redirect_uris": []}, META, id="no list"),
        pytest.param({"client_name#": "x"}, {"client_name#en": "x"}, META, id="an empty language"),
    ],
)
def test_metadata_that_is_not_acceptable_registers_nobody(
    office: Office, wrong: dict[str, Any], twin: dict[str, Any], error: str
) -> None:
    before = office.records()
    assert office.enrol("/ns/web/sa/meta", **wrong).error == (400, error)
    assert office.records() == before
    assert office.enrol("/ns/web/sa/meta-twin", **{**twin, **_own(twin)}).status == 201


def _own(twin: dict[str, Any]) -> dict[str, str]:
    """The twin is another workload, so that what it registers is its own."""
    return {"spiffe_id": "spiffe://example.org/ns/web/sa/meta-twin"} if "spiffe_id" in twin else {}


def test_a_refusal_is_written_down_with_the_grant_that_its_redirect_uris_mean(office: Office) -> None:
    asked = {"client_credentials": {"scope": "nobody.has.it"}, "authorization_code": {"redirect_uris": [CALLBACK]}}
    for grant, body in asked.items():
        row = office.last_row()
        refused = office.enrol("/ns/web/sa/means-a-code", **body)
        assert refused.error == (400, META)
        (found,) = office.process.worker._store.audit.rows(after=row, limit=10)
        # `policy explain --audit` decides what stands in the row, and has to come to the same answer.
        assert (found.event.id, found.event.ask["grant_type"]) == (refused.body["error_id"], grant)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            {"redirect_uris": [CALLBACK]}, "redirect_uris ask for the grant type authorization_code", id="uris"
        ),
        pytest.param(
            {"response_types": ["code"]}, "response_types ask for the grant type authorization_code", id="code"
        ),
        pytest.param(
            {"redirect_uris": [CALLBACK], "grant_types": ["authorization_code"]}, "this client may not use", id="named"
        ),
    ],
)
def test_a_client_that_named_no_grant_type_is_told_by_what_it_asked_for_one(
    office: Office, body: dict[str, Any], words: str
) -> None:
    refused = office.enrol("/ns/web/sa/told-what-it-asked", **body)
    assert refused.error == (400, META)
    assert refused.body["error_description"].startswith(words)
    given = office.enrol("/ns/portal/sa/told-what-it-asked", **body | {"redirect_uris": [PORTAL]}).registered
    assert "authorization_code" in given["grant_types"]


def test_the_words_of_a_refusal_never_quote_what_was_sent_T_43(office: Office) -> None:
    for body in ({"client_name": "<script>\u202e"}, {"tos_uri": "<script>"}, {"grant_types": ["<script>"]}):
        answer = office.enrol("/ns/web/sa/quoted", **body)
        assert answer.status == 400
        assert b"<script" not in answer.content


# --- identities that are not let in -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "twin", "reason"),
    [
        ("/ns/nowhere/sa/x", "/ns/web/sa/let-in", "policy_no_rule"),
        ("/ns/web/sa/intruder", "/ns/web/sa/let-in", "policy_deny_rule"),
        ("/ns/web/sa/unwelcome", "/ns/web/sa/let-in", "policy_deny_rule"),
        pytest.param("/ns/silent/sa/x", "/ns/web/sa/let-in", "policy_no_rule", id="a rule for another door"),
        pytest.param("/ns/payments/sa/by-jwt", "/ns/web/sa/let-in", "policy_no_rule", id="ROFU-27 other evidence"),
    ],
)
def test_an_identity_that_policy_does_not_admit_is_unapproved_DCR_10_T_45(
    office: Office, path: str, twin: str, reason: str
) -> None:
    with office.untouched(reason):
        assert office.enrol(path).error == (400, "unapproved_software_statement")
    with office.untouched(reason) if "payments" not in path else office.untouched():
        if "payments" not in path:
            refused = office.register({}, svid=office.stand.authority.x509_svid(path))
            assert refused.error == (400, META)
    assert office.enrol(twin).status == 201


def test_a_door_that_is_denied_is_no_other_door_s_denial(office: Office) -> None:
    assert office.enrol("/ns/web/sa/unwelcome").status == 400
    assert office.token(office.stand.jwt("/ns/web/sa/unwelcome")).status == 200


@pytest.mark.parametrize("who", ["expired", "stranger", "silent"])
def test_a_certificate_that_nobody_vouches_for_or_admits_is_told_to_send_a_statement(office: Office, who: str) -> None:
    authority = office.stand.stranger if who == "stranger" else office.stand.authority
    svid = authority.x509_svid(
        "/ns/silent/sa/c" if who == "silent" else "/ns/web/sa/c", ttl=-9 if who == "expired" else 60
    )
    with office.untouched(*(["policy_no_rule"] if who == "silent" else [])):
        answer = office.register({}, svid=svid)
        assert answer.error == (400, META)
        assert "software_statement" in answer.body["error_description"]
    assert office.register({}, svid=office.stand.authority.x509_svid("/ns/web/sa/c")).status == 201
