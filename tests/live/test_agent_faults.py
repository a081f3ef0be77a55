"""What happens to SPIRE happens to the service without a restart: agents stop and die, entries go."""

from __future__ import annotations

import signal

import pytest

from tests.live.client import part
from tests.live.identities import NoSvid
from tests.live.processes import wait_until
from tests.live.rotation import JwtAuthority
from tests.live.service import BridgeService, is_unavailable
from tests.live.spire_lab import OWN, PARTNER
from tests.live.stage import BATCH, Stage
from tests.live.traffic import Traffic
from tests.live.trust_sources import agent

CATCH_UP_SECONDS = 20.0
"""From the agent's readiness: at most 5 s back-off of the stream, and a busy machine."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_service_outlives_its_agent_and_catches_up(
    stage: Stage, service: BridgeService, number: signal.Signals
) -> None:
    """F-6: the last good bundle serves meanwhile; what changed meanwhile is known soon after."""
    workload = stage.workload(BATCH)
    held = workload.jwt_svid(service.issuer)
    authority = JwtAuthority(stage.lab.own)
    with Traffic(lambda: service.client.token_by_jwt(held)) as traffic:
        stage.lab.own.stop_agent(number)
        try:
            with pytest.raises(NoSvid):
                workload.jwt_svid(service.issuer)
            traffic.flows(30)
            new = authority.prepare()
            authority.activate(new)
            unheard_of = stage.lab.own.mint_jwt(BATCH, service.issuer)
            assert part(unheard_of, 0)["kid"] == new
            assert service.refuses_jwt(unheard_of)
        finally:
            stage.lab.own.start_agent()
        wait_until(lambda: service.takes_jwt(unheard_of), seconds=CATCH_UP_SECONDS, what="the new key is known")
        traffic.flows()
    assert workload.jwt_svid(service.issuer)


def test_a_workload_without_its_entry_gets_no_new_svid_and_no_token_without_one(
    stage: Stage, service: BridgeService
) -> None:
    workload, entry = stage.admit("/ns/payments/sa/leaving")
    assert service.client.token_by_jwt(workload.jwt_svid(service.issuer)).granted
    stage.lab.own.delete_entry(entry)
    wait_until(lambda: not workload.has_identity(), seconds=CATCH_UP_SECONDS, what="the agent forgot the workload")

    with pytest.raises(NoSvid, match="no identity issued"):
        workload.jwt_svid(service.issuer)
    without = service.client.post("/token", {"grant_type": "client_credentials"})
    assert (without.status, without.body["error"]) == (401, "invalid_client")


def test_a_service_without_its_entry_keeps_the_last_bundle_until_it_is_too_old(stage: Stage) -> None:
    """Past `max_stale` the answer is 503, never `invalid_client`, and the entry's return ends it."""
    service = stage.service({OWN: agent(stage.lab, max_stale="15s"), PARTNER: agent(stage.lab, max_stale="15s")})
    workload = stage.workload(BATCH)
    service.start()
    try:
        held = workload.jwt_svid(service.issuer)
        assert service.takes_jwt(held)
        stage.lab.own.delete_entry(stage.service_entry)
        try:
            wait_until(lambda: not stage.probe.has_identity(), seconds=CATCH_UP_SECONDS, what="the entry is gone")
            assert service.takes_jwt(held), "the last good bundle still serves"
            wait_until(lambda: _unavailable(service, held), seconds=60, what="the bundle is too old")
        finally:
            stage.service_entry = stage.create_service_entry()
        wait_until(lambda: service.takes_jwt(held), seconds=CATCH_UP_SECONDS, what="the bundle is back")
    finally:
        status = service.stop()
    assert status == 0, service.log


def _unavailable(service: BridgeService, assertion: str) -> bool:
    answer = service.client.token_by_jwt(assertion)
    assert answer.granted or is_unavailable(answer), answer
    return not answer.granted
