"""The cast of every live test and of the demo: who the workloads are, and the service they speak to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.live.identities import Account, Workload, accounts
from tests.live.service import BridgeService
from tests.live.spire_domain import SpireDomain
from tests.live.spire_lab import OWN, PARTNER, SpireLab, new_directory
from tests.live.trust_sources import Section, agent, spiffe_endpoint, web_endpoint

BATCH, SETTLE = "/ns/payments/sa/batch", "/ns/payments/sa/settle"
FRONTEND, LEDGER_API = "/ns/web/sa/frontend", "/ns/ledger/sa/api"
SYNC = "/ns/orders/sa/sync"
BRIDGE = "/bridge"


class Stage:
    """SPIRE with both trust domains, an entry for the service, and as many workloads as are asked for.

    One service account serves all services of a stage: they are never up together.
    """

    def __init__(self) -> None:
        self.directory: Path = new_directory()
        self._ends = ExitStack()
        self._ends.callback(shutil.rmtree, self.directory)
        self.lab = SpireLab(self.directory)
        self._accounts = accounts(self.directory)
        self._workloads: dict[tuple[str, str], Workload] = {}
        self._services = 0

    def __enter__(self) -> Stage:
        with ExitStack() as undo:
            undo.push(self._ends.pop_all())
            undo.callback(self.lab.stop)
            self.lab.start()
            self.service_account: Account = self._accounts.for_service()
            self.service_entry = self.create_service_entry()
            self.probe = undo.enter_context(Workload(self.service_account, self.lab.own.endpoint))
            self.probe.wait_for_identity()
            self._ends = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def create_service_entry(self) -> str:
        """The service is a workload too; its entry brings it both trust domains' bundles."""
        return self.lab.own.create_entry(BRIDGE, self.service_account.selector, "-federatesWith", f"spiffe://{PARTNER}")

    def admit(self, path: str, domain: SpireDomain | None = None) -> tuple[Workload, str]:
        """Register a workload with SPIRE and start its process; returns it with its entry id."""
        domain = domain or self.lab.own
        account = self._accounts.new()
        entry = domain.create_entry(path, account.selector)
        workload = self._ends.enter_context(Workload(account, domain.endpoint))
        workload.wait_for_identity()
        return workload, entry

    def workload(self, path: str, domain: SpireDomain | None = None) -> Workload:
        """The workload with this path, admitted when it is first asked for."""
        domain = domain or self.lab.own
        key = (domain.trust_domain, path)
        if key not in self._workloads:
            self._workloads[key] = self.admit(path, domain)[0]
        return self._workloads[key]

    def service(self, trust: Mapping[str, Section] | None = None) -> BridgeService:
        """A service with an empty store, not started; without `trust` it has both bundles from the agent."""
        self._services += 1
        trust = trust or {OWN: agent(self.lab), PARTNER: agent(self.lab)}
        return BridgeService(self.directory / f"bridge{self._services}", self.service_account, self.lab, trust)

    def endpoints(self, **bounds: str) -> dict[str, Section]:
        """Both trust domains by their endpoints, for a service without an agent; each with these `bounds`."""
        bootstrap = self.directory / f"bootstrap{self._services + 1}.json"
        return {
            OWN: web_endpoint(self.lab, **bounds),
            PARTNER: spiffe_endpoint(self.lab.partner, bootstrap, **bounds),
        }
