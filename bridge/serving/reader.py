"""Bytes in, whole requests out: the parser's callbacks, and the caps on what a request may be.

On uvicorn's parser (httptools, which is llhttp in its strict mode). Knows nothing of sockets or time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import Enum
from typing import NoReturn

import httptools

from bridge.serving import answers
from bridge.serving.adapter import Job
from bridge.serving.answers import Refusal
from bridge.serving.options import Caps
from bridge.serving.request import BadFraming, Headers, body_length, expects_continue

# Framing of a chunked body may cost this many times what it carries: `1 CRLF x CRLF` is six for one.
_CHUNK_OVERHEAD = 8


class Phase(Enum):
    """What is waited for from the client: a request's first byte, the rest of its head, of its body."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"


class Exchange:
    """One request, from its first byte to its answer. `request_id` cannot be guessed: 88 random bits."""

    __slots__ = ("body", "head_size", "headers", "job", "keep_alive", "method", "request_id", "target", "version")

    def __init__(self) -> None:
        self.request_id = secrets.token_hex(11)
        self.method = ""
        self.version = "1.1"
        self.target = b""
        self.headers: Headers = []
        self.head_size = 0
        self.body = bytearray()
        self.keep_alive = False
        self.job: Job | None = None


class _Stop(Exception):
    """Raised inside a parser callback to end parsing; the parser wraps it in an error of its own."""


class RequestReader:
    """The requests of one connection, in order.

    `take` gets each request when its last byte is here; `go_on` is called when a client waits for
    `100 Continue`.
    """

    def __init__(self, caps: Caps, *, take: Callable[[Exchange], None], go_on: Callable[[], None]) -> None:
        self._caps = caps
        self._take = take
        self._go_on = go_on
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: Refusal | None = None
        self._begun = 0
        self._raw = 0  # bytes of an unfinished head or body, as far as they came in pieces of their own
        self._last: Exchange | None = None
        self.phase = Phase.IDLE
        self.current: Exchange | None = None
        self._ended = False

    def feed(self, data: bytes) -> Refusal | None:
        """Parse what came. Gives the refusal of the request being read, if it has to be refused."""
        before, begun = self.phase, self._begun
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Another protocol is asked for and not spoken here: the request itself is answered, then no more.
            self._ended = True
            if self._last is not None:
                self._last.keep_alive = False
        except httptools.HttpParserError:
            if not self._ended:
                self._refusal = self._refusal or answers.MALFORMED
        if self._refusal is None:
            self._refusal = self._judge_pieces(before, begun, len(data))
        if self._refusal is not None:
            self.end()
        return self._refusal

    def has_ended(self) -> bool:
        """Whether nothing more will be read: the last request closes the connection, or something was refused."""
        return self._ended

    def end(self) -> None:
        """Read nothing more."""
        self._ended = True
        self.phase = Phase.IDLE

    def release(self) -> None:
        """Let go of the parser, which refers back to this object, and of whoever is told."""
        self.end()
        self._parser = self._last = None
        self._take = self._go_on = _nobody

    def _judge_pieces(self, before: Phase, begun: int, size: int) -> Refusal | None:
        """Caps on what is not whole yet, so that a header that never ends is not collected."""
        if self.phase is before and self._begun == begun:
            self._raw += size
        elif self.phase is Phase.HEAD and before is Phase.IDLE and self._begun == begun + 1:
            self._raw = size
        if self.phase is Phase.HEAD and self._raw > self._caps.head:
            return answers.HEAD_TOO_LARGE
        if self.phase is Phase.BODY and self._raw > _CHUNK_OVERHEAD * self._caps.body:
            return answers.BODY_TOO_LARGE
        return None

    # What the parser calls.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._ended:
            raise _Stop
        self.phase = Phase.HEAD
        self._begun += 1
        self._raw = 0
        self.current = Exchange()

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        exchange = self._exchange()
        exchange.target += url
        self._count(exchange, len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field, or one of a trailer, which nothing here has a use for."""
        exchange = self._exchange()
        if self.phase is Phase.BODY:
            self._stop(answers.FRAMING)
        exchange.headers.append((name.lower(), value))
        self._count(exchange, len(name) + len(value) + 4)
        if len(exchange.headers) > self._caps.fields:
            self._stop(answers.HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The head is whole: refuse now what its length or its framing forbids."""
        exchange = self._exchange()
        exchange.method = self._parser.get_method().decode("ascii")
        exchange.version = self._parser.get_http_version()
        if exchange.version not in ("1.0", "1.1") or exchange.method == "CONNECT":
            self._stop(answers.MALFORMED)
        try:
            length = body_length(exchange.headers, exchange.version)
        except BadFraming:
            self._stop(answers.FRAMING)
        if length is not None and length > self._caps.body:
            self._stop(answers.BODY_TOO_LARGE)
        exchange.keep_alive = exchange.version == "1.1" and self._parser.should_keep_alive()
        self.phase = Phase.BODY
        self._raw = 0
        if length != 0 and expects_continue(exchange.headers, exchange.version):
            self._go_on()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        exchange = self._exchange()
        exchange.body += body
        if len(exchange.body) > self._caps.body:
            self._stop(answers.BODY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """The request is whole."""
        exchange = self._exchange()
        self._last = exchange
        self.current = None
        self.phase = Phase.IDLE
        if not exchange.keep_alive:
            self._ended = True
        self._take(exchange)

    def _exchange(self) -> Exchange:
        if self.current is None:
            raise _Stop
        return self.current

    def _count(self, exchange: Exchange, size: int) -> None:
        exchange.head_size += size
        if exchange.head_size > self._caps.head:
            self._stop(answers.HEAD_TOO_LARGE)

    def _stop(self, refusal: Refusal) -> NoReturn:
        self._refusal = refusal
        raise _Stop


def _nobody(*_: object) -> None:
    """Told, and does nothing."""
