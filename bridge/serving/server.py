"""One worker's server: uvicorn's, with listeners of our own and a drain that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import ssl
import threading
import time
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.lifespan.off import LifespanOff
from uvicorn.server import Server

from bridge.serving.acceptor import Acceptor
from bridge.serving.adapter import Lane
from bridge.serving.balance import LoadBoard
from bridge.serving.book import Book
from bridge.serving.context import ConnectionContext, WorkerState
from bridge.serving.kept_certificate import CertificateFiles, CertificateFromAgent, KeptCertificate
from bridge.serving.options import ListenerKind, ServingOptions
from bridge.serving.rotation import TlsKeeper
from bridge.serving.served import ServedApp, observer_of
from bridge.serving.sockets import Listener

LOG = logging.getLogger("bridge.serving")

# Threads and room of the lanes beside the main one.
_SIDE_THREADS = 2
_SIDE_WAITING = 32
_SIDE_PATIENCE = 5.0


async def _no_asgi(scope: object, receive: object, send: object) -> None:
    raise NotImplementedError("requests go to the WSGI application")


def uvicorn_config(options: ServingOptions) -> Config:
    """uvicorn's part of the settings. It logs through the standard library and writes no access log."""
    return Config(
        _no_asgi,
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=options.workers,
        timeout_graceful_shutdown=max(1, math.ceil(options.deadlines.drain)),
    )


class WorkerServer(Server):
    """Serves one application on several listeners, each with its own TLS.

    `ready` is called once everything listens. SIGTERM and SIGINT drain; SIGHUP makes the application
    reload and certificates be looked at again, and `reloaded` is called when that is done.
    """

    def __init__(
        self,
        config: Config,
        options: ServingOptions,
        app: ServedApp,
        listeners: Sequence[Listener],
        *,
        board: LoadBoard,
        place: int,
        ready: Callable[[], None],
        reloaded: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._options = options
        self._app = app
        self._listeners = listeners
        self._ready, self._reloaded = ready, reloaded
        self._observer = observer_of(app)
        self._book = Book(board, place, options.caps.connections)
        self._state = WorkerState(self._book)
        self._lanes: list[Lane] = []
        self.drained = False  # whether all that had begun was answered at the end
        self._reloading: asyncio.Task[None] | None = None
        self._tls = self._keeper()

    def _keeper(self) -> TlsKeeper | None:
        options, files, svid = self._options, None, None
        if options.certificate is not None and options.private_key is not None:
            files = KeptCertificate(
                CertificateFiles(options.certificate, options.private_key), self._observer, time.time
            )
        if options.own_svid:
            svid = KeptCertificate(CertificateFromAgent(self._app.own_svid), self._observer, time.time)
        plain, asking = files or svid, svid or files
        if plain is None:
            return None
        console = options.speaks_tls(ListenerKind.CONSOLE)
        asks = options.asks_certificate(ListenerKind.CONSOLE)
        return TlsKeeper(
            plain=plain if options.listen is not None or (console and not asks) else None,
            asking=asking if options.mtls_listen is not None else None,
            # Shown to browsers, which know a host's name and no SPIFFE ID.
            console=plain if asks else None,
            anchors=self._app.anchors,
            poll=options.poll,
        )

    async def _serve(self, sockets: Any = None) -> None:
        # uvicorn's own would import an ASGI application first; there is none.
        self.lifespan = LifespanOff(self.config)
        await self.startup()
        await self.main_loop()
        await self.shutdown()

    async def startup(self, sockets: Any = None) -> None:
        """Load certificates, make the lanes, listen. Raises: StartRefused."""
        if self._tls is not None:
            self._tls.load()
            self._tls.start()
        await self.on_tick(0)
        main = self._lane(self._app.wsgi, "bridge-web", self._options.threads, self._options.caps.waiting)
        side = self._lane(self._app.wsgi, "bridge-health", _SIDE_THREADS, _SIDE_WAITING)
        acceptors = []
        for listener in self._listeners:
            context = self._context(listener, self._lane_of(listener.kind, main), side)
            acceptors.append(Acceptor(listener.socket, context, self._secure(listener)))
        self._book.post()
        for acceptor in acceptors:
            acceptor.start()
        # What uvicorn closes when it drains, and waits for.
        self.servers = cast("list[asyncio.base_events.Server]", acceptors)
        self.server_state.connections = cast("Any", self._book.connections)
        self.started = True
        self._ready()

    def _lane(self, app: Any, name: str, threads: int, waiting: int) -> Lane:
        patience = self._options.deadlines.queue if name == "bridge-web" else _SIDE_PATIENCE
        loop = asyncio.get_running_loop()
        lane = Lane(app, name=name, loop=loop, threads=threads, waiting=waiting, patience=patience)
        self._lanes.append(lane)
        return lane

    def _lane_of(self, kind: ListenerKind, main: Lane) -> Lane:
        """What operators look at has threads of its own, and few: however they look, tokens go on."""
        if kind is ListenerKind.METRICS:
            return self._lane(self._app.metrics_wsgi or self._app.wsgi, "bridge-metrics", _SIDE_THREADS, _SIDE_WAITING)
        if kind is ListenerKind.CONSOLE:
            return self._lane(self._app.console_wsgi, "bridge-console", _SIDE_THREADS, _SIDE_WAITING)
        return main

    def _context(self, listener: Listener, lane: Lane, health_lane: Lane) -> ConnectionContext:
        for_operators = listener.kind in (ListenerKind.METRICS, ListenerKind.CONSOLE)
        return ConnectionContext(
            kind=listener.kind,
            scheme="https" if self._options.speaks_tls(listener.kind) else "http",
            loop=asyncio.get_running_loop(),
            caps=self._options.caps,
            deadlines=self._options.deadlines,
            observer=self._observer,
            state=self._state,
            lane=lane,
            health_lane=health_lane,
            health_paths=() if for_operators else self._options.health_paths,
            senders=listener.senders,
            asks_certificate=self._options.asks_certificate(listener.kind),
        )

    def _secure(self, listener: Listener) -> Callable[[], ssl.SSLContext | None] | None:
        if self._tls is None or not self._options.speaks_tls(listener.kind):
            return None
        if not self._options.asks_certificate(listener.kind):
            return self._tls.plain
        return self._tls.console if listener.kind is ListenerKind.CONSOLE else self._tls.mtls

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: the date for answers, and how much is going on."""
        ending = await super().on_tick(counter)
        self._state.date = b"".join(b"Date: %b\r\n" % value for name, value in self.server_state.default_headers)
        if counter % 10 == 0 and self.started:
            self._book.post()
            self._observer.load(len(self._book), sum(lane.open_jobs for lane in self._lanes))
        return ending

    def reload(self) -> None:
        """Have the application and the certificates looked at again. Called on the loop; does not wait."""
        if self._tls is not None:
            self._tls.wake()
        loop = asyncio.get_running_loop()
        previous = self._reloading

        async def reload() -> None:
            if previous is not None:
                await asyncio.wait([previous])
            await loop.run_in_executor(None, self._app.reload)
            if self._tls is not None:
                self._tls.wake()

        self._reloading = loop.create_task(reload())
        self._reloading.add_done_callback(self._after_reload)

    def _after_reload(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            LOG.error("reload failed", exc_info=task.exception())
        # Of several that follow each other, the last one answers for all.
        if task is self._reloading:
            self._reloaded()

    async def shutdown(self, sockets: Any = None) -> None:
        """Drain: take no more, answer what has begun, at most `drain` seconds; then let the app finish."""
        LOG.info("ending", extra={"connections": len(self._book)})
        self._book.draining = True
        self._book.post()
        await super().shutdown()
        for connection in list(self._book.connections):
            connection.abort()
        idle = [lane.close() for lane in self._lanes]
        if self._tls is not None:
            await asyncio.to_thread(self._tls.close)
        await asyncio.to_thread(self._app.close)
        self.drained = all(idle)
        LOG.info("ended", extra={"all_answered": self.drained})

    async def _wait_tasks_to_complete(self) -> None:
        # A handshake that was under way becomes a connection, and its request is answered too.
        while (self._book.connections or self._book.handshakes) and not self.force_exit:
            await asyncio.sleep(0.05)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """As uvicorn's, but the signal is not raised again at the end: a drained worker exits with 0. Outside
        the main thread, where Python delivers no signals, nothing is captured."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGTERM, signal.SIGINT)}
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)
        try:
            yield
        finally:
            for sig, handler in handlers.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain. A second SIGINT gives up on it."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
