"""SPIRE's authorities rotate while the service serves: nothing valid is refused, nothing revoked is taken."""

from __future__ import annotations

from tests.live.client import part
from tests.live.processes import wait_until
from tests.live.rotation import SPIRE_SECONDS, JwtAuthority, X509Authority, prepare_root
from tests.live.service import BridgeService
from tests.live.spire_lab import OWN
from tests.live.stage import BATCH, SETTLE, Stage
from tests.live.traffic import Traffic

REVOKED_WITHIN = 5.0
"""Seconds between a revocation at the SPIRE server and the refusal by every worker (F-6)."""


def test_the_jwt_authority_rotates_and_no_request_is_lost(stage: Stage, service: BridgeService) -> None:
    workload = stage.workload(BATCH)
    authority = JwtAuthority(stage.lab.own)
    old = authority.active()
    old_svid = workload.jwt_svid(service.issuer)
    assert part(old_svid, 0)["kid"] == old

    with Traffic(lambda: service.client.token_by_jwt(workload.jwt_svid(service.issuer))) as traffic:
        new = authority.prepare()
        wait_until(
            lambda: new in stage.probe.bundles()["jwt"][OWN], seconds=SPIRE_SECONDS, what="the agent has the key"
        )
        traffic.flows()
        authority.activate(new)
        minted = stage.lab.own.mint_jwt(BATCH, service.issuer)
        assert part(minted, 0)["kid"] == new
        assert service.takes_jwt(minted)
        authority.taint(old)
        wait_until(
            lambda: part(workload.jwt_svid(service.issuer), 0)["kid"] == new,
            seconds=SPIRE_SECONDS,
            what="the agent replaced the tainted SVIDs",
        )
        traffic.flows()
        assert service.takes_jwt(old_svid), "a tainted key is still in the bundle"
        authority.revoke(old)
        wait_until(lambda: service.refuses_jwt(old_svid), seconds=REVOKED_WITHIN, what="the revoked key is refused")
        traffic.flows()


def test_the_root_above_spire_rotates_and_no_request_is_lost(stage: Stage, service: BridgeService) -> None:
    workload = stage.workload(SETTLE)
    authority = X509Authority(stage.lab.own)
    old_root, old_svid = authority.upstream(), workload.x509_svid()
    issuer_before = old_svid.certificates[-1]
    assert service.client.token_by_x509(old_svid).granted

    with Traffic(lambda: service.client.token_by_x509(workload.x509_svid())) as traffic:
        new = prepare_root(stage.lab, "lab root 2", stage.probe)
        traffic.flows()
        authority.activate(new)
        traffic.flows()
        agent_before = stage.lab.own.agent_serial()
        authority.taint(old_root)
        wait_until(
            lambda: workload.x509_svid().certificates[-1] != issuer_before,
            seconds=SPIRE_SECONDS,
            what="the agent renewed the tainted SVIDs",
        )
        traffic.flows()
        assert service.client.token_by_x509(old_svid).granted, "a tainted root is still in the bundle"
        # An agent whose own certificate is below a root that is gone loses its server, and shuts down.
        wait_until(
            lambda: stage.lab.own.agent_serial() != agent_before,
            seconds=SPIRE_SECONDS,
            what="the agent renewed its own certificate",
        )
        authority.revoke(old_root)
        wait_until(lambda: service.refuses_x509(old_svid), seconds=REVOKED_WITHIN, what="the revoked root is refused")
        traffic.flows()


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
