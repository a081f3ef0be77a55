"""A client that says exactly what it is told to, byte by byte, on real sockets."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Connection:
    """One connection. Every wait ends after 10 seconds."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, *, session: ssl.SSLSession | None = None) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket: Any = tls.wrap_socket(raw, server_hostname="localhost", session=session) if tls else raw
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, path: str = "/", **fields: str) -> Reply:
        """A whole GET and its answer."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        return self.read()

    def read(self, *, head_only: bool = False) -> Reply:
        """One answer."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert len(headers) == len(lines), f"a repeated field in {lines}"
        length = 0 if head_only else int(headers.get("content-length", "0"))
        self._buffer = rest
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Reply(int(status.split()[1]), headers, body)

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server closed the connection")
        self._buffer += data

    def wait_until_closed(self) -> bytes:
        """Read until the server closes; gives what came before that."""
        try:
            while data := self.socket.recv(65536):
                self._buffer += data
        except (ConnectionResetError, ssl.SSLEOFError):
            pass
        return self._buffer

    def peer_der(self) -> bytes:
        """The server's certificate."""
        return self.socket.getpeercert(True)
