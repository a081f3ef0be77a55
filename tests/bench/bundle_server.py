"""One process that serves the bundles of many trust domains, each at a path of its own, and remembers who asked when.

A process of its own, so that neither the service nor the load tool pays for it in their figures; on one thread, so
that it costs the machine they share as little as it can.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

_PATIENCE = 20.0
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Question:
    """One request that was answered: when, by the monotonic clock that all processes share; whose bundle was asked
    for; and how many connections were open then."""

    at: float
    name: str
    status: int
    open: int


class BundleServer:
    """The process, seen from the bench. `bodies` are the bundles by the name that is their path."""

    def __init__(self, certificate: Path, private_key: Path, bodies: Mapping[str, bytes]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(certificate, private_key, dict(bodies), theirs), name="bundle-server", daemon=True
        )
        self._process.start()
        theirs.close()
        self._port = self._receive()

    def url(self, name: str) -> str:
        """Where the bundle of this name is."""
        return f"https://127.0.0.1:{self._port}/{name}"

    def put(self, name: str, body: bytes) -> None:
        """From now on this is the bundle of that name."""
        self._ask(("put", name, body))

    def first_served(self, name: str) -> float | None:
        """When the present bundle of that name was first sent to anybody; None while it was not."""
        answer = self._ask(("served", name))
        assert answer is None or isinstance(answer, float)
        return answer

    def questions(self) -> list[Question]:
        """All questions since the last time, in their order."""
        answer = self._ask(("questions",))
        assert isinstance(answer, list)
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, command: tuple[object, ...]) -> object:
        self._pipe.send(command)
        return self._receive()

    def _receive(self) -> object:
        if not self._pipe.poll(_PATIENCE):
            raise AssertionError("the bundle server does not answer")
        return self._pipe.recv()


class _Server:
    """The same from inside."""

    def __init__(self, bodies: dict[str, bytes], pipe: Connection) -> None:
        self._bodies, self._pipe = bodies, pipe
        self._etags = {name: _etag(body) for name, body in bodies.items()}
        self._served: dict[str, float] = {}
        self._questions: list[Question] = []
        self._open = 0
        self._ended = asyncio.Event()

    async def run(self, certificate: Path, private_key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key)
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=context, backlog=_BACKLOG)
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._command)
        self._pipe.send(server.sockets[0].getsockname()[1])
        await self._ended.wait()

    def _command(self) -> None:
        try:
            kind, *words = self._pipe.recv()
        except (OSError, EOFError):
            self._ended.set()
            return
        answer: object = None
        if kind == "put":
            name, body = words
            self._bodies[name], self._etags[name] = body, _etag(body)
            self._served.pop(name, None)
        elif kind == "served":
            answer = self._served.get(words[0])
        else:
            answer, self._questions = self._questions, []
        self._pipe.send(answer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)
            writer.write(self._message(head.decode("ascii")))
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            # Whoever asked went away.
            return
        finally:
            self._open -= 1

    def _message(self, head: str) -> bytes:
        name = head.split(" ", 2)[1].removeprefix("/")
        body, etag = self._bodies.get(name, b""), self._etags.get(name, "")
        status = 200 if body else 404
        if etag and f"if-none-match: {etag}\r\n" in head.lower():
            status, body = 304, b""
        now = time.monotonic()
        if status == 200:
            self._served.setdefault(name, now)
        self._questions.append(Question(now, name, status, self._open))
        fields = f"HTTP/1.1 {status} Here\r\nConnection: close\r\nETag: {etag}\r\n"
        if status != 304:
            fields += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{fields}\r\n".encode("ascii") + body


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def _serve(certificate: Path, private_key: Path, bodies: dict[str, bytes], pipe: Connection) -> None:
    async def run() -> None:
        await _Server(bodies, pipe).run(certificate, private_key)

    asyncio.run(run())
