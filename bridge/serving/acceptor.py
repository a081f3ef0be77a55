"""Taking connections from a listening socket: in turns with the other workers, up to a cap, with a
deadline for the handshake, and every failed handshake counted and logged."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

from bridge.serving.context import ConnectionContext
from bridge.serving.handshakes import NoCertificate, handshake_fault
from bridge.serving.peer import address_of
from bridge.serving.protocol import WholeRequestProtocol

# How many more connections than another worker this one may have before it leaves the next to it (beside an
# eighth of what the other has), for how long, in seconds: some time slices of a busy machine, in which the
# other wakes up. And how many it takes when the other has not taken any by then.
_LEAD = 1
_STEP_BACK = 0.003
_AFTER_STEP_BACK = 2
# How long to leave the listening socket alone when the process is out of descriptors, in seconds.
_OUT_OF_DESCRIPTORS = 0.5
# The loop counts its timers in milliseconds from a time it read a while ago, so one may end early by its own clock.
_TIMER_SLACK = 0.05
# So much of what the library says of a handshake goes into the log.
_MOST_SAID = 200


class Acceptor:
    """One listening socket of one worker. Looks like an asyncio server to uvicorn: close, wait_closed.

    `secure` gives the TLS context for the next connection, or None while there is none: it is closed then. For a
    listener without TLS it is None itself.
    """

    def __init__(
        self,
        listening: socket.socket,
        context: ConnectionContext,
        secure: Callable[[], ssl.SSLContext | None] | None,
    ) -> None:
        self._listening = listening
        self._context = context
        self._loop = context.loop
        self._book = context.book
        self._secure = secure
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to take connections."""
        self._loop.add_reader(self._listening.fileno(), self._readable)

    def close(self) -> None:
        """Take no more. What waits in the kernel is left to the other workers."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listening.fileno())
            if self._pause is not None:
                self._pause.cancel()

    async def wait_closed(self) -> None:
        """Nothing to wait for: handshakes are tasks of the worker, and waited for as such."""

    def _readable(self) -> None:
        least = self._book.least_elsewhere()
        if len(self._book) > least + least // 8 + _LEAD:
            self._leave_alone(_STEP_BACK, least)
        else:
            self._take(1)

    def _leave_alone(self, seconds: float, least: int) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._pause = self._loop.call_later(seconds, self._return, least)

    def _return(self, least: int) -> None:
        """Listen again; take what is there at once when the others did not use their turn."""
        self._pause = None
        if self._closed:
            return
        self._loop.add_reader(self._listening.fileno(), self._readable)
        if self._book.least_elsewhere() <= least:
            self._take(_AFTER_STEP_BACK)

    def _take(self, at_most: int) -> None:
        for _ in range(at_most):
            try:
                connection, name = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self._leave_alone(_OUT_OF_DESCRIPTORS, 0)
                return
            if not self._book.make_room():
                connection.close()
                continue
            connection.setblocking(False)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._book.begin_handshake(self._loop.create_task(self._open(connection, name)), self._loop.time())

    async def _open(self, connection: socket.socket, name: object) -> None:
        began = self._loop.time()
        patience = self._context.deadlines.handshake
        try:
            if self._secure is None:
                await self._loop.connect_accepted_socket(self._protocol, connection)
            else:
                await self._loop.connect_accepted_socket(
                    self._protocol,
                    connection,
                    ssl=self._context_for(connection),
                    ssl_handshake_timeout=patience,
                    ssl_shutdown_timeout=self._context.deadlines.linger,
                )
                # Nothing follows from our side here, so the kernel would keep its acknowledgement of the
                # client's last flight back for 40 ms, and with it the request of a client that waits for it.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except (OSError, ValueError) as error:
            self._failed(error, name, timed_out=self._loop.time() - began >= patience - _TIMER_SLACK)
        except asyncio.CancelledError:
            # Dropped to make room, or at the end of the drain: an answer nobody waits for.
            self._failed(ConnectionAbortedError(), name, timed_out=False)

    def _context_for(self, connection: socket.socket) -> ssl.SSLContext:
        context = None if self._secure is None else self._secure()
        if context is None:
            connection.close()
            raise NoCertificate
        return context

    def _protocol(self) -> WholeRequestProtocol:
        return WholeRequestProtocol(self._context)

    def _failed(self, error: OSError | ValueError, name: object, *, timed_out: bool) -> None:
        reason = handshake_fault(error, timed_out=timed_out)
        kind = str(self._context.kind)
        peer, detail = address_of(name)[0], str(error)[:_MOST_SAID]
        self._context.lines.info("TLS handshake failed", listener=kind, reason=reason, detail=detail, peer=peer)
        self._context.observer.handshake_failed(kind, reason)
