"""Pages and clients for a browser to visit, each on a port of its own, in this process."""

from __future__ import annotations

import io
import queue
import ssl
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from bridge.lab.web_ca import WebCa


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class ServedApplication:
    """A WSGI application over TLS. It is handed in once its address, and so its issuer, is known."""

    def __init__(self, folder: Path, *, now: int) -> None:
        self._server = Threaded(("127.0.0.1", 0), Quiet)
        chain, key = WebCa(now=now).issue(["127.0.0.1", "localhost"])
        pem = folder / "server.pem"
        pem.write_bytes(chain + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.origin = f"https://127.0.0.1:{self._server.server_port}"

    def start(self, app: WSGIApplication) -> None:
        def whole(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            # As the service's own server does it: the body is there, and ends.
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
            return app(environ, start_response)

        self._server.set_app(whole)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Client:
    """A client on this machine: it keeps the queries that browsers bring back to it. `page` is what it shows at `/`."""

    def __init__(self, *, address: str = "127.0.0.1") -> None:
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.page = "<!doctype html><title>client</title><p>client"
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/callback"):
                    served.answers.put(self.path.partition("?")[2])
                body = served.page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        server = type("Server", (ThreadingHTTPServer,), {"address_family": 10 if ":" in address else 2})
        self._server = server((address, 0), Handler)
        host = f"[{address}]" if ":" in address else address
        self.origin = f"http://{host}:{self._server.server_port}"
        self.callback = f"{self.origin}/callback"

    def __enter__(self) -> Client:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
