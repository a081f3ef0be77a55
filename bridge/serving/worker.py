"""One worker process, seen from both sides: what the parent holds of it, and what runs in it."""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Process

from bridge.model.errors import StartRefused
from bridge.serving.balance import LoadBoard
from bridge.serving.options import ServingOptions
from bridge.serving.served import ServedApp, resolve
from bridge.serving.server import WorkerServer
from bridge.serving.sockets import Listener

# Descriptors of a worker that are not connections: store, bundles, log, loop.
_OTHER_DESCRIPTORS = 512
# After how many new objects the collector looks at the youngest, and how much rarer at the older ones.
_COLLECT = (20_000, 20, 50)
# What the parent says to a worker.
_GO, _PING = b"go", b"ping"


class WorkerProcess(Process):
    """A worker. It loads its code at once and makes the application when the parent says `go`. The parent asks for a
    sign of life; the worker sends `("alive", None)`, once `("ready", None)`, `("reloaded", None)` after a SIGHUP, or
    `("faults", texts)` and ends."""

    def __init__(
        self, config: Config, options: ServingOptions, listeners: Sequence[Listener], board: LoadBoard, place: int
    ) -> None:
        super().__init__(config, [])
        self.options = options
        self.listeners = listeners
        self.board = board
        self.place = place
        self.ready = False
        self.reloading = False  # was told to and has not said yet that it is done
        self.mute = False  # its end of the pipe is closed: it is about to end
        self.faults: tuple[str, ...] = ()
        self.started_at = 0.0
        self.last_sign = 0.0

    # In the parent.

    def start(self) -> None:
        """Start the process."""
        super().start()
        # The child's end is the child's alone from here on, so that its death is seen as an end of file.
        self.child_conn.close()
        self.started_at = self.last_sign = time.monotonic()

    def release(self) -> None:
        """Have it make the application: all that it needs is in place."""
        self.last_sign = time.monotonic()
        self._say(_GO)

    def read_signs(self) -> None:
        """Take in what the worker has said since."""
        try:
            while self.parent_conn.poll(0):
                kind, texts = self.parent_conn.recv()
                self.last_sign = time.monotonic()
                self.ready = self.ready or kind == "ready"
                self.reloading = self.reloading and kind != "reloaded"
                if kind == "faults":
                    self.faults = texts
        except (OSError, EOFError):
            self.mute = True

    def ask_for_sign(self) -> None:
        """Have the worker say that it lives; the answer comes with `read_signs`."""
        self._say(_PING)

    def _say(self, what: bytes) -> None:
        try:
            self.parent_conn.send(what)
        except OSError:
            return

    def is_hung(self, now: float) -> bool:
        """Whether it has been silent for longer than a worker may be."""
        limit = self.options.deadlines.silence if self.ready else self.options.deadlines.start
        return now - self.last_sign > limit

    # In the child.

    def target(self, sockets: Any = None) -> None:
        """Build the application, serve until told to end. Ends the process."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self.parent_conn.close()
        signs = Signs(self.child_conn)
        signs.start()
        try:
            drained = self._run(signs)
        except StartRefused as refused:
            signs.send("faults", refused.faults)
            sys.exit(STARTUP_FAILURE)
        if not drained:
            # Threads that are stuck in a request would be waited for at a normal exit.
            logging.getLogger("bridge.serving").error("requests were still at work at the end of the drain")
            logging.shutdown()
            os._exit(1)

    def _run(self, signs: Signs) -> bool:
        _raise_descriptor_limit(self.options.caps.connections + _OTHER_DESCRIPTORS)
        make = resolve(self.options.factory)
        signs.go.wait()
        app: ServedApp = make(self.options.argument)
        try:
            app.start()
        except StartRefused:
            app.close()
            raise
        # What is here now stays: the collector need not look at it again and again. What comes later is mostly
        # caches that grow, and a look at all of them stops every request for up to a tenth of a second; requests
        # and connections leave next to nothing that only the collector could free.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        server = WorkerServer(
            self.config,
            self.options,
            app,
            self.listeners,
            board=self.board,
            place=self.place,
            ready=lambda: signs.send("ready"),
            reloaded=lambda: signs.send("reloaded"),
        )
        try:
            server.run()
        except StartRefused:
            # Its threads would keep this process from ending.
            app.close()
            raise
        return server.drained


class Signs:
    """The worker's end of the pipe: answers the parent, and drains the worker when the parent is gone. `go` is set when
    the parent has said so."""

    def __init__(self, pipe: Connection[Any, Any]) -> None:
        self.go = threading.Event()
        self._pipe = pipe
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to listen to the parent."""
        threading.Thread(target=self._listen, name="bridge-parent", daemon=True).start()

    def send(self, kind: str, texts: tuple[str, ...] | None = None) -> None:
        """Tell the parent, if it is still there."""
        with self._lock:
            try:
                self._pipe.send((kind, texts))
            except OSError:
                return

    def _listen(self) -> None:
        while True:
            try:
                said = self._pipe.recv()
            except (OSError, EOFError):
                # The parent died or has let go of us: without it nobody could end or replace this worker.
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if said == _GO:
                self.go.set()
            else:
                self.send("alive")


def _raise_descriptor_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
