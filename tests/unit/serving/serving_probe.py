"""The application that the tests serve: says what it was given, and waits where it is told to."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from bridge.model.errors import StartRefused
from bridge.model.own_svid import OwnSvid

Start = Callable[..., Any]


class Observer:
    """Remembers what the server saw, and lets a test wait for more of it."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []
        self.changed = threading.Condition()
        self.connections = -1

    def _note(self, *what: object) -> None:
        with self.changed:
            self.seen.append(what)
            self.changed.notify_all()

    def wait_for(self, *what: object, times: int = 1) -> None:
        """Return when `what` was seen so many times; fail after 10 s."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.seen.count(what) >= times, 10), (what, self.seen)

    def handshake_failed(self, listener: str, reason: str) -> None:
        self._note("handshake", listener, reason)

    def request_refused(self, listener: str, status: int, reason: str) -> None:
        self._note("refused", listener, status, reason)

    def certificate_loaded(self, kind: str, not_after: int) -> None:
        self._note("certificate", kind, not_after)

    def certificate_refused(self, kind: str, why: str) -> None:
        self._note("certificate refused", kind)

    def load(self, connections: int, requests: int) -> None:
        with self.changed:
            self.connections = connections
            self.changed.notify_all()

    def forget_load(self) -> None:
        """Make `wait_for_load` wait for what is told from now on."""
        with self.changed:
            self.connections = -1

    def wait_for_load(self, connections: int) -> None:
        """Return when so many connections are open; fail after 10 s. Told by the server once a second."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.connections == connections, 10), self.connections


class Probe:
    """A ServedApp. `gates` are events that requests to /wait/<name> wait for; `arrived` says who does."""

    def __init__(self) -> None:
        self.serving_observer = Observer()
        self.calls: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.arrived = threading.Semaphore(0)
        self.trusted: tuple[int, tuple[bytes, ...]] = (0, ())
        self.svid: OwnSvid | None = None

    def start(self) -> None:
        self.calls.append("start")

    def reload(self) -> None:
        self.calls.append("reload")

    def close(self) -> None:
        self.calls.append("close")

    def anchors(self) -> tuple[int, tuple[bytes, ...]]:
        return self.trusted

    def own_svid(self) -> OwnSvid | None:
        return self.svid

    def gate(self, name: str) -> threading.Event:
        return self.gates.setdefault(name, threading.Event())

    def metrics_wsgi(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"numbers"]

    def console_wsgi(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            self.arrived.release()
            assert self.gate("console").wait(20)
        told = {"served": "console", "bridge.listener": environ["bridge.listener"]}
        told |= {"uid": environ.get("bridge.peer_uid"), "chain": len(environ["bridge.peer_chain"])}
        told["scheme"] = environ["wsgi.url_scheme"]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]

    def wsgi(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/wait/"):
            self.arrived.release()
            assert self.gate(path.removeprefix("/wait/")).wait(10)
        if path == "/fail":
            raise RuntimeError("the application's own fault")
        if path == "/injection":
            start_response("200 OK", [("X-Echo", "a\r\nSet-Cookie: b")])
            return [b""]
        if path == "/large":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"x" * (8 * 1024 * 1024)]
        body = environ["wsgi.input"].read()
        told = {key: value for key, value in environ.items() if isinstance(value, str)}
        told["pid"] = os.getpid()
        told["body_sha256"] = hashlib.sha256(body).hexdigest()
        told["chain"] = [each.hex() for each in environ["bridge.peer_chain"]]
        told["raw"] = [
            [name.decode("latin-1"), value.decode("latin-1")] for name, value in environ["bridge.raw_headers"]
        ]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]


class FileProbe(Probe):
    """For a worker in another process: gates and calls are files in the folder that is the argument."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def _mark(self, what: str) -> None:
        (self.folder / f"{what}-{os.getpid()}").touch()

    def start(self) -> None:
        self._mark("start")

    def reload(self) -> None:
        self._mark("reload")

    def close(self) -> None:
        self._mark("close")

    def wsgi(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/pipe":
            # Reading end of a named pipe: opened, and so waited for, by the test.
            self._mark("arrived")
            (self.folder / parse_qs(environ["QUERY_STRING"])["name"][0]).read_bytes()
        return super().wsgi(environ, start_response)


def file_probe(argument: str) -> FileProbe:
    """A factory: the probe of a folder."""
    return FileProbe(Path(argument))


def refusing(argument: str) -> FileProbe:
    """A factory that finds its configuration wrong."""
    raise StartRefused([f"{argument}: first fault", "second fault"])


class RefusingAtStart(FileProbe):
    """Finds only when it starts that it cannot."""

    def start(self) -> None:
        self._mark("start")
        raise StartRefused([f"{self.folder.name}: no certificate"])


def refusing_at_start(argument: str) -> FileProbe:
    """A factory: one that cannot start."""
    return RefusingAtStart(Path(os.environ["SERVING_TEST_FOLDER"]))


def crashing(argument: str) -> FileProbe:
    """A factory with a fault of its own."""
    raise RuntimeError("broken")


def note_exit(pid: int) -> None:
    """What the parent calls when a worker ended."""
    Path(os.environ["SERVING_TEST_FOLDER"], f"exited-{pid}").touch()
