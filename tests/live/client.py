"""An OAuth client of the standard library: what a workload sends, and what came back."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.live.identities import X509Svid

JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ANSWER_SECONDS = 20.0


class RefusedInHandshake(Exception):
    """The server would not finish TLS with this certificate, so there is no HTTP answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. `body` is the parsed JSON object, empty when there was none."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def granted(self) -> bool:
        return self.status == 200 and "access_token" in self.body

    @property
    def request_id(self) -> str:
        """The correlation id, under which the audit log has the exact reason."""
        return self.headers["x-request-id"]

    @property
    def claims(self) -> dict[str, Any]:
        """The access token's claims, its signature not looked at."""
        return part(str(self.body["access_token"]), 1)


def part(token: str, index: int) -> dict[str, Any]:
    """Header (0) or payload (1) of a compact JWS, unverified."""
    text = token.split(".")[index]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


class Connection:
    """One TLS connection that stays open: all its requests are answered by the same worker."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_SECONDS, context=context)

    def post(self, path: str, fields: Mapping[str, str]) -> Answer:
        """POST a form. Raises: RefusedInHandshake."""
        return self.ask("POST", path, urlencode(fields))

    def ask(self, method: str, path: str, body: str | None = None) -> Answer:
        """One request and its whole answer. Raises: RefusedInHandshake."""
        try:
            self._connection.request(method, path, body, FORM if body is not None else {})
            response = self._connection.getresponse()
            content = response.read()
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
            # With TLS 1.3 the server's alert about our certificate arrives after our own part of the handshake.
            raise RefusedInHandshake(str(error)) from error
        headers = {name.lower(): value for name, value in response.getheaders()}
        is_json = headers.get("content-type", "").startswith("application/json")
        return Answer(response.status, json.loads(content) if is_json else {}, headers)

    def close(self) -> None:
        """End it."""
        self._connection.close()


class OAuthClient:
    """Speaks to one service over its two TLS listeners; every call is a connection of its own."""

    def __init__(self, *, port: int, mtls_port: int, ca_file: Path) -> None:
        self.issuer = f"https://127.0.0.1:{port}"
        self._port, self._mtls_port, self._ca_file = port, mtls_port, ca_file

    def get(self, path: str) -> Answer:
        with closing(self.open()) as connection:
            return connection.ask("GET", path)

    def post(self, path: str, fields: Mapping[str, str], svid: X509Svid | None = None) -> Answer:
        """POST a form; with an X.509-SVID over the listener that asks for one. Raises: RefusedInHandshake."""
        with closing(self.open(svid)) as connection:
            return connection.post(path, fields)

    def open(self, svid: X509Svid | None = None) -> Connection:
        """A connection to keep; with an X.509-SVID to the listener that asks for one. Connects at its first request."""
        return Connection(self._port if svid is None else self._mtls_port, self._context(svid))

    def token_by_jwt(self, assertion: str, **fields: str) -> Answer:
        """`client_credentials` with a JWT-SVID."""
        return self.post("/token", jwt_request(assertion, **fields))

    def token_by_x509(self, svid: X509Svid, **fields: str) -> Answer:
        """`client_credentials` with an X.509-SVID over mTLS. Raises: RefusedInHandshake."""
        return self.post("/token", x509_request(svid, **fields), svid)

    def server_certificate(self, *, mtls: bool = False) -> bytes:
        """The certificate that a new connection gets, DER."""
        address = ("127.0.0.1", self._mtls_port if mtls else self._port)
        with (
            socket.create_connection(address, ANSWER_SECONDS) as raw,
            self._context().wrap_socket(raw, server_hostname=address[0]) as connection,
        ):
            return connection.getpeercert(binary_form=True) or b""

    def _trusting(self) -> ssl.SSLContext:
        """Whom it trusts to be the service: whoever has a certificate of the lab's web CA for its address."""
        return ssl.create_default_context(cafile=str(self._ca_file))

    def _context(self, svid: X509Svid | None = None) -> ssl.SSLContext:
        context = self._trusting()
        if svid is not None:
            # The ssl module reads certificates from files only; this one is gone before the call returns.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(svid.key_pem + svid.chain_pem)
                file.flush()
                context.load_cert_chain(file.name)
        return context


def jwt_request(assertion: str, **fields: str) -> dict[str, str]:
    """The form that asks for a token with a JWT-SVID."""
    return {"grant_type": "client_credentials", **assertion_fields(assertion), **fields}


def x509_request(svid: X509Svid, **fields: str) -> dict[str, str]:
    """The form that asks for a token beside an X.509-SVID."""
    return {"grant_type": "client_credentials", "client_id": svid.spiffe_id, **fields}


def assertion_fields(assertion: str) -> dict[str, str]:
    """The form fields that authenticate a client by JWT-SVID."""
    return {"client_assertion_type": JWT_SPIFFE, "client_assertion": assertion}
