"""The real console over a real store and real policies, with browsers to visit it; trust bundles are what is said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from bridge.console.application import create_console_app
from bridge.console.operators import Access, BySocket
from bridge.console.origins import LoopbackOrigin, Origins
from bridge.console.services import ConsoleServices
from bridge.lab.authority import Authority
from bridge.model.bundle import BundleHealth, BundleStatus, SharedKey, TrustBundle
from bridge.model.client import ClientKind, ClientState
from bridge.model.errors import BridgeError
from bridge.model.spiffe_id import TrustDomain
from bridge.observe.readiness import Readiness
from bridge.policy.folder import PolicyFolder
from bridge.policy.in_force import PolicyInForce
from bridge.policy.terms import PolicyDefaults
from bridge.registration.seen_documents import SeenDocument
from bridge.spire.parse import parse_bundle
from bridge.store.ports import RegistrationLimits
from bridge.tokens.key_ring import KeyRing
from bridge.tokens.sealing import SealKey
from tests.browsing import Browser
from tests.contract.places import SqlitePlace
from tests.contract.records import NOW, ensure, spiffe
from tests.flows.stand import CATALOGUE, RULES

ISSUER = "https://as.example.org"
ORIGIN = "http://localhost:8500"
LIMITS = RegistrationLimits(records=10, per_second=5, burst=20, pending=5)
RESEARCHER = "spiffe://example.org/ns/research/sa/ada"
ASKS = "research-asks"
DOCUMENT = "https://app.example.com/client.json"
SECRET = bytes(range(32))


class Observed:
    """What the console reported."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int]] = []
        self.refusals: list[tuple[str, str, str]] = []

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.answers.append((endpoint, status))

    def refused(self, door: str, error: Exception, correlation_id: str, source_address: str) -> None:
        assert isinstance(error, BridgeError)
        self.refusals.append((door, error.reason.value, error.detail))

    def failed(self, endpoint: str, correlation_id: str) -> None:
        raise AssertionError(f"a defect at {endpoint}")


class ConsoleStand:
    """One console."""

    def __init__(
        self,
        folder: Path,
        *,
        access: Access | None = None,
        origins: Origins | None = None,
        origin: str = ORIGIN,
        now: int = NOW,
    ) -> None:
        self.now, self.origin, self.observed = now, origin, Observed()
        self._place = SqlitePlace(folder)
        self._place.create()
        self.store = self._place.open(clock=lambda: self.now)
        policies = folder / "policies"
        policies.mkdir()
        (policies / "catalogue.toml").write_text(CATALOGUE)
        (policies / "example.org.toml").write_text(RULES)
        self.policies = PolicyInForce(PolicyFolder(policies, PolicyDefaults()))
        self.ring = KeyRing(
            self.store.keys,
            SealKey(SECRET),
            alg="ES256",
            token_life=3600,
            new_id=map("key-{}".format, count(1)).__next__,
        )
        self.ring.start(self.now)
        self.statuses: list[BundleStatus] = [status("example.org", now=now)]
        self.readiness = Readiness(True, {"store": {"ready": True}, "bundles": {"ready": True}})
        self.documents: dict[str, SeenDocument | BridgeError] = {}
        self._ids = count(1)
        services = ConsoleServices(
            issuer=ISSUER,
            access=access or BySocket(),
            origins=origins or LoopbackOrigin(),
            store=self.store,
            policies=self.policies,
            bundles=lambda at: self.statuses,
            places={"example.org": "bundles/example.org.json", "other.example": "https://other.example:8443"},
            limits=lambda trust_domain: LIMITS,
            periods={"rotate_every": 30 * 86400, "pending_expiry": 7 * 86400, "idle_expiry": 30 * 86400},
            readiness=lambda: self.readiness,
            look_at=self._look_at,
            observer=self.observed,
            form_key=SECRET,
            new_id=lambda: f"an-id-of-twenty-two-{next(self._ids):02}",
            clock=lambda: self.now,
        )
        self.app = create_console_app(services)

    def close(self) -> None:
        self._place.close()

    def browser(self, **connection: Any) -> Browser:
        """A browser of the account that runs the tests, at the console's Unix socket."""
        given = {"bridge.listener": "console", "bridge.peer_chain": (), "bridge.peer_uid": os.getuid()} | connection
        return Browser(lambda: self.app.wsgi_app, issuer=self.origin, connection=given)

    # --- what is to be seen ---------------------------------------------------------------------

    def waiting(
        self, client_id: str = RESEARCHER, *, rule: str = ASKS, digest: str | None = None, **fields: Any
    ) -> str:
        """A client that waits for the terms of that rule, as they are unless `digest` says others. Its name."""
        given: dict[str, Any] = {"client_id": client_id, "state": ClientState.PENDING, "rule": rule} | fields
        if client_id.startswith("https:"):
            given |= {"kind": ClientKind.METADATA_DOCUMENT, "trust_domain": None}
        ensure(self.store.clients, spiffe(given.pop("subject", client_id), **given), now=self.now)
        self.store.clients.await_approval(client_id, rule=rule, digest=digest or self.digest(rule), now=self.now)
        return client_id

    def digest(self, rule: str) -> str:
        """The terms of a rule as the policy has them."""
        terms = next((one.terms for one in self.policies.current.rules if one.id == rule), None)
        return "0" * 64 if terms is None else terms.digest

    def _look_at(self, url: str) -> SeenDocument:
        found = self.documents[url]
        if isinstance(found, BridgeError):
            raise found
        return found


def status(
    name: str,
    health: BundleHealth = BundleHealth.FRESH,
    *,
    now: int = NOW,
    reason: str = "",
    bundle: TrustBundle | None = None,
    shared: SharedKey | None = None,
    ages: Sequence[int] = (30, 30, 86400),
) -> BundleStatus:
    """How one trust domain stands. `ages`: seconds since it was confirmed, until it is asked again and until it is
    stale."""
    trust_domain = TrustDomain.parse(name)
    since, refresh, stale = ages
    if bundle is None and health not in (BundleHealth.UNREACHABLE, BundleHealth.MALFORMED):
        bundle = parse_bundle(Authority(name).bundle_json(), trust_domain)
    return BundleStatus(
        trust_domain, "file", health, reason, bundle, 1, now - since, now + refresh, now + stale, shared=shared
    )
