"""A client that can also misbehave: any header, any body, a certificate or none."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bridge.lab.x509 import X509Svid

JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"
SECONDS = 20.0
Fields = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.content)
        return parsed

    @property
    def error(self) -> str:
        return str(self.body.get("error"))

    @property
    def token(self) -> str:
        assert self.status == 200, (self.status, self.content)
        return str(self.body["access_token"])

    @property
    def claims(self) -> dict[str, Any]:
        return decode(self.token, 1)


def decode(token: str, part: int) -> dict[str, Any]:
    """Header (0) or payload (1) of a JWS, unverified."""
    text = token.split(".")[part]
    parsed: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return parsed


class Client:
    """Opens a connection per call unless used through `keep_alive`."""

    def __init__(self, *, port: int, mtls_port: int, ca: Path) -> None:
        self.issuer = f"https://127.0.0.1:{port}"
        self.port, self.mtls_port, self._ca = port, mtls_port, ca

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        svid: X509Svid | None = None,
        mtls: bool = False,
    ) -> Answer:
        connection = self.connect(svid, mtls=mtls)
        try:
            return self.exchange(connection, method, path, body=body, headers=headers)
        finally:
            connection.close()

    def connect(self, svid: X509Svid | None = None, *, mtls: bool = False) -> http.client.HTTPSConnection:
        """A connection; with an SVID, or `mtls`, to the listener that asks for certificates."""
        context = ssl.create_default_context(cafile=str(self._ca))
        if svid is not None:
            with tempfile.TemporaryDirectory() as folder:
                chain, key = svid.write(Path(folder))
                context.load_cert_chain(chain, key)
        port = self.mtls_port if svid is not None or mtls else self.port
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)

    @staticmethod
    def exchange(
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        *,
        body: bytes | str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        content = body.encode() if isinstance(body, str) else body
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if content is not None:
            connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def post(
        self,
        path: str,
        fields: Fields | Mapping[str, str],
        *,
        svid: X509Svid | None = None,
        mtls: bool = False,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
        typed = [("Content-Type", FORM), *headers]
        return self.request("POST", path, body=urlencode(pairs), headers=typed, svid=svid, mtls=mtls)

    def by_jwt(self, assertion: str, *, headers: Sequence[tuple[str, str]] = (), **fields: str) -> Answer:
        """`client_credentials` with a JWT-SVID."""
        return self.post("/token", jwt_fields(assertion, **fields), headers=headers)

    def by_x509(self, svid: X509Svid, *, headers: Sequence[tuple[str, str]] = (), **fields: str) -> Answer:
        """`client_credentials` with an X.509-SVID."""
        asked = {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id), **fields}
        return self.post("/token", {k: v for k, v in asked.items() if v}, svid=svid, headers=headers)


def jwt_fields(assertion: str, **fields: str) -> dict[str, str]:
    """The form of a token request that authenticates by JWT-SVID."""
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": JWT_SPIFFE,
        "client_assertion": assertion,
        **fields,
    }
