"""What stays as it is when SPIRE's authorities rotate. What changes, and how fast, is in test_rotation_under_load."""

from __future__ import annotations

from tests.live.processes import wait_until
from tests.live.rotation import SPIRE_SECONDS, X509Authority, prepare_root
from tests.live.service import BridgeService
from tests.live.stage import Stage


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
