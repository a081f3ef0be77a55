"""Real TLS servers on loopback that answer as they are told, also as no server should."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.fetch.addresses import Address
from bridge.fetch.connecting import tls_context
from bridge.fetch.failures import DocumentFailure, DocumentFault
from bridge.lab.web_ca import WebCa

HOST = "docs.example"
DAY = 24 * 3600
CA = WebCa(now=int(time.time()))
# Everything of this one ended a month ago.
OLD_CA = WebCa(now=int(time.time()) - 60 * DAY)
Answer = Callable[[ssl.SSLSocket], None]


def trusting(*authorities: WebCa) -> ssl.SSLContext:
    """A client's context as the service makes it, with these CAs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ca.pem"
        file.write_bytes(b"".join(authority.certificate_pem for authority in authorities))
        return tls_context(str(file))


def http(body: bytes = b'{"a": 1}', status: str = "200 OK", *, length: int | None = None, **headers: str) -> bytes:
    """An answer; `headers` with `_` for `-`, a value None leaves nothing out."""
    fields = {"content_type": "application/json", "content_length": str(len(body) if length is None else length)}
    fields |= headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


def sends(data: bytes) -> Answer:
    return lambda stream: stream.sendall(data)


@dataclass
class TlsServer:
    """Accepts connections on `address`, reads a request's head, and calls `answer` with the stream.

    `requests` are the heads that came, `connections` counts what reached the port at all.
    """

    answer: Answer = field(default_factory=lambda: sends(http()))
    address: str = "127.0.0.1"
    port: int = 0
    hosts: Sequence[str] = (HOST, "127.0.0.1", "::1")
    authority: WebCa = CA
    # Whether the end of the answer is TLS's own.
    says_goodbye: bool = True
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    ending: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._listener = socket.create_server((self.address, self.port), family=family)
        self.port = self._listener.getsockname()[1]
        self.prove()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        # Wakes the accepting thread, which closing alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def prove(self, hosts: Sequence[str] | None = None, authority: WebCa | None = None) -> None:
        """Have a new certificate, of its own names and CA where nothing else is said."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate, key = (authority or self.authority).issue(self.hosts if hosts is None else hosts)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "server.pem"
            file.write_bytes(certificate + key)
            context.load_cert_chain(file)
        self._context = context

    def url(self, path: str = "/client.json", host: str = HOST) -> str:
        return f"https://{host}:{self.port}{path}"

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(plain,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(10)
        with plain, contextlib.suppress(OSError, ValueError):
            with self._context.wrap_socket(plain, server_side=True) as stream:
                head = b""
                while b"\r\n\r\n" not in head and (data := stream.recv(4096)):
                    head += data
                self.requests.append(head)
                self.answer(stream)
                if self.says_goodbye:
                    stream.unwrap().close()


class Names:
    """A resolver with a fixed answer for each time it is asked; the last one is repeated."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers, self.asked = list(answers), list[tuple[str, int]]()

    def __call__(self, host: str, port: int, seconds: float) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class OnlyFirstLoopback:
    """A guard for whom 127.0.0.1 is the internet, and all other addresses are inner ones."""

    def check(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        if any(str(address) != "127.0.0.1" for address in addresses):
            raise DocumentFailure(DocumentFault.ADDRESS, "inner")
