"""SPIRE's authorities rotate while clients ask two services, of which one polls the bundle endpoints and one has an
agent: nothing valid is refused, and nothing of a removed authority is granted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial

import pytest

from tests.live.client import Answer
from tests.live.credentials import Presenter, ask, signer
from tests.live.processes import wait_until
from tests.live.removed import Removed
from tests.live.rotation import SPIRE_SECONDS, JwtAuthority, SelfSignedAuthority, X509Authority
from tests.live.service import BridgeService
from tests.live.spire_lab import OWN, PARTNER
from tests.live.stage import BATCH, SYNC, Stage
from tests.live.traffic import Traffic, all_flow
from tests.live.workers import connections_to_every_worker, learned

REFRESH = 2
"""How often the service without an agent asks the endpoints, in seconds: SPIRE's own hint is a minute."""
WITHIN = {"endpoint": REFRESH + 5.0, "agent": 5.0}
"""Seconds after a removal from which on nothing of it may be accepted, by where the bundle comes from (F-6)."""
LEARN_SECONDS = 30.0
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


class Rotation:
    """One kind of authority of one trust domain; a workload of each trust domain presents SVIDs of that kind."""

    def __init__(self, stage: Stage, trust_domain: str, kind: str, services: Mapping[str, BridgeService]) -> None:
        self._stage, self.kind, self._services = stage, kind, services
        own, partner = stage.lab.own, stage.lab.partner
        living = Presenter(stage.workload(BATCH, own), kind), Presenter(stage.workload(SYNC, partner), kind)
        is_own = trust_domain == OWN
        self.domain, (self.presenter, self.bystander) = (own, living) if is_own else (partner, living[::-1])
        self.authority = JwtAuthority(self.domain)
        if kind == "x509":
            self.authority = X509Authority(self.domain) if is_own else SelfSignedAuthority(self.domain)

    def prepare(self, name: str) -> str:
        """Make the next authority and wait until everybody has it; returns what to activate."""
        marks = {each: service.log_size() for each, service in self._services.items()}
        before, agent_before = self.domain.authorities()[self.kind], self._agent_has()
        if isinstance(self.authority, X509Authority):
            self._stage.lab.replace_upstream_root(name)
        prepared = self.authority.prepare()
        (key,) = self.domain.authorities()[self.kind] - before
        self.tell_the_other_server()
        _until(lambda: self._agent_has() - agent_before, "the agent of its trust domain has it")
        for each, service in self._services.items():
            _until(partial(learned, service, self.kind, key, since=marks[each]), f"the service by {each} has it")
        return prepared

    def taint(self, authority: str) -> None:
        """Taint what was replaced, and wait until no workload and no agent lives by it any more."""
        agent_before = self.domain.agent_serial()
        self.authority.taint(authority)
        _until(lambda: authority not in self._signers(), "the agent replaced the tainted SVIDs")
        if self.kind == "x509":
            # An agent whose own certificate is below a root that is gone loses its server, and shuts down.
            _until(lambda: self.domain.agent_serial() != agent_before, "the agent renewed its own certificate")

    def tell_the_other_server(self) -> None:
        """The servers ask each other every 15 s, which is too rare for an https_spiffe server that goes through a whole
        rotation meanwhile."""
        if self.domain is self._stage.lab.partner:
            self._stage.lab.own.server_command("federation", "refresh", "-id", PARTNER)

    def _signers(self) -> set[str]:
        """The authorities above what the agent gives out now, for either service."""
        return {signer(self.presenter.credential(service)) for service in self._services.values()}

    def _agent_has(self) -> set[str]:
        return set(self.presenter.workload.bundles()[self.kind][self.domain.trust_domain])


def _until(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, seconds=max(SPIRE_SECONDS, LEARN_SECONDS), what=what)


@pytest.mark.parametrize("kind", ["jwt", "x509"])
@pytest.mark.parametrize("trust_domain", [OWN, PARTNER], ids=["https_web", "https_spiffe"])
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


def _load(running: ExitStack, rotation: Rotation, service: BridgeService) -> list[Traffic]:
    """Clients with valid credentials, of the trust domain that changes and of the one that does not."""
    return [
        running.enter_context(Traffic(partial(rotation.presenter.ask, service), clients=2)),
        running.enter_context(Traffic(partial(rotation.bystander.ask, service))),
    ]


def _old_clients(running: ExitStack, rotation: Rotation, service: BridgeService) -> Removed:
    """Clients that go on with what they have now: one at each worker, and one over new connections."""
    old = rotation.presenter.credential(service)
    svid = None if isinstance(old, str) else old
    workers = running.enter_context(connections_to_every_worker(service, svid))
    asks: dict[str, Callable[[], Answer]] = {
        f"worker {pid}": partial(ask, service, old, connection) for pid, connection in workers.items()
    }
    return running.enter_context(Removed({**asks, "new connections": partial(ask, service, old)}))
