"""The load tool for requests that hang on the answer before: a code is redeemed when it is there.

As `load`, one process and one thread with raw TLS sockets, in a closed loop: every connection goes through its own
chain again and again. What counts is a chain that came to its end, and the time from its first request to its last
answer.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.bench.connection import Connection, Target
from tests.bench.load import GOOD, PATIENCE, Outcome

# Requests out, whole answers in; the end says whether every answer was as it should be.
Steps = Generator[bytes, bytes, bool]


class Chain(Protocol):
    """What one connection does. Travels to the load tool's own process."""

    def steps(self) -> Steps:
        """Go through it once more."""
        ...


@dataclass(frozen=True, slots=True)
class ChainPlan:
    """As `load.Plan`: each of the `chains` has a connection of its own."""

    target: Target
    chains: Sequence[Chain]
    seconds: float = 8.0
    warm_up: float = 2.0
    cores: frozenset[int] | None = None


class ChainDriver:
    """Drives one plan; see `load.Driver`."""

    def __init__(self, plan: ChainPlan) -> None:
        self._plan = plan
        if plan.cores is not None:
            os.sched_setaffinity(0, plan.cores)
        self._poll = select.epoll()
        self._open = [Connection(plan.target, place) for place in range(len(plan.chains))]
        self._by_descriptor = {connection.descriptor: connection for connection in self._open}
        for connection in self._open:
            self._poll.register(connection.descriptor, select.EPOLLIN)
        self._under_way: dict[int, Steps] = {}
        self._counted = Outcome()

    def run(self, seconds: float) -> Outcome:
        """Begin chains for so long, then wait for those that are under way."""
        self._counted = Outcome()
        began, cpu = time.perf_counter(), time.process_time()
        until = began + seconds
        for connection in self._open:
            self._begin(connection)
        while self._under_way and time.perf_counter() < until + PATIENCE:
            for descriptor, _ in self._poll.poll(1.0):
                connection = self._by_descriptor[descriptor]
                if connection.place in self._under_way and self._take(connection) and time.perf_counter() < until:
                    self._begin(connection)
        self._counted.elapsed = time.perf_counter() - began
        self._counted.cpu = time.process_time() - cpu
        self._counted.broken += len(self._under_way)
        return self._counted

    def close(self) -> None:
        """Drop all connections."""
        for connection in self._open:
            connection.close()
        self._poll.close()

    def _begin(self, connection: Connection) -> None:
        steps = self._under_way[connection.place] = self._plan.chains[connection.place].steps()
        connection.ask(next(steps), time.perf_counter())

    def _take(self, connection: Connection) -> bool:
        """Whether the chain is at its end. A connection that broke is not opened again: it is an error each."""
        answer = connection.take()
        if answer is None:
            return False
        status, _ = answer
        if status == 0:
            del self._under_way[connection.place]
            self._counted.broken += 1
            self._poll.unregister(connection.descriptor)
            return False
        try:
            connection.ask(self._under_way[connection.place].send(connection.answer), connection.due)
        except StopIteration as end:
            del self._under_way[connection.place]
            self._count(status, time.perf_counter() - connection.due, is_good=end.value)
            return True
        return False

    def _count(self, status: int, latency: float, *, is_good: bool) -> None:
        if is_good:
            self._counted.statuses[200] += 1
            self._counted.latencies.append(latency)
        elif status in GOOD:
            self._counted.broken += 1
        else:
            self._counted.statuses[status] += 1
