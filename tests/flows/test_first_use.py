"""First use through both doors: verified, decided, registered, issued, in one request each."""

from __future__ import annotations

import time

import pytest

from tests.flows.client import JWT_BEARER, decode, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.stand import LEDGER, ORDERS, Stand


def test_a_jwt_svid_registers_its_workload_and_gets_a_token_in_one_request_ROFU_3(stand: Stand) -> None:
    answer = stand.client.by_jwt(stand.jwt("/ns/web/sa/first-jwt"), scope="ledger.read")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"]
    assert {k: answer.body[k] for k in ("token_type", "expires_in", "scope")} == {
        "token_type": "Bearer", "expires_in": 300, "scope": "ledger.read",
    }  # fmt: skip
    assert decode(answer.token, 0)["typ"] == "at+jwt"
    claims = answer.claims
    name = "spiffe://example.org/ns/web/sa/first-jwt"
    assert (claims["iss"], claims["aud"], claims["sub"], claims["client_id"]) == (
        stand.client.issuer, LEDGER, name, name,
    )  # fmt: skip
    assert claims["client_token"] is True
    assert claims["exp"] - claims["iat"] == 300
    assert "client_secret" not in answer.body  # ROFU-6
    assert "cnf" not in claims


def test_an_x509_svid_with_its_intermediate_gets_a_token_bound_to_it_OAS_21(stand: Stand) -> None:
    svid = stand.authority.x509_svid("/ns/payments/sa/first-x509", ttl=3600)
    assert len(svid.chain) == 2
    claims = stand.client.by_x509(svid, scope="ledger.write").claims
    assert set(claims["cnf"]) == {"x5t#S256"}
    assert claims["exp"] - claims["iat"] == 600


def test_both_doors_lead_to_one_record_ROFU_5(stand: Stand) -> None:
    path = "/ns/web/sa/both-doors"
    first = stand.client.by_jwt(stand.jwt(path)).claims
    second = stand.client.by_x509(stand.authority.x509_svid(path)).claims
    assert first["client_id"] == second["client_id"]
    mine = [c for c in stand.clients() if c["subject"].endswith(path)]
    assert [(c["state"], c["kind"], c["rule"]) for c in mine] == [("active", "spiffe", "web-reads-ledger")]
    events = [row for row in stand.audit() if row["subject"].endswith(path)]
    assert [row["event"] for row in events] == ["registered", "token_issued", "token_issued"]
    assert [row["evidence"] for row in events] == ["jwt-svid", "jwt-svid", "x509-svid"]  # ROFU-29, SCA-32


def test_a_rotated_key_keeps_the_record_ROFU_7(stand: Stand) -> None:
    path = "/ns/web/sa/rotates"
    before = stand.client.by_x509(stand.authority.x509_svid(path)).claims
    after = stand.client.by_x509(stand.authority.x509_svid(path)).claims
    assert before["cnf"] != after["cnf"]
    assert before["client_id"] == after["client_id"]
    assert len([c for c in stand.clients() if c["subject"].endswith(path)]) == 1


def test_the_same_unexpired_jwt_svid_is_taken_twice_SCA_10(stand: Stand) -> None:
    svid = stand.jwt("/ns/web/sa/twice")
    first, second = stand.client.by_jwt(svid), stand.client.by_jwt(svid)
    assert first.claims["jti"] != second.claims["jti"]


def test_where_policy_says_once_the_second_use_is_refused_T_21(stand: Stand) -> None:
    svid = stand.jwt("/ns/once/sa/a")
    assert stand.client.by_jwt(svid).status == 200
    again = stand.client.by_jwt(svid)
    assert (again.status, again.error) == (401, "invalid_client")
    assert stand.client.by_jwt(stand.jwt("/ns/once/sa/a", ttl=299)).status == 200


def test_the_general_assertion_type_and_no_client_id_are_what_clients_of_today_send(stand: Stand) -> None:
    fields = jwt_fields(stand.jwt("/ns/web/sa/bearer-type")) | {"client_assertion_type": JWT_BEARER}
    assert stand.client.post("/token", fields).status == 200


@pytest.mark.parametrize("client_id", ["", "spiffe://example.org/ns/web/sa/named"])
def test_a_jwt_svid_may_name_its_client_or_not_SCA_12(stand: Stand, client_id: str) -> None:
    fields = jwt_fields(stand.jwt("/ns/web/sa/named"), client_id=client_id)
    assert stand.client.post("/token", fields).status == 200


def test_identities_of_a_shared_client_keep_their_names(stand: Stand) -> None:
    one = stand.client.by_jwt(stand.jwt("/ns/batch/sa/one")).claims
    two = stand.client.by_x509(stand.authority.x509_svid("/ns/batch/sa/two"), client_id="batch").claims
    assert one["client_id"] == two["client_id"] == "batch"
    assert [one["sub"], two["sub"]] == [f"spiffe://example.org/ns/batch/sa/{n}" for n in ("one", "two")]
    record = next(c for c in stand.clients() if c["client_id"] == "batch")
    assert record["kind"] == "shared"
    assert record["identities"] >= 2


def test_a_request_that_names_nothing_gets_the_rules_scopes_and_its_resource(stand: Stand) -> None:
    answer = stand.client.by_x509(stand.authority.x509_svid("/ns/payments/sa/all"))
    assert answer.body["scope"] == "ledger.read ledger.write"
    assert answer.claims["aud"] == LEDGER


def test_several_resources_become_several_audiences_OAS_18(stand: Stand) -> None:
    fields = [*jwt_fields(stand.jwt("/ns/both/sa/a")).items(), ("resource", LEDGER), ("resource", ORDERS)]
    assert sorted(stand.client.post("/token", fields).claims["aud"]) == [LEDGER, ORDERS]


def test_a_dpop_proof_binds_the_token_to_its_key_OAS_21(stand: Stand) -> None:
    key = DpopKey()
    answer = stand.client.by_jwt(
        stand.jwt("/ns/edge/sa/a"), headers=[("DPoP", key.proof("POST", stand.client.issuer + "/token"))]
    )
    assert answer.body["token_type"] == "DPoP"
    assert answer.claims["cnf"] == {"jkt": key.thumbprint}


def test_a_token_dies_with_the_certificate_it_is_bound_to_OAS_33(stand: Stand) -> None:
    svid = stand.authority.x509_svid("/ns/payments/sa/short", ttl=120)
    answer = stand.client.by_x509(svid)
    assert answer.claims["exp"] == svid.not_after
    assert answer.body["expires_in"] <= 120


def test_the_key_set_verifies_the_token_and_an_answer_is_durable_in_the_audit_log(stand: Stand) -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    answer = stand.client.by_jwt(stand.jwt("/ns/web/sa/verified"))
    keys = KeySet.import_key_set(stand.client.request("GET", "/jwks").body)  # type: ignore[arg-type]
    token = jwt.decode(answer.token, keys, algorithms=["ES256"])
    assert token.claims["exp"] > time.time()
    rows = stand.audit(answer.headers["X-Request-Id"])
    assert [row["event"] for row in rows] == ["registered", "token_issued"]
    assert rows[1]["jti"] == answer.claims["jti"]
    assert answer.token not in str(rows)
