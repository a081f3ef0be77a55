"""A changed policy file and a changed TLS certificate need no restart and lose no request."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.live.client import Answer
from tests.live.processes import wait_until
from tests.live.service import ADMIT_FRONTEND, BridgeService
from tests.live.stage import BATCH, FRONTEND, SETTLE, Stage
from tests.live.traffic import Traffic

CHANGE_SECONDS = 10.0
"""The contract says 2 s in every worker; the rest is for a busy machine."""


def test_a_new_rule_admits_a_workload_and_its_removal_shuts_it_out(stage: Stage, service: BridgeService) -> None:
    frontend = stage.workload(FRONTEND).jwt_svid(service.issuer)
    batch = stage.workload(BATCH)
    assert service.refuses_jwt(frontend)
    with Traffic(lambda: service.client.token_by_jwt(batch.jwt_svid(service.issuer))) as traffic:
        service.write_policies(more_own_rules=ADMIT_FRONTEND)
        wait_until(lambda: service.takes_jwt(frontend), seconds=CHANGE_SECONDS, what="the new rule decides")
        traffic.flows()
        service.write_policies()
        wait_until(lambda: service.refuses_jwt(frontend), seconds=CHANGE_SECONDS, what="the rule is gone")
        traffic.flows()


def test_a_broken_policy_file_changes_nothing(stage: Stage, service: BridgeService) -> None:
    """T-48. The frontend is the witness: the good change after the broken one is seen, the broken one is not."""
    frontend = stage.workload(FRONTEND).jwt_svid(service.issuer)
    batch = stage.workload(BATCH)
    with Traffic(lambda: service.client.token_by_jwt(batch.jwt_svid(service.issuer))) as traffic:
        service.write_policies(more_own_rules='\n[[rule]]\nid = "typo"\nefect = "deny"\n')
        assert service.ask("policy", "check")[0] == 1
        traffic.flows(30)
        assert service.refuses_jwt(frontend)
        service.write_policies(more_own_rules=ADMIT_FRONTEND)
        wait_until(lambda: service.takes_jwt(frontend), seconds=CHANGE_SECONDS, what="the mended file decides")
        traffic.flows()
        service.write_policies()
        wait_until(lambda: service.refuses_jwt(frontend), seconds=CHANGE_SECONDS, what="the rule is gone")


@pytest.mark.parametrize("mtls", [False, True], ids=["plain", "mtls"])
def test_a_renewed_tls_certificate_is_served_to_new_connections(
    stage: Stage, service: BridgeService, mtls: bool
) -> None:
    batch, settle = stage.workload(BATCH), stage.workload(SETTLE)

    def ask() -> Answer:
        if mtls:
            return service.client.token_by_x509(settle.x509_svid())
        return service.client.token_by_jwt(batch.jwt_svid(service.issuer))

    with Traffic(ask) as traffic:
        before = service.client.server_certificate(mtls=mtls)
        service.renew_certificate()
        renewed = x509.load_pem_x509_certificate(service.certificate.read_bytes()).public_bytes(Encoding.DER)
        assert renewed != before
        wait_until(
            lambda: all(service.client.server_certificate(mtls=mtls) == renewed for _ in range(8)),
            seconds=CHANGE_SECONDS,
            what="every worker serves the new certificate",
        )
        traffic.flows()
