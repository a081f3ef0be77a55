"""All that is open in one worker: connections and handshakes, on all listeners, and the cap on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.serving.balance import LoadBoard

if TYPE_CHECKING:
    from bridge.serving.protocol import WholeRequestProtocol


class Book:
    """Belongs to the loop. `draining` says that the worker is on its way out and takes no more."""

    def __init__(self, board: LoadBoard, place: int, cap: int) -> None:
        self._board = board
        self._place = place
        self._cap = cap
        self.connections: set[WholeRequestProtocol] = set()
        self.handshakes: dict[asyncio.Task[None], float] = {}
        self.draining = False

    def __len__(self) -> int:
        return len(self.connections) + len(self.handshakes)

    def enter(self, connection: WholeRequestProtocol) -> None:
        """A connection can be asked for something from now on."""
        self.connections.add(connection)
        self.post()

    def leave(self, connection: WholeRequestProtocol) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        self.post()

    def begin_handshake(self, task: asyncio.Task[None], now: float) -> None:
        """A connection was accepted; it is in its handshake until `task` ends. `now`: the loop's time."""
        self.handshakes[task] = now
        task.add_done_callback(self._end_handshake)
        self.post()

    def _end_handshake(self, task: asyncio.Task[None]) -> None:
        del self.handshakes[task]
        self.post()

    def post(self) -> None:
        """Let the other workers see how much is open here."""
        if self.draining:
            self._board.vacate(self._place)
        else:
            self._board.write(self._place, len(self))

    def least_elsewhere(self) -> int:
        """How much is open in the worker that has the least, this one left out."""
        return self._board.least_elsewhere(self._place)

    def make_room(self) -> bool:
        """Drop a sixteenth of the cap if it is reached. False: all are being served, there is no room.

        Those go that wait for their client: first ones on which nothing was ever answered, the oldest of
        them first. What is being served is never dropped.
        """
        if len(self) < self._cap:
            return True
        waiting: list[tuple[bool, float, Callable[[], object]]] = [
            (connection.answered > 0, connection.waiting_since, connection.abort)
            for connection in self.connections
            if not connection.is_serving
        ]
        waiting += [(False, since, task.cancel) for task, since in self.handshakes.items()]
        waiting.sort(key=lambda entry: entry[:2])
        for _, _, drop in waiting[: max(1, self._cap // 16)]:
            drop()
        return bool(waiting)
