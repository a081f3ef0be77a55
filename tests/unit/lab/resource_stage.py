"""An authorization server of twenty lines, the lab's resource in front of it, and tokens for it, good and bad."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from bridge.lab.resource import ProtectedResource, ResourceOptions

NOW = 1_800_000_000
SHOP = "spiffe://example.org/ns/web/sa/shop"
Signer = ECKey | RSAKey
MESSAGE = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami"}}


def key(kid: str, kind: str = "EC") -> Signer:
    if kind == "RSA":
        return RSAKey.generate_key(2048, {"kid": kid, "alg": "RS256", "use": "sig"})
    return ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256", "use": "sig"})


class Issuer:
    """Metadata and keys over plain http on loopback. `asked` counts what was fetched; `answers` replaces it."""

    def __init__(self, path: str = "") -> None:
        self.keys: list[Signer] = [key("one")]
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                status, body = outer.answers.get(self.path) or outer.answer(self.path)
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.url = self.base + path
        self.well_known = "/.well-known/oauth-authorization-server" + path
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, path: str) -> tuple[int, bytes]:
        if path == self.well_known:
            return 200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.base}/jwks"}).encode()
        if path in ("/jwks", "/elsewhere"):
            return 200, json.dumps({"keys": [one.as_dict(private=False) for one in self.keys]}).encode()
        return 404, b"{}"

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: dict[str, Any]

    @property
    def challenges(self) -> list[str]:
        return self.headers.get_all("WWW-Authenticate", [])

    @property
    def error(self) -> str:
        return str(self.body.get("error", ""))

    @property
    def caller(self) -> dict[str, Any]:
        told: dict[str, Any] = self.body["result"]["structuredContent"]
        return told


class Stage:
    """One issuer and one resource whose clock the test holds."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, trust: ssl.SSLContext | None = None, **more: Any) -> None:
        self.now = NOW
        self.issuer = Issuer()
        self._trust = trust
        options = ResourceOptions(issuer=self.issuer.url, tls=tls, certificates=tls is not None, **more)
        self.resource = ProtectedResource(options, clock=lambda: self.now).start()

    def close(self) -> None:
        self.resource.stop()
        self.issuer.close()

    def token(
        self, signer: ECKey | RSAKey | None = None, header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """An access token as the service makes them; claims and header members given replace the right ones,
        None leaves them out."""
        signer = signer or self.issuer.keys[0]
        head = {"typ": "at+jwt", "alg": signer.alg, "kid": signer.kid, **(header or {})}
        body = {
            "iss": self.issuer.url, "aud": self.resource.identifier, "sub": SHOP, "client_id": SHOP, "jti": "j",
            "scope": "tools.list tools.call", "client_token": True,
            "iat": self.now, "nbf": self.now, "exp": self.now + 300,
        } | claims  # fmt: skip
        head, body = ({name: each for name, each in part.items() if each is not None} for part in (head, body))
        return jwt.encode(head, body, signer, algorithms=[str(head["alg"])])

    def call(
        self,
        *headers: tuple[str, str],
        message: object = MESSAGE,
        method: str = "POST",
        path: str | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request with these headers."""
        connection = self.connect()
        try:
            content = json.dumps(message).encode() if body is None else body
            connection.putrequest(method, path or self.resource.path)
            if method == "POST" and "Transfer-Encoding" not in dict(headers):
                connection.putheader("Content-Length", str(len(content)))
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(content if method == "POST" else None)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, json.loads(answer.read() or b"{}"))
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        host, port = "127.0.0.1", int(self.resource.base.rpartition(":")[2])
        if self._trust is None:
            return http.client.HTTPConnection(host, port, timeout=10)
        return http.client.HTTPSConnection(host, port, timeout=10, context=self._trust)

    def bearer(self, token: str, *more: tuple[str, str], **options: Any) -> Answer:
        return self.call(("Authorization", f"Bearer {token}"), *more, **options)

    def dpop(self, token: str, *proofs: str, **options: Any) -> Answer:
        headers: Sequence[tuple[str, str]] = [("DPoP", proof) for proof in proofs]
        return self.call(("Authorization", f"DPoP {token}"), *headers, **options)


def sha256(value: bytes | str) -> str:
    """base64url SHA-256, as `ath` and `x5t#S256` are written."""
    raw = value.encode() if isinstance(value, str) else value
    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
