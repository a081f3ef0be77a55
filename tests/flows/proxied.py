"""What a proxy in front of the service says, spoken by a test: over its socket file, header by header."""

from __future__ import annotations

import base64
import http.client
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from bridge.lab.x509 import X509Svid
from tests.flows.client import FORM, SECONDS, Answer, Client

Headers = Sequence[tuple[str, str]]


class FileConnection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._path))


def sequence(der: bytes) -> str:
    """A byte sequence (RFC 8941)."""
    return f":{base64.b64encode(der).decode()}:"


def rfc_9440(chain: Sequence[bytes]) -> list[tuple[str, str]]:
    """`Client-Cert`, and `Client-Cert-Chain` where there are intermediates."""
    headers = [("Client-Cert", sequence(chain[0]))]
    if len(chain) > 1:
        headers.append(("Client-Cert-Chain", ", ".join(map(sequence, chain[1:]))))
    return headers


def pem(chain: Iterable[bytes]) -> str:
    """Percent-encoded PEM, as Envoy and nginx write it."""
    blocks = []
    for der in chain:
        text = base64.b64encode(der).decode()
        lines = "".join(f"{text[at : at + 64]}\n" for at in range(0, len(text), 64))
        blocks.append(f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
    return quote("".join(blocks), safe="")


def xfcc(chain: Sequence[bytes]) -> list[tuple[str, str]]:
    """`X-Forwarded-Client-Cert` with leaf and chain."""
    return [("X-Forwarded-Client-Cert", f'Hash=00;Cert="{pem(chain[:1])}";Chain="{pem(chain)}"')]


def ask(path: Path, fields: dict[str, str], headers: Headers = (), *, endpoint: str = "/token") -> Answer:
    """One POST through the proxy's socket."""
    connection = FileConnection(path)
    try:
        typed = [("Content-Type", FORM), *headers]
        return Client.exchange(connection, "POST", endpoint, body=urlencode(fields), headers=typed)
    finally:
        connection.close()


def token_by(path: Path, headers: Headers, svid: X509Svid) -> Answer:
    """`client_credentials` for an X.509-SVID that the headers state."""
    return ask(path, {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}, headers)
