"""SPIRE's authorities rotate while clients ask two services, of which one polls the bundle endpoints and one has an
agent: nothing valid is refused, and nothing of a removed authority is granted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from tests.live.client import Answer
from tests.live.credentials import ask, signer
from tests.live.removed import Removed
from tests.live.rotating import Rotation
from tests.live.service import BridgeService
from tests.live.spire_lab import OWN, PARTNER, PROFILES
from tests.live.stage import Stage
from tests.live.traffic import Traffic, all_flow
from tests.live.workers import connections_to_every_worker

REFRESH = 2
"""How often the service without an agent asks the endpoints, in seconds: SPIRE's own hint is a minute."""
WITHIN = {"endpoint": REFRESH + 5.0, "agent": 5.0}
"""Seconds after a removal from which on nothing of it may be accepted, by where the bundle comes from (F-6)."""
GONE = {"jwt_key_unknown", "x509_path"}
"""Why a credential of a removed authority is refused, by our own verification. Times and names were all right."""


@pytest.fixture(scope="module")
def services(stage: Stage, service: BridgeService) -> Iterator[dict[str, BridgeService]]:
    """Two running services by where they have their bundles from."""
    polling = stage.service(stage.endpoints(refresh_min="1s", refresh_max=f"{REFRESH}s"))
    polling.start()
    try:
        yield {"endpoint": polling, "agent": service}
    except BaseException:
        polling.stop()
        raise
    assert polling.stop() == 0, polling.log


@pytest.mark.parametrize("kind", ["jwt", "x509"])
@pytest.mark.parametrize("trust_domain", [OWN, PARTNER], ids=PROFILES.get)
def test_an_authority_rotates_under_load_and_no_request_is_lost_or_wrongly_granted(
    stage: Stage,
    services: dict[str, BridgeService],
    trust_domain: str,
    kind: str,
    record_property: Callable[[str, object], None],
) -> None:
    """F-6, SCA-28, SPIFFE-24: every worker is shown the old credential before the removal and after it, so what was
    verified and remembered is refused too; over a connection that outlives the removal, and over new ones."""
    rotation = Rotation(stage, trust_domain, kind, services)
    authority, old = rotation.authority, rotation.authority.retiring()
    with ExitStack() as running:
        valid = {each: _load(running, rotation, service) for each, service in services.items()}
        removed = {each: _old_clients(running, rotation, service) for each, service in services.items()}

        flows = partial(all_flow, [traffic for both in valid.values() for traffic in both])
        new = rotation.prepare(f"lab root after {old[:8]}")
        flows()
        authority.activate(new)
        flows()
        rotation.taint(old)
        flows()
        marks = {each: service.log_size() for each, service in services.items()}
        # The agent hears of a partner's removal when its server does; of its own trust domain's at once.
        with removed["agent"].removal(within=WITHIN["agent"]):
            with removed["endpoint"].removal(within=WITHIN["endpoint"]):
                authority.revoke(old)
            rotation.tell_the_other_server()
        for each in services:
            removed[each].is_over()
        flows()
    for each, service in services.items():
        counts = f"{sum(one.granted for one in valid[each])} granted, 0 failed; of the removed: {removed[each].tally}"
        record_property(f"{trust_domain} {kind} by {each}", counts)
        assert removed[each].tally.wrong == 0, counts
        assert removed[each].tally.refused > 0, counts
        assert {event["reason"] for event in service.events("refused", since=marks[each])} <= GONE, counts
    _ends_what_came_of_it(rotation, services["endpoint"], old)


def _load(running: ExitStack, rotation: Rotation, service: BridgeService) -> list[Traffic]:
    """Clients with valid credentials, of the trust domain that changes and of the one that does not."""
    return [
        running.enter_context(Traffic(partial(rotation.presenter.ask, service), clients=2)),
        running.enter_context(Traffic(partial(rotation.bystander.ask, service))),
    ]


def _old_clients(running: ExitStack, rotation: Rotation, service: BridgeService) -> Removed:
    """Clients that go on with what they have now: one at each worker, and one over new connections."""
    old = rotation.presenter.credential(service)
    assert signer(old) == rotation.authority.retiring(), "the agent handed out something older"
    svid = None if isinstance(old, str) else old
    workers = running.enter_context(connections_to_every_worker(service, svid))
    asks: dict[str, Callable[[], Answer]] = {
        f"worker {pid}": partial(ask, service, old, connection) for pid, connection in workers.items()
    }
    return running.enter_context(Removed({**asks, "new connections": partial(ask, service, old)}))


def _ends_what_came_of_it(rotation: Rotation, service: BridgeService, authority: str) -> None:
    """`trust impact` finds the tokens by the name that SPIRE has for the authority, and ends them in one command."""
    words = ("--revoke", "--yes", "--note", "removed in SPIRE", "--json")
    found = json.loads(service.command("trust", "impact", rotation.domain.trust_domain, authority, *words))
    assert [row["in_bundle"] for row in found["authorities"]] == [False], found
    assert {row["subject"] for row in found["clients"]} == {rotation.subject}
    assert found["revoked"]["tokens"] == sum(row["tokens"] for row in found["clients"]) > 0
