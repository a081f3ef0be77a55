"""What an answer says, and what it must not: OAuth's codes, tokens, introspection, the audit row (OAS, ROFU)."""

from __future__ import annotations

import http.client
import json
import ssl
from urllib.parse import urlencode

import pytest

from tests.flows.client import FORM, Answer, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.stand import LEDGER, ORDERS, Stand

DOORS = ("/token", "/introspect", "/revoke")
METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")


def fields_for(stand: Stand, door: str, path: str = "/ns/web/sa/answers") -> dict[str, str]:
    """A request that this door grants."""
    fields = jwt_fields(stand.jwt(path))
    return fields if door == "/token" else fields | {"token": "unknown"}


def introspect(stand: Stand, path: str, token: str, **more: str) -> Answer:
    return stand.client.post("/introspect", jwt_fields(stand.jwt(path)) | {"token": token, **more})


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["grant_type", "client_assertion", "client_assertion_type", "client_id", "scope", "x"])
@pytest.mark.parametrize("second", ["", "again"], ids=["empty", "other"])
def test_a_parameter_comes_once_OAS_1_T_31_SCA_1(stand: Stand, door: str, name: str, second: str) -> None:
    once = {"client_id": "spiffe://example.org/ns/web/sa/answers", "scope": "ledger.read", "x": "y"}
    fields = once | fields_for(stand, door)
    assert stand.client.post(door, fields).status == 200
    twice = stand.client.post(door, [*fields.items(), (name, second or fields[name])])
    assert (twice.status, twice.error) == (400, "invalid_request")
    blank = stand.client.post(door, [(name, ""), *fields.items()])
    assert (blank.status, blank.error) == (400, "invalid_request")


def test_only_resource_may_repeat_OAS_1(stand: Stand) -> None:
    fields = [*jwt_fields(stand.jwt("/ns/both/sa/repeat")).items(), ("resource", LEDGER), ("resource", ORDERS)]
    assert stand.client.post("/token", fields).status == 200
    assert stand.client.post("/token", [*fields, ("audience", "a"), ("audience", "b")]).error == "invalid_request"


def test_an_empty_parameter_is_an_absent_one_and_an_unknown_one_is_ignored(stand: Stand) -> None:
    fields = jwt_fields(stand.jwt("/ns/web/sa/empty")) | {"scope": "", "client_id": "", "resource": "", "foo": "bar"}
    assert stand.client.post("/token", fields).body["scope"] == "ledger.read"


@pytest.mark.parametrize("door", DOORS)
def test_no_answer_of_these_doors_may_be_stored_OAS_2(stand: Stand, door: str) -> None:
    fields = fields_for(stand, door)
    answers = {
        200: stand.client.post(door, fields),
        400: stand.client.post(door, [*fields.items(), ("x", "1"), ("x", "2")]),
        401: stand.client.post(door, {}),
        405: stand.client.request("GET", door),
    }
    for status, answer in answers.items():
        assert answer.status == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Request-Id"]


def failures(stand: Stand, door: str) -> list[tuple[Answer, int, str]]:
    """Requests of every kind that this door refuses, with what RFC 6749 and the contract call it."""
    fields = fields_for(stand, door)
    return [
        (stand.client.post(door, {}), 401, "invalid_client"),
        (stand.client.post(door, fields | {"client_assertion": "x"}), 401, "invalid_client"),
        (stand.client.post(door, fields | {"client_secret": "x"}), 400, "invalid_request"),
        (stand.client.post(door, fields, headers=[("DPoP", "x")]), 400, "invalid_dpop_proof"),
        (stand.client.request("GET", door), 405, "invalid_request"),
        (stand.client.request("POST", door, body="{}", headers=[("Content-Type", "application/json")]), 415, ""),
        (stand.client.post(door, fields | {"filler": "x" * 66_000}), 413, ""),
    ]


@pytest.mark.parametrize("door", DOORS)
def test_every_refusal_is_json_in_the_form_of_rfc_6749_ROFU_13_OAS_3(stand: Stand, door: str) -> None:
    assert stand.client.post(door, fields_for(stand, door)).status == 200
    for answer, status, error in failures(stand, door):
        assert answer.status == status, answer.content
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.body.keys() == {"error", "error_description", "error_id"}
        assert answer.error == error or not error
        description = answer.body["error_description"]
        assert description
        assert all(" " <= c <= "~" and c not in '"\\' for c in description)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("method", METHODS)
def test_only_post_is_taken_OAS_6(stand: Stand, door: str, method: str) -> None:
    refused = stand.client.request(method, f"{door}?{urlencode(fields_for(stand, door))}")
    assert refused.status == 405
    assert refused.headers["Allow"] == "POST"
    assert stand.client.post(door, fields_for(stand, door)).status == 200


def test_parameters_of_the_query_are_not_parameters(stand: Stand) -> None:
    fields = jwt_fields(stand.jwt("/ns/web/sa/query"))
    assert stand.client.post("/token?" + urlencode(fields), {}).status == 401
    assert stand.client.post("/token?scope=ledger.write", fields).body["scope"] == "ledger.read"


def test_the_scope_that_was_given_is_always_said_OAS_4_ROFU_21(stand: Stand) -> None:
    svid = stand.authority.x509_svid("/ns/payments/sa/scoped")
    for asked, given in (("", "ledger.read ledger.write"), ("ledger.read", "ledger.read")):
        answer = stand.client.by_x509(svid, scope=asked)
        assert answer.body["scope"] == answer.claims["scope"] == given
    assert stand.client.by_x509(svid, scope="ledger.read orders.read").error == "invalid_scope"


@pytest.mark.parametrize("scope", ["orders.read", "a  b", '"'], ids=lambda scope: f"OAS-17 {scope!r}")
def test_a_wrong_resource_is_reported_before_a_wrong_scope(stand: Stand, scope: str) -> None:
    svid = stand.jwt("/ns/web/sa/order")
    assert stand.client.by_jwt(svid, resource=LEDGER).status == 200
    assert stand.client.by_jwt(svid, resource=LEDGER, scope=scope).error == "invalid_scope"
    assert stand.client.by_jwt(svid, resource=LEDGER + "#x", scope=scope).error == "invalid_target"


def test_a_token_has_the_claims_of_rfc_9068_OAS_19(stand: Stand) -> None:
    claims = stand.client.by_jwt(stand.jwt("/ns/web/sa/claims")).claims
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "nbf", "scope"} <= claims.keys()
    assert {type(claims[name]) for name in ("exp", "iat", "nbf")} == {int}
    assert claims["client_token"] is True


def test_the_concrete_identity_is_in_token_audit_and_introspection_SCA_32_OAS_20(stand: Stand) -> None:
    path = "/ns/batch/sa/concrete"
    name = f"spiffe://example.org{path}"
    answer = stand.client.by_jwt(stand.jwt(path))
    assert (answer.claims["client_id"], answer.claims["sub"]) == ("batch", name)
    assert {row["subject"] for row in stand.audit(answer.headers["X-Request-Id"])} == {name}
    shown = introspect(stand, path, answer.token).body
    assert (shown["client_id"], shown["sub"], shown["client_token"]) == ("batch", name, True)


def test_a_token_bound_by_dpop_says_so_when_asked_about_OAS_21(stand: Stand) -> None:
    key, path = DpopKey(), "/ns/edge/sa/shown"
    proof = key.proof("POST", stand.client.issuer + "/token")
    issued = stand.client.by_jwt(stand.jwt(path), headers=[("DPoP", proof)])
    shown = introspect(stand, path, issued.token).body
    assert (shown["token_type"], shown["cnf"]) == ("DPoP", {"jkt": key.thumbprint})
    bearer = stand.client.by_jwt(stand.jwt("/ns/web/sa/unbound"))
    assert "cnf" not in introspect(stand, "/ns/web/sa/unbound", bearer.token).body


def test_an_expired_token_is_only_inactive_OAS_22_OAS_33(stand: Stand) -> None:
    path = "/ns/payments/sa/dies"
    svid = stand.authority.x509_svid(path, ttl=4)
    issued = stand.client.by_x509(svid)
    assert issued.claims["exp"] == svid.not_after
    asks = "/ns/ledger/sa/api"
    assert introspect(stand, asks, issued.token).body["active"] is True
    stand.until(lambda: introspect(stand, asks, issued.token).body == {"active": False}, "the token dies")


@pytest.mark.parametrize(
    "token", ["unknown", "a.b.c", "." * 3000, "é", "eyJhbGciOiJub25lIn0.e30.", "x" * 20_000], ids=lambda t: t[:8]
)
def test_what_is_no_token_of_ours_is_inactive_and_no_error_to_revoke_OAS_22_OAS_24(stand: Stand, token: str) -> None:
    answer = introspect(stand, "/ns/web/sa/asks", token)
    assert (answer.status, answer.body) == (200, {"active": False})
    fields = jwt_fields(stand.jwt("/ns/web/sa/asks")) | {"token": token}
    assert stand.client.post("/revoke", fields).status == 200


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
def test_a_wrong_hint_changes_nothing_OAS_24(stand: Stand, hint: str) -> None:
    path = "/ns/web/sa/hints"
    token = stand.client.by_jwt(stand.jwt(path)).token
    assert introspect(stand, path, token, token_type_hint=hint).body["active"] is True
    fields = jwt_fields(stand.jwt(path)) | {"token": token, "token_type_hint": hint}
    assert stand.client.post("/revoke", fields).status == 200
    assert introspect(stand, path, token).body == {"active": False}


def test_an_svid_is_no_access_token_to_ask_about_T_25(stand: Stand) -> None:
    svid = stand.jwt("/ns/web/sa/asks")
    assert introspect(stand, "/ns/web/sa/asks", svid).body == {"active": False}


POISON = [
    ("Host", "evil.example"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Original-URL", "/revoke"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("Forwarded", "for=203.0.113.7;host=evil.example;proto=http"),
]


def poisoned(stand: Stand, method: str, path: str, body: str = "", *headers: tuple[str, str]) -> Answer:
    """A request that claims to be for another host, over every header that proxies know."""
    context = ssl.create_default_context(cafile=str(stand.folder / "tls/ca.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", stand.client.port, timeout=20, context=context)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in (*POISON, ("Content-Type", FORM), ("Content-Length", str(len(body))), *headers):
            connection.putheader(name, value)
        connection.endheaders(body.encode())
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def test_no_header_moves_the_issuer_or_the_source_address_T_36_OAS_34_OAS_35(stand: Stand) -> None:
    for document in ("/.well-known/oauth-authorization-server", "/jwks"):
        assert poisoned(stand, "GET", document).content == stand.client.request("GET", document).content
    answer = poisoned(stand, "POST", "/token", urlencode(jwt_fields(stand.jwt("/ns/web/sa/poisoned"))))
    assert answer.claims["iss"] == stand.client.issuer
    assert {row["source_address"] for row in stand.audit(answer.headers["X-Request-Id"])} == {"127.0.0.1"}


SPELLINGS = ("/{}/", "//{}", "/./{}", "/.//{}", "/x/../{}", "/{}%00", "/{}%2F", "/{};x", "/{}.json", "/{} ")


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: f"T-36 {spelling!r}")
@pytest.mark.parametrize("name", ["token", ".well-known/oauth-authorization-server"])
def test_an_endpoint_has_one_path_and_nobody_is_sent_elsewhere(stand: Stand, name: str, spelling: str) -> None:
    path = spelling.format(name).replace(" ", "%20")
    method, body = ("POST", urlencode(jwt_fields(stand.jwt("/ns/web/sa/paths")))) if name == "token" else ("GET", "")
    assert poisoned(stand, method, "/" + name, body).status == 200
    answer = poisoned(stand, method, path, body)
    assert (answer.status, answer.body["error"]) == (404, "not_found")
    assert answer.headers["Location"] is None
    merged = poisoned(stand, "GET", "/.well-known//oauth-authorization-server")
    assert (merged.status, merged.headers["Location"]) == (404, None)


def test_htu_is_the_configured_url_whatever_host_was_named_OAS_35_T_29(stand: Stand) -> None:
    key, body = DpopKey(), urlencode(jwt_fields(stand.jwt("/ns/edge/sa/poisoned")))
    ours = ("DPoP", key.proof("POST", stand.client.issuer + "/token"))
    theirs = ("DPoP", key.proof("POST", "https://evil.example/token"))
    assert poisoned(stand, "POST", "/token", body, ours).status == 200
    assert poisoned(stand, "POST", "/token", body, theirs).error == "invalid_dpop_proof"


def test_neither_store_nor_log_holds_what_was_presented_or_issued_OAS_38_T_49(stand: Stand) -> None:
    key, svid = DpopKey(), stand.jwt("/ns/edge/sa/secrets")
    proof = key.proof("POST", stand.client.issuer + "/token")
    answer = stand.client.by_jwt(svid, headers=[("DPoP", proof)])
    refused = stand.jwt("/ns/nowhere/sa/secrets")
    assert stand.client.by_jwt(refused).status == 401
    kept = b"".join(file.read_bytes() for file in stand.folder.glob("bridge.*") if file.is_file())
    assert answer.claims["jti"].encode() in kept  # The row is there, so the search looks at the right files.
    for secret in (answer.token, svid, proof, refused):
        for part in secret.split(".")[1:]:
            assert part.encode() not in kept


@pytest.mark.parametrize(
    "fields", [{"scope": "ledger.write"}, {"resource": ORDERS}, {"resource": "x"}], ids=lambda f: f"ROFU-11 {f}"
)
def test_a_first_use_that_asks_for_too_much_is_400_and_leaves_no_record(stand: Stand, fields: dict[str, str]) -> None:
    path = "/ns/web/sa/greedy-" + str(len(str(fields)))
    assert stand.client.by_jwt(stand.jwt(path), **fields).status == 400
    assert not any(c["subject"].endswith(path) for c in stand.clients())
    assert stand.client.by_jwt(stand.jwt(path)).status == 200
    assert any(c["subject"].endswith(path) for c in stand.clients())


def test_while_a_registration_waits_both_doors_say_so_ROFU_12(stand: Stand) -> None:
    path = "/ns/research/sa/waits"
    for answer in (stand.client.by_jwt(stand.jwt(path)), stand.client.by_x509(stand.authority.x509_svid(path))):
        assert (answer.status, answer.error) == (403, "unauthorized_client")
        assert answer.body["error_description"] == "registration incomplete"
    assert stand.bridge("clients", "approve", f"spiffe://example.org{path}").returncode == 0
    assert stand.client.by_jwt(stand.jwt(path)).status == 200


def test_what_an_svid_says_of_itself_widens_no_record_ROFU_22_ROFU_4(stand: Stand) -> None:
    path = "/ns/web/sa/widens"
    name = f"spiffe://example.org{path}"
    assert stand.client.by_jwt(stand.jwt(path)).status == 200
    before = next(c for c in stand.clients() if c["client_id"] == name)
    stated = {
        "scope": "ledger.read ledger.write",
        "redirect_uris": ["https://evil.example/cb"],
        "grant_types": ["client_credentials", "authorization_code"],
        "client_id": "batch",
        "client_name": "The Ledger",
    }
    again = stand.client.by_jwt(stand.jwt(path, claims=stated))
    assert (again.body["scope"], again.claims["client_id"]) == ("ledger.read", name)
    assert stand.client.by_x509(stand.authority.x509_svid(path)).status == 200
    after = next(c for c in stand.clients() if c["client_id"] == name)
    moving = {"last_used_at", "expires_at"}
    assert {k: v for k, v in after.items() if k not in moving} == {k: v for k, v in before.items() if k not in moving}


def test_a_registration_is_audited_in_full_and_has_no_secret_ROFU_29_ROFU_6(stand: Stand) -> None:
    path = "/ns/payments/sa/audited"
    name = f"spiffe://example.org{path}"
    answer = stand.client.by_x509(stand.authority.x509_svid(path))
    row = stand.audit(answer.headers["X-Request-Id"])[0]
    wanted = {
        "event": "registered", "subject": name, "evidence": "x509-svid", "rule": "payments-writes-ledger",
        "client_id": name, "door": "token",
    }  # fmt: skip
    assert {key: row[key] for key in wanted} == wanted
    assert row["time"].endswith("Z")
    assert len(row["credential"]) == 64
    assert row["policy_version"]
    record = next(c for c in stand.clients() if c["client_id"] == name)
    assert record["trust_domain"] == "example.org"
    assert "secret" not in json.dumps([record, row, answer.body])
