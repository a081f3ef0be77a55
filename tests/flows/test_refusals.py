"""Every refusal, beside a twin that differs in one thing and is granted."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from bridge.lab.authority import Authority
from tests.flows.client import JWT_BEARER, JWT_SPIFFE, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.stand import LEDGER, ORDERS, Stand

WEB = "/ns/web/sa/refusals"
Make = Callable[[Stand], dict[str, str]]


def good(stand: Stand) -> dict[str, str]:
    return jwt_fields(stand.jwt(WEB))


def test_the_twin_of_all_of_these_is_granted(stand: Stand) -> None:
    assert stand.client.post("/token", good(stand)).status == 200


CREDENTIALS = [
    pytest.param(lambda s: jwt_fields(s.jwt(WEB, audience=s.client.issuer + "/token")), id="SCA-6 token URL"),
    pytest.param(lambda s: jwt_fields(s.jwt(WEB, audience=s.client.issuer + "/")), id="SCA-6 added slash"),
    pytest.param(lambda s: jwt_fields(s.jwt(WEB, audience=[s.client.issuer, "x"])), id="SCA-5 two audiences T-22"),
    pytest.param(lambda s: jwt_fields(s.jwt(WEB, ttl=-60)), id="SCA-4 expired"),
    pytest.param(lambda s: jwt_fields(s.jwt(WEB, ttl=7200)), id="SCA-35 lives too long"),
    pytest.param(lambda s: jwt_fields(s.stranger.jwt_svid(WEB, s.client.issuer)), id="ROFU-2 unknown trust domain"),
    pytest.param(lambda s: jwt_fields(Authority("example.org").jwt_svid(WEB, s.client.issuer)), id="SCA-7 other key"),
    pytest.param(lambda s: jwt_fields(s.jwt(WEB)[:-6] + "AAAAAA"), id="bad signature"),
    pytest.param(lambda s: jwt_fields(none_alg(s.jwt(WEB))), id="SCA-8 alg none T-26"),
    pytest.param(lambda s: jwt_fields("a.b.c"), id="no JWS"),
    pytest.param(lambda s: jwt_fields("." * 20000), id="T-27 over its size"),
    pytest.param(lambda s: jwt_fields("x" * 16385), id="T-27 too long"),
    pytest.param(lambda s: good(s) | {"client_assertion_type": JWT_SPIFFE.upper()}, id="SCA-2 type's case"),
    pytest.param(lambda s: good(s) | {"client_assertion_type": "urn:x"}, id="unknown type"),
    pytest.param(lambda s: good(s) | {"client_id": "spiffe://example.org/ns/web/sa/other"}, id="T-13 names another"),
    pytest.param(lambda s: good(s) | {"client_id": "batch"}, id="SCA-12 names a shared client"),
    pytest.param(lambda s: {"grant_type": "client_credentials"}, id="ROFU-10 none"),
    pytest.param(lambda s: {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, id="secret"),
    pytest.param(lambda s: jwt_fields(s.jwt("/ns/nowhere/sa/x")), id="ROFU-26 default deny"),
    pytest.param(lambda s: jwt_fields(s.jwt("/ns/web/sa/intruder")), id="a deny rule"),
    pytest.param(lambda s: jwt_fields(s.jwt("/ns/payments/sa/x")), id="ROFU-27 evidence that policy does not take"),
]


def none_alg(token: str) -> str:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


@pytest.mark.parametrize("make", CREDENTIALS)
def test_credential_failures_are_one_answer_and_leave_no_record_SCA_33_ROFU_1_30(stand: Stand, make: Make) -> None:
    answer = stand.client.post("/token", make(stand))
    body = answer.body
    assert answer.status == 401
    assert body.pop("error_id") == answer.headers["X-Request-Id"]
    assert body == {"error": "invalid_client", "error_description": "client authentication failed"}
    assert "WWW-Authenticate" not in answer.headers


def test_refused_identities_left_no_record_ROFU_9(stand: Stand) -> None:
    for make in CREDENTIALS:
        stand.client.post("/token", make.values[0](stand))  # type: ignore[operator]
    subjects = {client["subject"] for client in stand.clients()}
    assert not subjects & {f"spiffe://example.org{p}" for p in ("/ns/nowhere/sa/x", "/ns/web/sa/intruder")}
    assert not any("stranger" in subject for subject in subjects)


REQUESTS = [
    pytest.param(lambda s: [*good(s).items(), ("scope", "ledger.read"), ("scope", "ledger.read")], id="T-31 repeated"),
    pytest.param(lambda s: [*good(s).items(), ("client_assertion", "x")], id="SCA-1 two assertions"),
    pytest.param(lambda s: [p for p in good(s).items() if p[0] != "client_assertion"], id="SCA-1 half a pair"),
    pytest.param(lambda s: [p for p in good(s).items() if p[0] != "client_assertion_type"], id="the other half"),
    pytest.param(lambda s: [p for p in good(s).items() if p[0] != "grant_type"], id="no grant type"),
    pytest.param(lambda s: [*good(s).items(), ("client_secret", "x")], id="SCA-31 assertion and secret"),
    pytest.param(lambda s: [*good(s).items(), ("x", "\x00")], id="NUL"),
]


@pytest.mark.parametrize("make", REQUESTS)
def test_malformed_requests_are_invalid_request(stand: Stand, make: Callable[[Stand], list[tuple[str, str]]]) -> None:
    answer = stand.client.post("/token", make(stand))
    assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        pytest.param({"scope": "ledger.write"}, 400, "invalid_scope", id="ROFU-21 more than the rule"),
        pytest.param({"scope": "nothing"}, 400, "invalid_scope", id="unknown scope"),
        pytest.param({"scope": "ledger.read  ledger.read"}, 400, "invalid_scope", id="malformed scope"),
        pytest.param({"resource": ORDERS}, 400, "invalid_target", id="a resource of others"),
        pytest.param({"resource": LEDGER + "#x"}, 400, "invalid_target", id="OAS-17 fragment"),
        pytest.param({"resource": "/ledger"}, 400, "invalid_target", id="OAS-17 relative"),
        pytest.param({"resource": ORDERS, "scope": "nothing"}, 400, "invalid_target", id="resource before scope"),
        pytest.param({"grant_type": "password"}, 400, "unsupported_grant_type", id="unknown grant"),
    ],
)
def test_grants_that_are_not_covered(stand: Stand, fields: dict[str, str], status: int, error: str) -> None:
    answer = stand.client.post("/token", good(stand) | fields)
    assert (answer.status, answer.error) == (status, error)


@pytest.mark.parametrize("fields", [{"scope": "ledger.read"}, {"resource": LEDGER}])
def test_the_covered_twins_are_granted(stand: Stand, fields: dict[str, str]) -> None:
    assert stand.client.post("/token", good(stand) | fields).status == 200


def test_two_resources_and_no_word_which_asks_for_one(stand: Stand) -> None:
    answer = stand.client.by_jwt(stand.jwt("/ns/both/sa/a"))
    assert (answer.error, answer.body["error_description"]) == ("invalid_target", "name a resource")
    assert stand.client.by_jwt(stand.jwt("/ns/both/sa/a"), scope="orders.read").claims["aud"] == ORDERS


def test_a_certificate_without_client_id_is_refused_SCA_15(stand: Stand) -> None:
    svid = stand.authority.x509_svid(WEB)
    assert stand.client.by_x509(svid).status == 200
    assert stand.client.by_x509(svid, client_id="").status == 401
    assert stand.client.by_x509(svid, client_id="spiffe://example.org/ns/web/sa/other").status == 401


def test_a_certificate_beside_an_assertion_is_two_credentials_SCA_31(stand: Stand) -> None:
    svid = stand.authority.x509_svid(WEB)
    answer = stand.client.post("/token", good(stand), svid=svid)
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert stand.client.post("/token", good(stand), mtls=True).status == 200


def test_an_assertion_beside_basic_is_two_credentials_OAS_5(stand: Stand) -> None:
    answer = stand.client.post("/token", good(stand), headers=[("Authorization", "Basic YTpi")])
    assert (answer.status, answer.error) == (400, "invalid_request")
    alone = stand.client.post("/token", {"grant_type": "client_credentials"}, headers=[("Authorization", "Basic YTpi")])
    assert (alone.status, alone.headers["WWW-Authenticate"]) == (401, 'Basic realm="token"')


def test_certificate_headers_are_ignored_SCA_19_T_18(stand: Stand) -> None:
    leaf = base64.b64encode(stand.authority.x509_svid(WEB).chain[0]).decode()
    fields = {"grant_type": "client_credentials", "client_id": f"spiffe://example.org{WEB}"}
    for name in ("Client-Cert", "Client_Cert", "X-Forwarded-Client-Cert"):
        assert stand.client.post("/token", fields, headers=[(name, f":{leaf}:")]).status == 401


def test_forwarded_and_host_headers_change_nothing_T_36(stand: Stand) -> None:
    plain = stand.client.request("GET", "/.well-known/oauth-authorization-server")
    poisoned = stand.client.request(
        "GET",
        "/.well-known/oauth-authorization-server",
        headers=[("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http"), ("Forwarded", "host=evil")],
    )
    assert poisoned.content == plain.content


def test_an_unmet_binding_says_which_proof_to_send(stand: Stand) -> None:
    answer = stand.client.by_jwt(stand.jwt("/ns/edge/sa/b"))
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert "DPoP" in answer.body["error_description"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"htu": "https://other.example/token"}, id="T-29 htu"),
        pytest.param({"htm": "GET"}, id="T-29 htm"),
        pytest.param({"iat": 1}, id="stale"),
        pytest.param({"jti": 5}, id="jti that is no string"),
        pytest.param({"header": {"typ": "JWT"}}, id="T-25 typ"),
    ],
)
def test_a_wrong_dpop_proof_is_refused(stand: Stand, change: dict[str, object]) -> None:
    proof = DpopKey().proof("POST", stand.client.issuer + "/token", **change)  # type: ignore[arg-type]
    answer = stand.client.by_jwt(stand.jwt("/ns/edge/sa/c"), headers=[("DPoP", proof)])
    assert (answer.status, answer.error) == (400, "invalid_dpop_proof")


def test_a_dpop_proof_is_taken_once_T_29(stand: Stand) -> None:
    proof = DpopKey().proof("POST", stand.client.issuer + "/token")
    assert stand.client.by_jwt(stand.jwt("/ns/edge/sa/d"), headers=[("DPoP", proof)]).status == 200
    again = stand.client.by_jwt(stand.jwt("/ns/edge/sa/d"), headers=[("DPoP", proof)])
    assert (again.status, again.error) == (400, "invalid_dpop_proof")


def test_two_dpop_proofs_are_none(stand: Stand) -> None:
    key, url = DpopKey(), stand.client.issuer + "/token"
    two = [("DPoP", key.proof("POST", url)), ("DPoP", key.proof("POST", url))]
    assert stand.client.by_jwt(stand.jwt("/ns/edge/sa/e"), headers=two).error == "invalid_dpop_proof"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "/token", [], 405, id="OAS-6 token"),
        pytest.param("PUT", "/introspect", [], 405, id="introspect"),
        pytest.param("GET", "/revoke", [], 405, id="revoke"),
        pytest.param("POST", "/token", [("Content-Type", "application/json")], 415, id="type"),
        pytest.param("POST", "/token", [], 415, id="no type"),
        pytest.param("POST", "/nowhere", [], 404, id="path"),
        pytest.param("POST", "/jwks", [], 405, id="POST to a document"),
        pytest.param("GET", "/metrics", [], 404, id="metrics are not public"),
    ],
)
def test_wrong_method_type_or_path(
    stand: Stand, method: str, path: str, headers: list[tuple[str, str]], status: int
) -> None:
    answer = stand.client.request(method, path, body="{}" if method == "POST" else None, headers=headers)
    assert answer.status == status
    assert answer.body["error_id"] == answer.headers["X-Request-Id"]


def test_a_body_over_64_kib_is_413_and_one_below_is_read(stand: Stand) -> None:
    padded = good(stand) | {"x": "y" * 60_000}
    assert stand.client.post("/token", padded).status == 200
    assert stand.client.post("/token", padded | {"z": "y" * 6_000}).status == 413


def test_a_refusal_of_an_authenticated_identity_is_in_the_audit_log_with_its_ask(stand: Stand) -> None:
    answer = stand.client.by_jwt(stand.jwt("/ns/web/sa/audited"), scope="ledger.write")
    (row,) = stand.audit(answer.headers["X-Request-Id"])
    assert (row["event"], row["outcome"], row["reason"]) == ("refused", "deny", "policy_scope")
    assert row["ask"]["scopes"] == ["ledger.write"]
    assert row["subject"] == "spiffe://example.org/ns/web/sa/audited"


def test_unauthenticated_noise_is_not_in_the_audit_log(stand: Stand) -> None:
    answer = stand.client.post("/token", jwt_fields("a.b.c"))
    assert answer.status == 401
    assert stand.audit(answer.headers["X-Request-Id"]) == []
    assert answer.headers["X-Request-Id"] in stand.log


def test_introspection_and_revocation_need_a_client_OAS_23(stand: Stand) -> None:
    for path in ("/introspect", "/revoke"):
        assert stand.client.post(path, {"token": "x"}).status == 401
        assert stand.client.post(path, {"token": "x", "client_assertion": "y"}).error == "invalid_request"
        fields = jwt_fields(stand.jwt(WEB)) | {"client_assertion_type": JWT_BEARER}
        assert stand.client.post(path, fields | {"token": "x"}).status == 200
