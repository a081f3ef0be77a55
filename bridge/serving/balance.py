"""How many connections each worker has, in memory that all share, so that they take turns.

All workers wait on the same listening sockets: a worker that dies leaves no queue of clients behind.
But whoever is awake first takes a connection, and of 16 keep-alive connections one worker got up to 16.
"""

from __future__ import annotations

from multiprocessing import get_context
from typing import Any

# What a place holds while no worker serves in it: nobody waits for that one.
_VACANT = 2**31 - 1


class LoadBoard:
    """One number per worker, written by that worker alone while it lives. Made by the parent; picklable
    only on the way into a new process. No lock: a number that is a moment old does no harm."""

    def __init__(self, places: int) -> None:
        self._counts: Any = get_context("spawn").RawArray("i", [_VACANT] * places)

    def write(self, place: int, connections: int) -> None:
        """Say how many connections the worker in `place` has."""
        self._counts[place] = connections

    def vacate(self, place: int) -> None:
        """Say that nobody serves in `place`."""
        self._counts[place] = _VACANT

    def least_elsewhere(self, place: int) -> int:
        """The fewest connections that any other serving worker has; a huge number when there is no other."""
        counts = self._counts[:]
        counts[place] = _VACANT
        return int(min(counts))
