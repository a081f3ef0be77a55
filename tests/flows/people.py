"""A service where people sign in, as a process of its own; documents of clients, and the lab's resource behind it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bridge.lab.resource import ProtectedResource
from tests.flows.browser import Page, over_tls
from tests.flows.client import Client
from tests.flows.documented import Shelf
from tests.flows.mcp_resource import catalogue_entry, grant, mcp_resource
from tests.flows.stand import CATALOGUE, Stand
from tests.unit.fetch.tls_server import CA

CODES = 'grant_types = ["authorization_code", "refresh_token"]'
ALL = 'grant_types = ["authorization_code", "refresh_token", "client_credentials"]'


def rules(base: str, resource: ProtectedResource) -> str:
    """Who may come with documents below this origin."""
    kinds = {"desktop": CODES, "service": ALL, "pushing": f"{CODES}, require_par = true"}
    return 'version = 1\nsource = "metadata-document"\n' + "".join(
        f'[[rule]]\nid = "{kind}"\nwhy = "clients that other people wrote"\neffect = "allow"\n'
        f'when = {{ url = "{base}/{kind}/*" }}\n{grant(resource, more)}'
        for kind, more in kinds.items()
    )


@dataclass(frozen=True)
class House:
    """The parts of it."""

    stand: Stand
    shelf: Shelf
    resource: ProtectedResource

    def browser(self) -> Person:
        """A person with a browser of their own."""
        return Person(self.stand.client)


@contextmanager
def house(folder: Path, **options: Any) -> Iterator[House]:
    """Everything up; `options` are those of the resource."""
    shelf = Shelf()
    fetch = f'[fetch]\nallow_hosts = ["127.0.0.1:{shelf.server.port}"]\nca_file = "tls/documents.pem"\n'
    stand = Stand(folder, more=fetch + '[users]\nsource = "development"\n', workers=1)
    try:
        (folder / "tls/documents.pem").write_bytes(CA.certificate_pem)
        with mcp_resource(stand.client.issuer, folder / "tls/ca.pem", **options) as resource:
            (stand.policies / "catalogue.toml").write_text(CATALOGUE + catalogue_entry(resource))
            (stand.policies / "metadata-documents.toml").write_text(rules(shelf.base, resource))
            with stand:
                yield House(stand, shelf, resource)
    finally:
        shelf.close()


class Person:
    """Opens what a client asks to have opened, signs in, approves, and follows the redirect to the client."""

    def __init__(self, client: Client) -> None:
        self._origin = client.issuer
        self._browser = over_tls(client)
        self.asked: list[Page] = []

    def open(self, url: str, button: str = "approve") -> str:
        """Visit the URL, press the button if a consent page comes, and bring the answer to the client; its URL."""
        assert url.startswith(self._origin + "/")
        page = self._browser.visit(url.removeprefix(self._origin))
        if page.status == 200:
            self.asked.append(page)
            page = self._browser.decide(page, button)
        assert page.status == 303, (page.status, page.text)
        went = page.location or ""
        parts = urlsplit(went)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}")
            assert connection.getresponse().status == 200
        finally:
            connection.close()
        return went


@dataclass
class Callback:
    """A native application's loopback listener on a port that nobody knew before."""

    came: list[str] = field(default_factory=list)

    def __enter__(self) -> Callback:
        came = self.came

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                came.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/callback"
