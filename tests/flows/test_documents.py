"""What anybody may read: metadata, keys, health; and what only the metrics listener shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection

import pytest

from tests.flows.client import Answer
from tests.flows.stand import Stand

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def metrics(stand: Stand, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", stand.metrics_port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_the_metadata_names_exactly_what_is_enabled_OAS_9_OAS_10_SCA_25_SCA_26(stand: Stand) -> None:
    answer = stand.client.request("GET", WELL_KNOWN)
    document = answer.body
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert document["issuer"] == stand.client.issuer
    for kind in ("token", "introspection", "revocation"):
        methods = document[f"{kind}_endpoint_auth_methods_supported"]
        assert methods == ["spiffe_jwt", "spiffe_x509", "private_key_jwt"]
        assert "ES256" in document[f"{kind}_endpoint_auth_signing_alg_values_supported"]
    assert document["grant_types_supported"] == ["client_credentials"]
    assert "code" not in document["response_types_supported"]
    assert all(value for value in document.values()), "an empty array is left out"
    mtls = f"https://127.0.0.1:{stand.client.mtls_port}"
    assert document["mtls_endpoint_aliases"]["token_endpoint"] == f"{mtls}/token"
    assert document["mtls_endpoint_aliases"]["registration_endpoint"] == f"{mtls}/register"
    assert document["registration_endpoint"] == f"{stand.client.issuer}/register"
    absent = {"pushed_authorization_request_endpoint", "code_challenge_methods_supported"}
    assert not absent & set(document)


def test_every_endpoint_that_the_metadata_names_is_there(stand: Stand) -> None:
    document = stand.client.request("GET", WELL_KNOWN).body
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        path = document[name].removeprefix(stand.client.issuer)
        assert stand.client.post(path, {}).status == 401, name
    assert stand.client.post(document["registration_endpoint"].removeprefix(stand.client.issuer), {}).status == 415
    assert stand.client.request("GET", document["jwks_uri"].removeprefix(stand.client.issuer)).status == 200


def test_without_an_mtls_listener_nothing_of_it_is_named(fresh: Callable[..., Stand]) -> None:
    stand = fresh()
    text = stand.config.read_text()
    stand.config.write_text("\n".join(line for line in text.splitlines() if not line.startswith("mtls_listen")))
    with stand:
        document = stand.client.request("GET", WELL_KNOWN).body
        assert document["token_endpoint_auth_methods_supported"] == ["spiffe_jwt", "private_key_jwt"]
        assert not {"mtls_endpoint_aliases", "tls_client_certificate_bound_access_tokens"} & set(document)
        assert stand.client.by_jwt(stand.jwt("/ns/web/sa/x")).status == 200


def test_an_issuer_with_a_path_has_its_metadata_inserted_OAS_9(fresh: Callable[..., Stand]) -> None:
    stand = fresh()
    issuer = stand.client.issuer + "/tenant"
    stand.config.write_text(stand.config.read_text().replace(f'"{stand.client.issuer}"', f'"{issuer}"'))
    with stand:
        document = stand.client.request("GET", WELL_KNOWN + "/tenant").body
        assert (document["issuer"], document["token_endpoint"]) == (issuer, issuer + "/token")
        svid = stand.jwt("/ns/web/sa/x", audience=issuer)
        assert stand.client.post("/tenant/token", _fields(svid)).claims["iss"] == issuer
        assert stand.client.post("/token", _fields(svid)).status == 404


def _fields(svid: str) -> dict[str, str]:
    from tests.flows.client import jwt_fields

    return jwt_fields(svid)


def test_two_keys_are_published_and_nothing_private(stand: Stand) -> None:
    answer = stand.client.request("GET", "/jwks")
    assert len(answer.body["keys"]) >= 2
    assert not any({"d", "p", "q", "k"} & set(key) for key in answer.body["keys"])
    assert "max-age" in answer.headers["Cache-Control"]


def test_readiness_is_one_word_in_public_and_a_report_for_operators(stand: Stand) -> None:
    assert stand.client.request("GET", "/readyz").body == {"ready": True}
    assert stand.client.request("GET", "/healthz").status == 200
    status, text = metrics(stand, "/readyz")
    parts = json.loads(text)["parts"]
    assert status == 200
    assert set(parts) == {"store", "keys", "policies", "bundles", "tls", "chores"}
    assert parts["bundles"]["example.org"]["state"] == "fresh"


def test_metrics_count_and_no_label_holds_an_identity(stand: Stand) -> None:
    stand.client.by_jwt(stand.jwt("/ns/web/sa/measured"))
    stand.client.by_jwt("a.b.c")
    status, text = metrics(stand, "/metrics")
    assert status == 200
    for name in (
        'bridge_decisions_total{outcome="allow",rule="web-reads-ledger"}',
        'bridge_refusals_total{door="token",reason="credential_malformed"}',
        'bridge_tokens_issued_total{grant_type="client_credentials"}',
        'bridge_bundle_usable{trust_domain="example.org"} 1.0',
        "bridge_store_write_seconds_bucket",
        'bridge_requests_total{endpoint="token",status="200"}',
        'bridge_registrations_total{kind="spiffe"}',
        'bridge_limit_used_ratio{limit="records_per_trust_domain",rule="",trust_domain="example.org"}',
        'bridge_limit_used_ratio{limit="registrations_per_second",rule="",trust_domain="example.org"}',
        'bridge_trust_domain_records{state="pending",trust_domain="example.org"} 0.0',
    ):
        assert name in text, name
    assert "spiffe://" not in text
    assert "measured" not in text


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
def test_answers_about_tokens_are_never_stored_OAS_2(stand: Stand, path: str) -> None:
    answer: Answer = stand.client.post(path, {})
    assert answer.headers["Cache-Control"] == "no-store"
