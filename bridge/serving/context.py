"""What connections of one worker share, and its log lines about strangers, bounded in number."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.serving.adapter import Lane
from bridge.serving.book import Book
from bridge.serving.options import Caps, Deadlines, ListenerKind
from bridge.serving.proxies import Senders
from bridge.serving.served import ServingObserver

LOG = logging.getLogger("bridge.serving")


class BoundedLines:
    """Log lines that strangers can cause, at most `per_second`; how many were left out is said later.

    Counters see everything: this only keeps a flood of bad requests from becoming a flood of lines.
    """

    def __init__(self, per_second: int = 50, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._second = 0
        self._written = 0
        self._left_out = 0

    def info(self, message: str, **fields: object) -> None:
        """Write one line with `fields` as its extra attributes, unless this second had enough."""
        second = int(self._clock())
        if second != self._second:
            if self._left_out:
                LOG.warning("lines about refused requests and handshakes left out: %d", self._left_out)
            self._second, self._written, self._left_out = second, 0, 0
        if self._written >= self._per_second:
            self._left_out += 1
            return
        self._written += 1
        LOG.info(message, extra=fields)


@dataclass(slots=True)
class WorkerState:
    """What changes and is shared by all connections of a worker. Belongs to the loop.

    `date` is the field line that every answer carries, renewed each second.
    """

    book: Book
    date: bytes = b""
    lines: BoundedLines = field(default_factory=BoundedLines)


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What a connection of one listener needs to know of its worker. `asks_certificate`: the handshake asked for a
    client certificate."""

    kind: ListenerKind
    scheme: str
    loop: asyncio.AbstractEventLoop
    caps: Caps
    deadlines: Deadlines
    observer: ServingObserver
    state: WorkerState
    lane: Lane
    health_lane: Lane
    health_paths: tuple[str, ...]
    senders: Senders
    asks_certificate: bool = False

    @property
    def book(self) -> Book:
        """Where connections are entered."""
        return self.state.book

    @property
    def lines(self) -> BoundedLines:
        """Where to write of requests that were refused."""
        return self.state.lines

    def common_fields(self) -> bytes:
        """Field lines that every answer carries."""
        return self.state.date

    def lane_for(self, path: str) -> Lane:
        """The threads that answer this path: health is asked on a lane of its own."""
        return self.health_lane if path in self.health_paths else self.lane
