"""One keep-alive TLS connection of the load tool: bytes out, whole answers in."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from functools import cache

_SECONDS = 20.0
_AT_ONCE = 32 * 1024
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Target:
    """A listener of the service. `identities` are PEM files (chain, key) for client certificates, dealt
    out to connections in turn; empty for none."""

    port: int
    ca: str
    identities: tuple[tuple[str, str], ...] = ()


@cache
def _context(ca: str, identity: tuple[str, str] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if identity is not None:
        context.load_cert_chain(*identity)
    return context


class Connection:
    """Connects and shakes hands when made. `due` is when the request under way was due; `place` its number.
    `is_asked`: a request is under way."""

    def __init__(self, target: Target, place: int) -> None:
        identity = target.identities[place % len(target.identities)] if target.identities else None
        plain = socket.create_connection(("127.0.0.1", target.port), timeout=_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = _context(target.ca, identity).wrap_socket(plain, server_hostname="127.0.0.1")
        self._socket.setblocking(False)
        self._received = b""
        self.descriptor = self._socket.fileno()
        self.is_open = True
        self.is_asked = False
        self.place = place
        self.due = 0.0

    def ask(self, request: bytes, due: float) -> None:
        """Send a request. It is small: a socket whose buffer is full counts as broken, at the next `take`."""
        self.due = due
        self.is_asked = True
        self._received = b""
        try:
            self._socket.send(request)
        except OSError:
            self.is_open = False
            # Wakes whoever waits for the answer.
            self._socket.shutdown(socket.SHUT_RD)

    def take(self) -> tuple[int, bool] | None:
        """Status, and whether a `Retry-After` is missing, once the answer is whole. Status 0: broken."""
        try:
            data = self._socket.recv(_AT_ONCE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError:
            data = b""
        if not data:
            self.is_open = self.is_asked = False
            return 0, True
        received = self._received = self._received + data if self._received else data
        head = received.find(_END_OF_HEAD)
        if head < 0:
            return None
        status = int(received[9:12])
        fields = received[:head].lower()
        length = fields.index(b"content-length: ") + 16
        end = fields.find(b"\r", length)
        whole = head + 4 + int(fields[length : end if end >= 0 else None])
        if len(received) < whole:
            return None
        self.is_asked = False
        if b"\r\nconnection: close" in fields:
            self.is_open = False
        return status, b"\r\nretry-after: " not in fields

    @property
    def local_port(self) -> int:
        """This end's."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def answer(self) -> bytes:
        """The last answer, head and body, as it came."""
        return self._received

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
