"""The main job on a real SPIRE: a workload gets a token with no secret and no registration step."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws
from joserfc.jwk import KeySet

from tests.live.client import assertion_fields, part
from tests.live.processes import wait_until
from tests.live.rotation import SPIRE_SECONDS, X509Authority, prepare_root
from tests.live.service import LEDGER, BridgeService, is_invalid_client
from tests.live.stage import BATCH, FRONTEND, LEDGER_API, SETTLE, Stage


def test_a_workload_is_one_record_whichever_door_it_comes_through(stage: Stage, service: BridgeService) -> None:
    """ROFU-1, SCA-18: SPIRE's own JWT-SVID, then its X.509-SVID with the intermediate it was sent with."""
    workload = stage.workload(BATCH)
    by_jwt = service.client.token_by_jwt(workload.jwt_svid(service.issuer), scope="ledger.read")
    svid = workload.x509_svid()
    by_x509 = service.client.token_by_x509(svid, scope="ledger.read")

    assert by_jwt.granted, by_jwt
    assert by_x509.granted, by_x509
    assert len(svid.certificates) == 2, "the chain has an intermediate"
    assert [by_jwt.claims["client_id"], by_x509.claims["client_id"]] == [svid.spiffe_id] * 2
    assert by_jwt.claims["sub"] == svid.spiffe_id
    records = [record for record in service.clients() if record["subject"] == svid.spiffe_id]
    assert [(record["state"], record["kind"].lower()) for record in records] == [("active", "spiffe")]


def test_an_x509_svid_binds_the_token_to_its_certificate(stage: Stage, service: BridgeService) -> None:
    svid = stage.workload(SETTLE).x509_svid()
    answer = service.client.token_by_x509(svid)
    assert answer.granted, answer

    leaf = hashlib.sha256(svid.certificates[0].public_bytes(Encoding.DER)).digest()
    assert answer.claims["cnf"] == {"x5t#S256": base64.urlsafe_b64encode(leaf).decode().rstrip("=")}
    assert answer.claims["exp"] <= svid.certificates[0].not_valid_after_utc.timestamp()


def test_a_resource_server_can_verify_the_token_with_the_published_keys(stage: Stage, service: BridgeService) -> None:
    answer = service.client.token_by_jwt(stage.workload(BATCH).jwt_svid(service.issuer))
    assert answer.granted, answer
    token = str(answer.body["access_token"])
    keys = KeySet.import_key_set(dict(service.client.get("/jwks").body))  # type: ignore[arg-type]

    assert jws.deserialize_compact(token, keys, algorithms=["ES256"]).payload
    assert part(token, 0)["typ"] == "at+jwt"
    assert (answer.claims["iss"], answer.claims["scope"]) == (service.issuer, "ledger.read")
    assert answer.claims["aud"] in (LEDGER, [LEDGER])


def test_a_workload_without_a_rule_is_refused_and_leaves_no_record(stage: Stage, service: BridgeService) -> None:
    """The accepted twin differs only in the path of its SPIFFE ID. Generic on the wire, exact in the audit log."""
    assert service.client.token_by_jwt(stage.workload(BATCH).jwt_svid(service.issuer)).granted
    refused = service.client.token_by_jwt(stage.workload(FRONTEND).jwt_svid(service.issuer))

    assert is_invalid_client(refused), refused
    assert refused.body["error_id"] == refused.request_id
    subject = stage.lab.own.spiffe_id(FRONTEND)
    assert subject not in {record["subject"] for record in service.clients()}
    rows = service.audit(refused.request_id)
    assert [(row["event"], row["subject"], row["reason"]) for row in rows] == [("refused", subject, "policy_no_rule")]


def test_a_svid_for_another_audience_is_refused(stage: Stage, service: BridgeService) -> None:
    """SCA-6, T-22: real SVIDs, one for the issuer, one for its token endpoint."""
    workload = stage.workload(BATCH)
    assert service.client.token_by_jwt(workload.jwt_svid(service.issuer)).granted
    assert is_invalid_client(service.client.token_by_jwt(workload.jwt_svid(f"{service.issuer}/token")))


def test_the_same_svid_is_taken_again_as_agents_hand_out_cached_ones(stage: Stage, service: BridgeService) -> None:
    """SCA-10: two fetches are equal strings until half of the SVID's life."""
    workload = stage.workload(BATCH)
    answers = [service.client.token_by_jwt(workload.jwt_svid(service.issuer)) for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.claims["jti"] for answer in answers}) == 4


def test_every_token_has_its_audit_row_and_the_first_one_its_registration(stage: Stage, service: BridgeService) -> None:
    workload, _ = stage.admit("/ns/payments/sa/audited")
    subject = stage.lab.own.spiffe_id("/ns/payments/sa/audited")
    first = service.client.token_by_jwt(workload.jwt_svid(service.issuer))
    second = service.client.token_by_jwt(workload.jwt_svid(service.issuer))
    assert first.granted, first
    assert second.granted, second

    assert {row["event"] for row in service.audit(first.request_id)} == {"registered", "token_issued"}
    issued = service.audit(second.request_id)
    assert [(row["event"], row["subject"], row["rule"], row["jti"]) for row in issued] == [
        ("token_issued", subject, "payments-read-ledger", second.claims["jti"])
    ]


def test_the_resource_named_in_the_catalogue_may_introspect(stage: Stage, service: BridgeService) -> None:
    """RFC 7662 with an SVID; a caller that the catalogue does not name sees an inactive token."""
    answer = service.client.token_by_jwt(stage.workload(BATCH).jwt_svid(service.issuer))
    assert answer.granted, answer
    token = str(answer.body["access_token"])

    def introspect(path: str) -> dict[str, object]:
        credential = assertion_fields(stage.workload(path).jwt_svid(service.issuer))
        seen = service.client.post("/introspect", {"token": token, **credential})
        assert seen.status == 200, seen
        return dict(seen.body)

    seen = introspect(LEDGER_API)
    assert (seen["active"], seen["client_id"]) == (True, stage.lab.own.spiffe_id(BATCH))
    assert introspect(SETTLE) == {"active": False}
    assert stage.lab.own.spiffe_id(LEDGER_API) not in {record["subject"] for record in service.clients()}


def test_a_workload_keeps_its_client_id_when_its_key_rotates(stage: Stage, service: BridgeService) -> None:
    """ROFU: the record is under the stable identifier, never under a key."""
    workload, _ = stage.admit("/ns/payments/sa/rotating")
    before = workload.x509_svid()
    assert service.client.token_by_x509(before).granted
    authority = X509Authority(stage.lab.own)
    root = authority.upstream()
    authority.activate(prepare_root(stage.lab, "lab root 3", stage.probe))
    authority.taint(root)
    wait_until(
        lambda: workload.x509_svid().certificates[0] != before.certificates[0],
        seconds=SPIRE_SECONDS,
        what="the workload has a new certificate",
    )
    after = service.client.token_by_x509(workload.x509_svid())

    assert after.granted, after
    records = [record for record in service.clients() if record["subject"] == before.spiffe_id]
    assert [record["client_id"] for record in records] == [before.spiffe_id]
