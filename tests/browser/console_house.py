"""A console for a browser to visit: by plain HTTP on a loopback port, as `ssh -L` brings its Unix socket there."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from bridge.model.bundle import BundleHealth, SharedKey
from bridge.model.client import ClientKind
from bridge.model.spiffe_id import TrustDomain
from bridge.observe.readiness import Readiness
from tests.browser.served import Quiet, Threaded
from tests.unit.console.stand import DOCUMENT, RESEARCHER, ConsoleStand, status

# What somebody might have called themselves who likes to be somewhere else.
HOSTILE = "</td></table><script>document.title='taken'</script>\x1b[2J\u202eevil"


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
        stand.readiness = Readiness(
            False,
            {
                "store": {"ready": True},
                "keys": {"ready": True},
                "bundles": {"ready": True},
                "tls": {"ready": False, "reason": "no X.509-SVID yet: the agent does not answer"},
            },
        )

    def _app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # As the service's own server does it: the body is there, and ends; the kernel says who connected.
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        environ |= {"bridge.listener": "console", "bridge.peer_chain": (), "bridge.peer_uid": os.getuid()}
        return self.stand.app.wsgi_app(environ, start_response)
