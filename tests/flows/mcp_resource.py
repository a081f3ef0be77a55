"""The outer side of an MCP server: enough of one for the SDK's clients to find their authorization server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def mcp_resource(issuer: str) -> Iterator[str]:
    """Serve it on a free port; the URL, which is also its name as a resource. It shows the token it is given."""
    handler = type("Resource", (_Resource,), {"issuer": issuer})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/mcp"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Resource(BaseHTTPRequestHandler):
    """An MCP server's outer side: 401 with the way to its authorization server, 200 with a token."""

    issuer = ""

    def do_GET(self) -> None:
        base = f"http://127.0.0.1:{self.server.server_address[1]}"  # type: ignore[index]
        if self.path.startswith("/.well-known/oauth-protected-resource"):
            self._answer(200, {"resource": f"{base}/mcp", "authorization_servers": [self.issuer]})
        elif self.headers.get("Authorization", "").startswith("Bearer "):
            self._answer(200, {"token": self.headers["Authorization"].removeprefix("Bearer ")})
        else:
            location = f'Bearer resource_metadata="{base}/.well-known/oauth-protected-resource/mcp"'
            self._answer(401, {}, ("WWW-Authenticate", location))

    def _answer(self, status: int, body: object, *headers: tuple[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""
