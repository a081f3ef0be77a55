"""A console for a browser to visit: by plain HTTP on a loopback port, as `ssh -L` brings its Unix socket there."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from bridge.model.audit import AuditEventKind
from bridge.model.authorization import User
from bridge.model.bundle import BundleHealth, SharedKey
from bridge.model.client import ClientKind
from bridge.model.spiffe_id import TrustDomain
from bridge.observe.readiness import Readiness
from tests.browser.served import Quiet, Threaded
from tests.contract.flows import consent, give, grant
from tests.contract.records import ensure, event, instance, shared, spiffe
from tests.unit.console.stand import DOCUMENT, RESEARCHER, ConsoleStand, status

# What somebody might have called themselves who likes to be somewhere else.
HOSTILE = "</td></table><script>document.title='taken'</script>\x1b[2J\u202eevil"
ASKED: dict[str, object] = {"grant_type": "client_credentials", "resources": [], "proved": ["x5t#S256"]}
# Whom the policies let write to the ledger.
WRITER = "spiffe://example.org/ns/payments/sa/batch"


class ConsoleHouse:
    """A console with things to see in it."""

    def __init__(self, folder: Path) -> None:
        self._server = make_server("127.0.0.1", 0, self._app, Threaded, Quiet)
        self.origin = f"http://localhost:{self._server.server_port}"
        self.stand = ConsoleStand(folder, origin=self.origin, now=int(time.time()))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.stand.close()

    def furnish(self) -> None:
        """Trust domains in every state, clients that wait, and limits in use."""
        stand, now = self.stand, self.stand.now
        partner = TrustDomain.parse("partner.example")
        shared = SharedKey("k" * 43, partner, "jwt-1", "jwt-9", last=partner)
        stand.statuses = [
            status("example.org", now=now),
            status("factory.example", BundleHealth.LATE, now=now, reason="the endpoint did not answer in 5 s"),
            status(
                "old.example", BundleHealth.STALE, now=now, reason="not confirmed for 2 d", ages=(172800, 30, -86400)
            ),
            status("gone.example", BundleHealth.UNREACHABLE, now=now, reason="no such host"),
            status("shared.example", BundleHealth.SHARED, now=now, reason=str(shared), shared=shared),
        ]
        stand.waiting(RESEARCHER)
        stand.waiting(
            "instance-Y2hFv0q9xS3kZ1aB7cD4eA", subject=f"{RESEARCHER} key", kind=ClientKind.INSTANCE, parent=RESEARCHER
        )
        stand.waiting("spiffe://example.org/ns/research/sa/grace", digest="0" * 64)
        stand.waiting(DOCUMENT, rule="apps", metadata={"client_name": HOSTILE})
        self._work()
        stand.readiness = Readiness(
            False,
            {
                "store": {"ready": True},
                "keys": {"ready": True},
                "bundles": {"ready": True},
                "tls": {"ready": False, "reason": "no X.509-SVID yet: the agent does not answer"},
            },
        )

    def _work(self) -> None:
        """Clients at work, for a day: tokens, refusals, and a change of policies."""
        stand, now = self.stand, self.stand.now
        version = stand.policies.current.version
        reads, writes = ("web-reads-ledger", "ledger.read"), ("payments-writes-ledger", "ledger.write")
        for number, name in enumerate(("ns/payments/sa/batch", "ns/web/sa/api", "ns/web/sa/shop")):
            who, (rule, scope) = f"spiffe://example.org/{name}", reads if number else writes
            ensure(stand.store.clients, spiffe(who, rule=rule), now=now)
            for minute in range(3 + number):
                ask = {"scopes": [scope], **ASKED}
                self._log(AuditEventKind.TOKEN_ISSUED, who, rule, ask, time=now - 600 * minute)
        fleet = shared("spiffe://example.org/ns/batch/sa/run", client_id="batch", subject="batch")
        ensure(stand.store.clients, fleet, now=now)
        for number in range(7):
            ensure(stand.store.clients, instance(number, parent="spiffe://example.org/ns/fleet/sa/car"), now=now)
        self._give(WRITER)
        self._log(AuditEventKind.REFUSED, HOSTILE, HOSTILE, {"scopes": [HOSTILE], **ASKED}, reason="jwt_expired")
        gains = {"before": "v-before", "files": ["example.org.toml"], "gained": {"ledger.write": [f"{WRITER[:-5]}*"]}}
        self._log(AuditEventKind.POLICY_CHANGED, "", "", gains, policy_version=version)
        self._log(
            AuditEventKind.REFUSED,
            WRITER,
            "",
            {"scopes": ["orders.read"], **ASKED},
            id="refused-today",
            reason="policy_scope",
            policy_version=version,
        )

    def _give(self, client_id: str) -> None:
        """What users gave to a client: more than a page of it."""
        store, now = self.stand.store, self.stand.now
        record = store.clients.get(client_id)
        assert record is not None
        for number in range(30):
            user = User(f"u-{number:04}", HOSTILE if number == 1 else f"Person {number}")
            given = grant(
                number,
                client_id=client_id,
                user=user,
                actor=client_id,
                epoch=str(record.epoch if number else 7),
                created_at=now - 60 * number,
                code_expires_at=now + 60,
                ends_at=now + 86_400,
            )
            agreed = consent(client_id, user_id=user.user_id, agreed_at=now - 60 * number)
            give(store, given, consent=agreed, now=now)

    def _log(self, kind: AuditEventKind, subject: str, rule: str, ask: dict[str, object], **more: Any) -> None:
        given = {"time": self.stand.now, "door": "token", "evidence": "x509-svid", "client_id": subject}
        row = event(kind, subject=subject, rule=rule, ask=ask, **(given | more))
        self.stand.store.audit.append(row)

    def _app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # As the service's own server does it: the body is there, and ends; the kernel says who connected.
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        environ |= {"bridge.listener": "console", "bridge.peer_chain": (), "bridge.peer_uid": os.getuid()}
        return self.stand.app.wsgi_app(environ, start_response)
