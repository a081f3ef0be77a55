"""A whole rotation as an operator does it: no step before everybody has followed the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tests.live.credentials import Presenter, signer
from tests.live.processes import wait_until
from tests.live.rotation import SPIRE_SECONDS, JwtAuthority, SelfSignedAuthority, X509Authority
from tests.live.service import BridgeService
from tests.live.spire_lab import OWN, PARTNER
from tests.live.stage import BATCH, SYNC, Stage
from tests.live.workers import learned


class Rotation:
    """One kind of authority, "jwt" or "x509", of one trust domain; a workload of each trust domain presents SVIDs of
    that kind. `services` are those that have to follow, by where they have their bundles."""

    def __init__(self, stage: Stage, trust_domain: str, kind: str, services: Mapping[str, BridgeService]) -> None:
        self._stage, self.kind, self._services = stage, kind, services
        own, partner = stage.lab.domains
        is_own = trust_domain == OWN
        (self.domain, self._path), (other, other_path) = ((own, BATCH), (partner, SYNC))[:: 1 if is_own else -1]
        # Admitted now, so that it lives by what is active now, whatever rotated before.
        self.presenter = Presenter(stage.admit(self._path, self.domain)[0], kind)
        self.bystander = Presenter(stage.workload(other_path, other), kind)
        self.authority = JwtAuthority(self.domain)
        if kind == "x509":
            self.authority = X509Authority(self.domain) if is_own else SelfSignedAuthority(self.domain)

    @property
    def subject(self) -> str:
        """The SPIFFE ID of the workload whose trust domain changes."""
        return self.domain.spiffe_id(self._path)

    def whole(self, name: str) -> None:
        """All four steps, one after the other."""
        old = self.authority.retiring()
        self.authority.activate(self.prepare(name))
        self.taint(old)
        self.authority.revoke(old)
        self.tell_the_other_server()

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
        self.authority.taint(authority)
        _until(lambda: authority not in self._signers(), "the agent replaced the tainted SVIDs")
        if self.kind == "x509":
            # An agent whose own certificate is below a root that is gone loses its server, and shuts down.
            _until(lambda: self.domain.agent_authority() != authority, "the agent renewed its own certificate")

    def tell_the_other_server(self) -> None:
        """The servers ask each other every 15 s, which is too rare for an https_spiffe server that goes through a whole
        rotation meanwhile."""
        if self.domain is self._stage.lab.partner:
            self._stage.lab.own.server_command("federation", "refresh", "-id", PARTNER)

    def _signers(self) -> set[str]:
        """The authorities above what the agent gives out now, for every service."""
        if self.kind == "x509":
            return {signer(self.presenter.workload.x509_svid())}
        return {signer(self.presenter.credential(service)) for service in self._services.values()}

    def _agent_has(self) -> set[str]:
        return set(self.presenter.workload.bundles()[self.kind][self.domain.trust_domain])


def _until(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, seconds=SPIRE_SECONDS, what=what)
