"""A small OpenID provider over TLS, for sign-in: real discovery, real codes with PKCE, real signatures.

It does what a provider has to do, and checks its client as one has to. What a test changes is one of the attributes
at the top; everything else stays right, so that a refusal has one reason.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt

from bridge.jose.keys import SigningKey
from bridge.lab.web_ca import WebCa

CLIENT_ID, SECRET = "bridge", "s3cret & more/+:~ü"
FORM = "application/x-www-form-urlencoded"


def _unchanged(value: dict[str, Any]) -> dict[str, Any]:
    return value


@dataclass
class _Code:
    request: Mapping[str, str]
    used: bool = False


@dataclass
class Conduct:
    """What a test changes. `algorithms` are announced; `client_keys` verify an assertion of the client."""

    subject: str = "248289761001"
    metadata: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    claims: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    header: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    token_answer: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    jwks: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    redirect: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    status: int = 200
    client_keys: Callable[[], Mapping[str, Any]] | None = None


class OpenIdProvider:
    """One provider with one client, which has either a secret or keys."""

    def __init__(self, folder: Path, *, redirect_uri: str = "https://as.example.org/sign-in/callback") -> None:
        self.conduct = Conduct()
        self.redirect_uri = redirect_uri
        self.key = SigningKey.generate("ES256", "key-1")
        # What was asked, by path.
        self.asked: list[str] = []
        self.assertions: list[Mapping[str, Any]] = []
        self._codes: dict[str, _Code] = {}
        ca = WebCa(now=int(time.time()))
        chain, key = ca.issue(["127.0.0.1"])
        self.ca_file = folder / "provider-ca.pem"
        self.ca_file.write_bytes(ca.certificate_pem)
        pem = folder / "provider.pem"
        pem.write_bytes(chain + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.issuer = f"https://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> OpenIdProvider:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- what it says ---------------------------------------------------------------------------

    def metadata(self) -> dict[str, Any]:
        method = "client_secret_basic" if self.conduct.client_keys is None else "private_key_jwt"
        return self.conduct.metadata(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
                "token_endpoint_auth_methods_supported": [method],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def jwks(self) -> dict[str, Any]:
        return self.conduct.jwks({"keys": [self.key.public_jwk()]})

    def visit(self, url: str) -> str:
        """A browser comes with our request, its user signs in, and is sent back: where to (RFC 6749 section 4.1)."""
        parts = urlsplit(url)
        assert url.startswith(f"{self.issuer}/authorize?tenant=1&"), url
        request = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
        assert request["client_id"] == CLIENT_ID
        assert request["redirect_uri"] == self.redirect_uri
        assert request["response_type"] == "code"
        assert request["code_challenge_method"] == "S256"
        assert "openid" in request["scope"].split()
        assert len(request["state"]) >= 43
        assert len(request["nonce"]) >= 43
        code = secrets.token_urlsafe(16)
        self._codes[code] = _Code(request)
        answer = self.conduct.redirect({"code": code, "state": request["state"]})
        return f"{request['redirect_uri']}?{urlencode(answer)}"

    def token(self, form: Mapping[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        """The token endpoint."""
        if not self._is_the_client(form, authorization):
            return 401, {"error": "invalid_client", "error_description": "nicht unser Schlüssel"}
        code = self._codes.get(form.get("code", ""))
        if code is None or code.used or form.get("redirect_uri") != self.redirect_uri:
            return 400, {"error": "invalid_grant"}
        code.used = True
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if challenge.rstrip(b"=").decode() != code.request["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = self.conduct.claims(
            {
                "iss": self.issuer,
                "sub": self.conduct.subject,
                "aud": CLIENT_ID,
                "exp": now + 300,
                "iat": now,
                "nonce": code.request["nonce"],
                "name": "Alice Adams",
            }
        )
        id_token = self.key.sign(self.conduct.header({"typ": "JWT"}), claims)
        return 200, self.conduct.token_answer(
            {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 300, "id_token": id_token}
        )

    def _is_the_client(self, form: Mapping[str, str], authorization: str | None) -> bool:
        methods = self.metadata().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "private_key_jwt" in methods:
            return authorization is None and self._asserts(form)
        if "client_secret_basic" in methods:
            if authorization is None or "client_secret" in form:
                return False
            client_id, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            return (unquote_plus(client_id), unquote_plus(secret)) == (CLIENT_ID, SECRET)
        return authorization is None and (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, SECRET)

    def _asserts(self, form: Mapping[str, str]) -> bool:
        assert self.conduct.client_keys is not None
        if form["client_assertion_type"] != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            return False
        assertion = form["client_assertion"]
        kid = jwt.get_unverified_header(assertion)["kid"]
        keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(dict(self.conduct.client_keys())).keys}
        try:
            claims = jwt.decode(
                assertion,
                keys[kid].key,
                algorithms=["ES256"],
                audience=self.issuer,
                issuer=CLIENT_ID,
                options={"require": ["exp", "iat", "jti", "sub"]},
            )
        except jwt.InvalidTokenError:
            return False
        self.assertions.append(claims)
        return claims["sub"] == CLIENT_ID


def _handler(provider: OpenIdProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked.append(self.path)
            pages = {"/.well-known/openid-configuration": provider.metadata, "/jwks": provider.jwks}
            if self.path in pages:
                self._answer(provider.conduct.status, pages[self.path]())
            else:
                self._answer(404, {})

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            assert self.headers["Content-Type"] == FORM
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}
            self._answer(*provider.token(form, self.headers.get("Authorization")))

        def _answer(self, status: int, said: Mapping[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Handler
