"""A second trust domain, federated at the SPIRE servers, with rules of its own. Nothing crosses."""

from __future__ import annotations

import pytest

from tests.live.service import LEDGER, BridgeService, is_invalid_client
from tests.live.stage import BATCH, SYNC, Stage


def test_the_partners_workload_gets_what_the_partners_rules_say(stage: Stage, service: BridgeService) -> None:
    partner = stage.workload(SYNC, stage.lab.partner)
    by_jwt = service.client.token_by_jwt(partner.jwt_svid(service.issuer))
    by_x509 = service.client.token_by_x509(partner.x509_svid())

    for answer in (by_jwt, by_x509):
        assert answer.granted, answer
        assert answer.claims["sub"] == stage.lab.partner.spiffe_id(SYNC)
        assert answer.claims["scope"] == "orders.read"


def test_the_partner_does_not_profit_from_our_rules(stage: Stage, service: BridgeService) -> None:
    """T-12: the same path, the same request; only the trust domain differs."""
    ours, theirs = stage.workload(BATCH), stage.workload(BATCH, stage.lab.partner)
    assert service.client.token_by_jwt(ours.jwt_svid(service.issuer)).granted
    refused = service.client.token_by_jwt(theirs.jwt_svid(service.issuer))

    assert is_invalid_client(refused), refused
    rows = service.audit(refused.request_id)
    assert [(row["subject"], row["reason"]) for row in rows] == [(stage.lab.partner.spiffe_id(BATCH), "policy_no_rule")]


@pytest.mark.parametrize(
    ("asked", "error"),
    [({"scope": "ledger.read"}, "invalid_scope"), ({"resource": LEDGER}, "invalid_target")],
    ids=["scope", "resource"],
)
def test_the_partner_cannot_ask_for_what_is_ours(
    stage: Stage, service: BridgeService, asked: dict[str, str], error: str
) -> None:
    partner = stage.workload(SYNC, stage.lab.partner)
    assert service.client.token_by_jwt(partner.jwt_svid(service.issuer), scope="orders.read").granted
    refused = service.client.token_by_jwt(partner.jwt_svid(service.issuer), **asked)
    assert refused.status == 400, refused
    assert refused.body["error"] in {error, "invalid_target"}, refused


def test_a_certificate_of_one_trust_domain_cannot_speak_for_another(stage: Stage, service: BridgeService) -> None:
    """SCA-15, T-13: the partner's certificate, and the name of our workload beside it."""
    svid = stage.workload(SYNC, stage.lab.partner).x509_svid()
    assert service.client.token_by_x509(svid).granted
    assert is_invalid_client(service.client.token_by_x509(svid, client_id=stage.lab.own.spiffe_id(BATCH)))
