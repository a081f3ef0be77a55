"""A bundle endpoint of either profile, as a SPIRE server offers it (SPIFFE Federation section 5)."""

from __future__ import annotations

import hashlib
import ssl
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bridge.lab.authority import Authority
from bridge.lab.web_ca import WebCa


class BundleEndpoint:
    """Serves an authority's bundle over HTTPS. Use it as a context manager, or `start` and `stop` it.

    As SPIRE: `GET /` is 200 `application/json`, other paths 404, other methods 405, no cache headers; beside it an
    ETag, with which an unchanged bundle is 304. `port` 0 takes a free one; `url` is known once it has started.
    `web_ca` makes it an endpoint of profile https_web; without one it is https_spiffe, and presents the X.509-SVID of
    `path` in the authority's trust domain, a new one for each connection.
    """

    def __init__(
        self,
        authority: Authority,
        web_ca: WebCa | None = None,
        *,
        path: str = "/spire/server",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.authority = authority
        self.web_ca = web_ca
        self.path = path
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The endpoint's URL."""
        assert self._server is not None, "not started"
        return f"https://{self._address[0]}:{self._server.server_address[1]}/"

    @property
    def endpoint_spiffe_id(self) -> str:
        """What an https_spiffe endpoint proves to be."""
        return str(self.authority.spiffe_id(self.path))

    def start(self) -> BundleEndpoint:
        """Listen."""
        server = _Server(self._address, _handler(self.authority))
        if self.web_ca is None:
            server.context = self._svid_context
        else:
            context = _server_context(self.web_ca, self._address[0])
            server.context = lambda: context
        self._server = server
        # A short poll: `shutdown` waits for the loop to look up, half a second by default.
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="lab-bundle-endpoint")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening. Idempotent."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None

    def _svid_context(self) -> ssl.SSLContext:
        svid = self.authority.x509_svid(self.path)
        return _context_of(svid.chain_pem(), svid.key_pem())

    def __enter__(self) -> BundleEndpoint:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    """Makes the TLS handshake in the request's own thread, so that a slow client delays nobody."""

    daemon_threads = True
    context: Callable[[], ssl.SSLContext]

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(10)
        try:
            with self.context().wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            # A client that does not trust the web CA ends the handshake. That is its good right.
            return

    def shutdown_request(self, request: Any) -> None:
        # `wrap_socket` took the descriptor over and `finish_request` closed it.
        request.close()


def _handler(authority: Authority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != "/":
                self._answer(404, "text/plain", b"not found\n")
                return
            body = authority.bundle_json()
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == etag:
                self._answer(304, "", b"", etag)
            else:
                self._answer(200, "application/json", body, etag)

        def _refuse(self) -> None:
            self.close_connection = True
            self._answer(405, "text/plain", b"method not allowed\n")

        do_HEAD = do_POST = do_PUT = do_DELETE = _refuse

        def _answer(self, status: int, content_type: str, body: bytes, etag: str = "") -> None:
            self.send_response(status)
            if content_type:
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
            if etag:
                self.send_header("ETag", etag)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: this is a lab."""

    return Handler


def _server_context(web_ca: WebCa, host: str) -> ssl.SSLContext:
    """A TLS context with a certificate for the host and `localhost`."""
    certificate, key = web_ca.issue([host, "localhost"] if host != "localhost" else [host])
    return _context_of(certificate, key)


def _context_of(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The ssl module loads keys from files only.
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(key + certificate)
        context.load_cert_chain(pair)
    return context
