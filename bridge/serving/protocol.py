"""HTTP/1.1 on one connection: whole requests only, in bounded time and space.

In uvicorn's server and on its parser, but not its protocol: that one starts the application at the end
of the head and has no deadline and no cap for head or body, so that every method would have to be
replaced. Here the application is not asked before the last byte of a request is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import cast

from bridge.model.forwarding import CERTIFICATE_HEADER, PROXY_CLAIM, ProxyClaim
from bridge.serving import answers
from bridge.serving.adapter import Outcome
from bridge.serving.answers import Answer, BadAnswer, Refusal, answer_of, render
from bridge.serving.context import ConnectionContext
from bridge.serving.gone import GONE
from bridge.serving.options import ListenerKind
from bridge.serving.peer import address_of, peer_chain, peer_uid
from bridge.serving.proxies import source_address
from bridge.serving.reader import Exchange, Phase, RequestReader
from bridge.serving.request import environ_of_connection, environ_of_request, split_target

LOG = logging.getLogger("bridge.serving")

# What is read and thrown away after a refusal, at most, in bytes.
_LINGER_BYTES = 1024 * 1024
# How long a connection on which nothing was asked yet may still do so while the worker drains, in seconds.
_DRAIN_GRACE = 1.0


class WholeRequestProtocol(asyncio.Protocol):
    """One connection. Everything happens on the loop."""

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context
        self._loop = context.loop
        self._deadlines = context.deadlines
        self._reader = RequestReader(context.caps, take=self._take, go_on=self._go_on)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._serving: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._refusal: Refusal | None = None  # to be given when the requests before it are answered
        self._timer: asyncio.TimerHandle | None = None
        self._timed: Phase | None = None
        self._due = 0.0
        self._when_due: Callable[[], None] | None = None
        self._lingered = 0
        self._unread = False  # the client leaves our answers in the buffer
        self._draining = False
        self.answered = 0
        self.waiting_since = self._loop.time()

    # What the server asks.

    @property
    def is_serving(self) -> bool:
        """Whether a whole request is here whose answer is not written yet."""
        return self._serving is not None

    def shutdown(self) -> None:
        """Drain: finish what has begun, then close. Called by uvicorn's server."""
        self._draining = True
        if self._serving is not None or self._reader.phase is not Phase.IDLE or self._transport.is_closing():
            return
        if self.answered:
            self._close()
        else:
            # Connected a moment ago, perhaps with a request on its way.
            self._arm(None, _DRAIN_GRACE, self._close)

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done, or there is none."""
        self._transport = cast("asyncio.Transport", transport)
        context = self._context
        context.book.enter(self)
        self._client = address_of(transport.get_extra_info("peername"))
        server = address_of(transport.get_extra_info("sockname"))
        self._environ = environ_of_connection(scheme=context.scheme, server=server, client=self._client)
        self._environ["bridge.listener"] = str(context.kind)
        chain = peer_chain(transport) if context.asks_certificate else ()
        self._environ["bridge.peer_chain"] = chain
        if context.kind is ListenerKind.CONSOLE and (uid := peer_uid(transport)) is not None:
            self._environ["bridge.peer_uid"] = uid
        self._may_be = context.senders.headers_by_id(self._client[0]) if chain else {}
        header = context.senders.header_of(self._client[0])
        self._speaks_for_others = header is not None
        if header is not None:
            self._environ[CERTIFICATE_HEADER] = header
        if context.book.draining:
            self.shutdown()
        else:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for the answer any more: what no thread has begun will not be."""
        self._context.book.leave(self)
        self._disarm()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._reader.release()
        self._queue.clear()
        if self._serving is not None and self._serving.job is not None:
            self._serving.job.abandoned = True
        # It holds the TLS object, and this object in its turn: a circle of fifty kilobytes for the collector.
        self._transport = GONE

    def eof_received(self) -> bool:
        """A client may close its sending side and still want its answer (TLS has no such half)."""
        self._reader.end()
        if self._serving is None or self._context.scheme == "https":
            return False
        self._disarm()
        return True

    def pause_writing(self) -> None:
        """The client does not read what it asked for. It gets `write` seconds, and no further request."""
        self._unread = True
        self._transport.pause_reading()
        self._arm(None, self._deadlines.write, self._transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        self._unread = False
        self._disarm()
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._settle()

    def data_received(self, data: bytes) -> None:
        """Feed the reader, then see what is due."""
        reader = self._reader
        if reader.has_ended():
            self._linger(len(data))
            return
        refusal = reader.feed(data)
        if refusal is not None:
            self._refuse(refusal)
        elif reader.has_ended() and self._serving is None:
            self._close()
        else:
            self._settle()

    # From requests to answers.

    def _go_on(self) -> None:
        # Behind an answer that is still to be written it could only be misread; such a client sends anyway.
        if self._serving is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take(self, exchange: Exchange) -> None:
        if self._serving is None:
            self._serve(exchange)
        elif len(self._queue) < self._context.caps.pipelined:
            self._queue.append(exchange)
            self._transport.pause_reading()
        else:
            self._reader.end()
            self._transport.abort()

    def _serve(self, exchange: Exchange) -> None:
        self._serving = exchange
        if self._transport.is_closing():
            return
        path, query = split_target(exchange.target)
        if not path.startswith(b"/"):
            self._deliver(answers.MALFORMED)
            return
        context = self._context
        if context.lane.is_full and path.decode("latin-1") not in context.health_paths:
            # Said before anything is made of the request: who is refused must cost next to nothing (L-8).
            self._deliver(answers.QUEUE_FULL)
            return
        environ = environ_of_request(
            self._environ,
            method=exchange.method,
            path=path,
            query=query,
            version=exchange.version,
            headers=exchange.headers,
            body=bytes(exchange.body),
        )
        environ["bridge.request_id"] = exchange.request_id
        if self._speaks_for_others:
            environ["REMOTE_ADDR"] = source_address(exchange.headers, self._client[0])
        if self._may_be:
            environ[PROXY_CLAIM] = ProxyClaim(self._may_be, source_address(exchange.headers, self._client[0]))
        exchange.job = context.lane_for(environ["PATH_INFO"]).submit(environ, self._deliver)
        if exchange.job is None:
            self._deliver(answers.QUEUE_FULL)

    def _deliver(self, outcome: Outcome) -> None:
        exchange, self._serving = self._serving, None
        if exchange is None:
            return
        # The reader keeps the exchange until the next one; nothing of the answer is to wait that long.
        exchange.job = None
        if self._transport.is_closing():
            return
        if isinstance(outcome, Refusal):
            self._note(outcome, exchange.request_id)
        close = not exchange.keep_alive or (self._draining and not self._queue)
        self._write(outcome, exchange, close=close)
        self.answered += 1
        self.waiting_since = self._loop.time()
        if close:
            self._close()
        elif self._queue:
            # Not by recursion: each may be refused at once in its turn.
            self._serving = self._queue.popleft()
            self._loop.call_soon(self._serve, self._serving)
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif not self._unread:
            self._transport.resume_reading()
            self._settle()

    def _write(self, outcome: Outcome, exchange: Exchange, *, close: bool) -> None:
        common, head_only = self._context.common_fields(), exchange.method == "HEAD"
        answer = outcome if isinstance(outcome, Answer) else answer_of(outcome, exchange.request_id)
        try:
            message = render(answer, request_id=exchange.request_id, common=common, close=close, head_only=head_only)
        except BadAnswer as error:
            LOG.error("the application failed", exc_info=error, extra={"request_id": exchange.request_id})
            self._note(answers.FAILED, exchange.request_id)
            answer = answer_of(answers.FAILED, exchange.request_id)
            message = render(answer, request_id=exchange.request_id, common=common, close=close, head_only=head_only)
        self._transport.write(message)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer the request that is being read with a refusal, behind those before it; then close."""
        self._reader.end()
        self._disarm()
        if self._serving is not None:
            self._refusal = refusal
            self._transport.pause_reading()
            return
        exchange = self._reader.current or Exchange()
        self._note(refusal, exchange.request_id)
        self._write(refusal, exchange, close=True)
        if refusal.sender_goes_on:
            self._transport.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._arm(None, self._deadlines.linger, self._close)
        else:
            self._close()

    def _note(self, refusal: Refusal, request_id: str) -> None:
        context = self._context
        kind = str(context.kind)
        context.observer.request_refused(kind, refusal.status.value, refusal.reason)
        context.lines.info(
            "request refused by the server",
            request_id=request_id,
            status=refusal.status.value,
            reason=refusal.reason,
            listener=kind,
            peer=self._client[0],
        )

    def _linger(self, size: int) -> None:
        self._lingered += size
        if self._lingered > _LINGER_BYTES:
            self._transport.abort()

    def _close(self) -> None:
        self._disarm()
        self._reader.end()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._arm(None, self._deadlines.write, self._transport.abort)

    # Deadlines: one timer, for whatever is waited for now. A timer costs the loop more than a look at the clock,
    # so one that runs already is let run: it starts itself anew when it finds that nothing is due yet.

    def _settle(self) -> None:
        """Have the deadline run that belongs to the phase; one that runs already is not prolonged."""
        phase = self._reader.phase
        if self._transport.is_closing() or self._unread:
            return
        if self._queue:
            # Not being read from: nothing can arrive in time.
            self._disarm()
        elif phase is Phase.IDLE:
            if self._serving is not None:
                self._disarm()
            elif self._timed is not Phase.IDLE and not self._reader.has_ended():
                patience = self._deadlines.keep_alive if self.answered else self._deadlines.head
                self._arm(Phase.IDLE, patience, self._close)
        elif self._timed is phase:
            return
        elif phase is Phase.HEAD:
            # A fresh connection has had part of its time already.
            spent = 0.0 if self.answered else self._loop.time() - self.waiting_since
            left = max(0.0, self._deadlines.head - spent)
            self._arm(phase, left, lambda: self._refuse(answers.HEAD_TOO_SLOW))
        else:
            self._arm(phase, self._deadlines.body, lambda: self._refuse(answers.BODY_TOO_SLOW))

    def _arm(self, phase: Phase | None, seconds: float, then: Callable[[], None]) -> None:
        self._timed = phase
        self._due = self._loop.time() + seconds
        self._when_due = then
        if self._timer is not None:
            if self._timer.when() <= self._due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._ring)

    def _disarm(self) -> None:
        self._timed = self._when_due = None

    def _ring(self) -> None:
        self._timer = None
        then = self._when_due
        if then is None:
            return
        left = self._due - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._ring)
        else:
            self._disarm()
            then()
