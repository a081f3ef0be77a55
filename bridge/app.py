"""The composition root: the only module that builds objects and reads the clock."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from wsgiref.types import WSGIApplication

from bridge import __version__
from bridge.ambient import new_id, now
from bridge.bundle_news import BundleNews
from bridge.chores import Chores
from bridge.config import Settings, settings_from
from bridge.console.application import create_console_app
from bridge.fetch.failures import FetchDelayed
from bridge.files.as_read import FileAsRead
from bridge.measures import Measures
from bridge.model.bundle import BundleHealth, BundleStatus
from bridge.model.errors import Unavailable
from bridge.model.own_svid import OwnSvid
from bridge.model.spiffe_id import TrustDomain
from bridge.observe.log import configure
from bridge.observe.readiness import PartState, Readiness, readiness
from bridge.observe.serving_metrics import ServingMetrics
from bridge.opening import (
    limits_of,
    open_bundles,
    open_fetcher,
    open_issuers,
    open_polling,
    open_ring,
    open_store,
    trust_rules_of,
)
from bridge.own_certificate import OwnCertificate
from bridge.policy.folder import PolicyFolder
from bridge.policy.in_force import PolicyInForce
from bridge.policy_defaults import policy_defaults
from bridge.registration.refusals import RefusalLog
from bridge.tokens.sealing import SealKey, read_seal_key
from bridge.upkeep import Periods, Upkeep
from bridge.verify.dpop import DpopNonces
from bridge.verify.verifier import SvidVerifier
from bridge.vitals import Vitals
from bridge.web.application import create_app, create_metrics_app
from bridge.wiring import Parts, services_of
from bridge.wiring_console import console_services
from bridge.wiring_tracing import open_traces
from bridge.wiring_webhook import open_courier, webhook_chores

_log = logging.getLogger("bridge.app")

# A worker whose chores stand still for so long uses old policies and keys: it is not ready.
CHORES_SILENT_SECONDS = 120
# So long a SIGHUP waits for the chores to have looked; what they then find is said line by line all the same.
RELOAD_SECONDS = 30
# So long a worker waits for the first word of every bundle source before it takes connections. Whoever came before
# would fail in the handshake, because of a chain that no anchor is loaded for yet, and be told no reason. Where more
# endpoints than so many were never asked before, not all answer in that time, and none of them is waited for.
FIRST_WORD_SECONDS, FIRST_WORD_MOST = 1.5, 100
# So long the end of a worker waits for the webhook's receiver.
DELIVERY_PATIENCE = 1.0
# So long a request waits for a bundle that may hold the key it named.
EARLY_PATIENCE = 3.0


def build_worker(configuration: FileAsRead) -> Worker:
    """What each worker process calls (`ServingOptions.factory`). The file is not read again: whatever it holds by now,
    a worker that replaces another goes by what the others go by."""
    configure()
    return Worker(settings_from(configuration), configuration=configuration)


class Worker:
    """One worker process: everything it needs, wired together. `start` begins threads, `close` ends them."""

    def __init__(self, settings: Settings, *, configuration: FileAsRead | None = None) -> None:
        """`configuration` is where the settings came from, for the log."""
        self._settings, self._configuration = settings, configuration
        seal = read_seal_key(settings.seal_file)
        self._store = open_store(settings, seal, clock=now)
        self._ring = open_ring(settings, self._store, seal, clock=now)
        self._policies = PolicyInForce(PolicyFolder(settings.policy_directory, policy_defaults(settings)))
        self._book, self._sources = open_bundles(settings, open_polling(seal, self._store), clock=now)
        self._refusals = RefusalLog(self._store.audit.begin_append)
        self._fetcher = open_fetcher(settings)
        self._issuers = open_issuers(settings, self._fetcher)
        self.serving_observer = ServingMetrics()
        self._own = OwnCertificate(settings, self.serving_observer, clock=now)
        parts = self._parts(seal)
        self._traces = open_traces(settings)
        services = services_of(parts, self._readiness, None if self._traces is None else self._traces.tracing)
        self._app, self._metrics_app = create_app(services), create_metrics_app(services)
        console = console_services(parts, readiness=self._readiness, bundles=self._book.statuses)
        self._console_app = None if console is None else create_console_app(console)
        self._news = BundleNews(self._book, self._store.bundles, new_id=new_id, clock=now)
        self._upkeep = Upkeep(
            store=self._store,
            ring=self._ring,
            book=self._book,
            news=self._news,
            policies=self._policies,
            issuers=self._issuers,
            refusals=self._refusals,
            periods=Periods(
                idle_expiry=settings.registration.idle_expiry,
                pending_expiry=settings.registration.pending_expiry,
                keep_ended=settings.registration.keep_ended,
                rotate_every=settings.tokens.rotate_every,
                keep_audit=settings.audit.keep,
            ),
            measure=Measures(
                self._store,
                limits=lambda trust_domain: limits_of(settings, trust_domain),
                trust_domains=frozenset(settings.trust_domains),
            ).take,
            vitals=Vitals(
                self._store, readiness=self._readiness, keys=self._ring.rows, rotate_every=settings.tokens.rotate_every
            ).take,
            new_id=new_id,
            clock=now,
        )
        self._chores = Chores(self._upkeep.chores(), clock=now)
        self._fetches = Chores(self._upkeep.fetches(), clock=now)
        self._courier = open_courier(settings, self._store, new_id=new_id, clock=now)
        self._deliveries = Chores(webhook_chores(self._courier), clock=now)

    @property
    def wsgi(self) -> WSGIApplication:
        """The public endpoints."""
        return self._app.wsgi_app

    @property
    def metrics_wsgi(self) -> WSGIApplication:
        """What operators see."""
        return self._metrics_app.wsgi_app

    @property
    def console_wsgi(self) -> WSGIApplication:
        """What operators see and decide, where `[console]` is configured."""
        assert self._console_app is not None, "nothing listens for a console that is not configured"
        return self._console_app.wsgi_app

    def anchors(self) -> tuple[int, tuple[bytes, ...]]:
        """The trust anchors for handshakes, and a number that grows with each change."""
        anchors = self._book.anchors()
        return anchors.revision, anchors.certificates

    def own_svid(self) -> OwnSvid | None:
        """The X.509-SVID of the service itself, where its listeners show one."""
        return self._own.current()

    def start(self) -> None:
        """Begin streams and chores; in the worker's own process, never before a fork."""
        self._own.start()
        self._book.on_change(self._news.changed)
        self._book.on_sharing(self._news.shared)
        self._sources.start()
        self._book.wait_until_reported(FIRST_WORD_SECONDS, but_for=self._sources.never_asked(FIRST_WORD_MOST))
        self._own.wait(FIRST_WORD_SECONDS)
        # What the store does not take now, the chore brings again. What is known is noted before anybody is served.
        with suppress(Unavailable):
            self._news.note(now())
            self._upkeep.note_policies(now())
        self._chores.start()
        if self._issuers.by_url:
            self._fetches.start()
        if self._courier is not None:
            self._deliveries.start()
        if self._traces is not None:
            self._traces.export.start()
        settings = self._settings
        listeners = {"plain": settings.listen, "mtls": settings.mtls_listen, "metrics": settings.metrics_listen}
        listeners["console"] = None if settings.console is None else settings.console.listen
        _log.info(
            "started",
            extra={
                "version": __version__,
                "config": "" if self._configuration is None else str(self._configuration.path),
                "issuer": settings.issuer,
                "listeners": {kind: address for kind, address in listeners.items() if address},
                "trusted_proxies": [proxy.known_by for proxy in settings.trusted_proxies],
                "policies": self._policies.current.version,
                "findings": len(self._policies.findings),
                "trust_domains": sorted(settings.trust_domains),
            },
        )

    def reload(self) -> None:
        """Look at every file now (SIGHUP), and say what came of it. May take some seconds."""
        file = self._configuration
        looked = self._upkeep.looking(unread=str(file.path) if file is not None and file.has_changed() else "")
        self._policies.forget()
        self._sources.refresh_now()
        self._own.refresh_now()
        if self._chores.hurry().wait(RELOAD_SECONDS):
            looked(now())

    def close(self) -> None:
        """End threads and finish writes, after the last request."""
        self._chores.close()
        self._fetches.close()
        # What a receiver that hangs has not confirmed is sent again by whoever comes next.
        if self._deliveries.close(patience=DELIVERY_PATIENCE) and self._courier is not None:
            with suppress(Unavailable):
                self._courier.release(now())
        if self._traces is not None:
            self._traces.export.close()
        self._sources.close()
        self._own.close()
        self._refusals.flush(now(), all_minutes=True)
        self._store.close()

    def _parts(self, seal: SealKey) -> Parts:
        settings = self._settings
        return Parts(
            settings=settings,
            seal=seal,
            store=self._store,
            ring=self._ring,
            policies=self._policies,
            svids=SvidVerifier(
                self._book, issuer=settings.issuer, trust_domains=trust_rules_of(settings), look_early=self._look_early
            ),
            issuers=self._issuers,
            fetcher=self._fetcher,
            refusals=self._refusals,
            nonces=DpopNonces(seal.derive("dpop-nonce")) if settings.dpop.require_nonce else None,
            clock=now,
        )

    def _look_early(self, trust_domain: TrustDomain) -> None:
        """Somebody named a key that is not in the bundle: have its endpoint asked, if it has one. Whoever finds too
        many waiting goes on with the bundle that is there."""
        polled = self._sources.polled
        if polled is None:
            return
        try:
            polled.look_early(trust_domain, patience=EARLY_PATIENCE, waiting=self._fetcher.threads.waiting)
        except FetchDelayed:
            return

    # --- readiness ------------------------------------------------------------------------------

    def _readiness(self) -> Readiness:
        return readiness(
            {
                "store": self._store_state,
                "keys": self._keys_state,
                "policies": self._policies_state,
                "bundles": self._bundles_state,
                "tls": self._own.state,
                "chores": self._chores_state,
            }
        )

    def _store_state(self) -> PartState:
        self._store.ping()
        return True, {}

    def _keys_state(self) -> PartState:
        kid, alg, _ = self._ring.signer(now())
        return True, {"signing": kid, "alg": alg}

    def _policies_state(self) -> PartState:
        faults = [str(finding) for finding in self._policies.findings]
        return True, {"version": self._policies.current.version, "findings": faults}

    def _bundles_state(self) -> PartState:
        statuses = self._book.statuses(now())
        usable = {BundleHealth.FRESH, BundleHealth.LATE}
        detail: dict[str, object] = {
            status.trust_domain.name: _bundle_detail(status, self._news.x509_until(status)) for status in statuses
        }
        return any(status.health in usable for status in statuses), detail

    def _chores_state(self) -> PartState:
        silent = self._chores.silent_seconds
        return silent < CHORES_SILENT_SECONDS, {"last_turn_seconds_ago": int(silent)}


def _bundle_detail(status: BundleStatus, x509_until: int | None) -> dict[str, object]:
    """One trust domain: how it stands, why, since when and until when (RFC 3339 UTC). `x509_until` is when the last of
    its X.509 authorities ends."""
    times = {
        "fetched_at": status.fetched_at,
        "refresh_at": status.refresh_at,
        "stale_at": status.stale_at,
        "x509_until": x509_until,
    }
    return {
        "state": status.health.value,
        "reason": status.reason,
        "source": status.source,
        "sequence": None if status.bundle is None else status.bundle.sequence,
        **{
            name: None if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
            for name, at in times.items()
        },
    }
