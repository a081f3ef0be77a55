"""The load tool: one process, one thread, raw TLS sockets, requests that are bytes before it starts.

It shares the machine with the service, so it does as little as it can: no HTTP library, no event loop
framework, a handful of calls per request. It measures its own CPU and says it with every outcome.

Closed loop: every connection sends its next request when it has the answer to the last. Open loop:
requests are due at fixed times whatever the service does, and latency counts from the time a request was
due, so that a service that stalls cannot hide it by slowing the load down.
"""

from __future__ import annotations

import os
import select
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.connection import Connection, Target

# A token, and a registration.
GOOD = (200, 201)
# How long answers are waited for after the last request of an open loop, in seconds.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask of whom. Travels to the load tool's own process.

    `requests` are whole HTTP messages. Where `own` is set, request n belongs to connection n and that
    connection sends no other (client certificates); else all connections draw from one line, which
    starts again at its end unless `once` is set. `rate` (requests a second) makes it an open loop. `anew`: each request
    has a connection of its own, which is made while nothing else is done.
    `warm_up` seconds are driven and not measured. `cores`: where the load tool may run.
    """

    target: Target
    requests: Sequence[bytes]
    connections: int = 16
    seconds: float = 8.0
    warm_up: float = 2.0
    rate: float | None = None
    once: bool = False
    own: bool = False
    anew: bool = False
    cores: frozenset[int] | None = None


@dataclass(slots=True)
class Outcome:
    """What came of a plan. Latencies in seconds: of successes, and of refusals (429, 503).

    `cpu` is the load tool's own, `elapsed` the measured time. `errors`: answers that are none of the
    above, or a broken connection. `unasked`: requests that were due and found no free connection until
    the end. `bare_refusals`: refusals without `Retry-After`.
    """

    elapsed: float = 0.0
    cpu: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))
    refusals: array[float] = field(default_factory=lambda: array("d"))
    bare_refusals: int = 0
    broken: int = 0
    unasked: int = 0

    @property
    def successes(self) -> int:
        return sum(self.statuses[status] for status in GOOD)

    @property
    def errors(self) -> int:
        refused = self.statuses[429] + self.statuses[503]
        return self.broken + sum(self.statuses.values()) - self.successes - refused

    @property
    def rate(self) -> float:
        """Successes a second."""
        return self.successes / self.elapsed if self.elapsed else 0.0

    def quantile(self, share: float, *, of_refusals: bool = False) -> float:
        """A latency that this share of the answers was within, in seconds; 0 without any."""
        values = sorted(self.refusals if of_refusals else self.latencies)
        return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


class Driver:
    """Drives one plan. `begin` is called when the warm-up is over, `end` when the last answer is here."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        if plan.cores is not None:
            os.sched_setaffinity(0, plan.cores)
        self._poll = select.epoll()
        self._open = [Connection(plan.target, place) for place in range(plan.connections)]
        self._by_descriptor = {connection.descriptor: connection for connection in self._open}
        for connection in self._open:
            self._poll.register(connection.descriptor, select.EPOLLIN)
        self._idle = deque(self._open)
        self._next = 0
        self._counted = Outcome()

    def run(self, seconds: float) -> Outcome:
        """Ask for so long, then wait for what is outstanding."""
        self._counted = Outcome()
        began, cpu = time.perf_counter(), time.process_time()
        if self._plan.rate is None:
            self._closed(began + seconds)
        else:
            self._open_loop(began, seconds, self._plan.rate)
        self._counted.elapsed = time.perf_counter() - began
        self._counted.cpu = time.process_time() - cpu
        return self._counted

    def close(self) -> None:
        """Drop all connections."""
        for connection in self._open:
            connection.close()
        self._poll.close()

    def _request(self, connection: Connection) -> bytes | None:
        requests = self._plan.requests
        if self._plan.own:
            return requests[connection.place % len(requests)]
        if self._next >= len(requests):
            if self._plan.once:
                return None
            self._next = 0
        self._next += 1
        return requests[self._next - 1]

    def _ask(self, connection: Connection, due: float) -> bool:
        request = self._request(connection)
        if request is None:
            return False
        connection.ask(request, due)
        return True

    def _closed(self, until: float) -> None:
        for connection in list(self._idle):
            if self._ask(connection, time.perf_counter()):
                self._idle.remove(connection)
        while len(self._idle) < len(self._open):
            for connection in self._answered(1.0):
                now = time.perf_counter()
                if now >= until or not self._ask(connection, now):
                    self._idle.append(connection)
            if time.perf_counter() > until + PATIENCE:
                break

    def _open_loop(self, began: float, seconds: float, rate: float) -> None:
        total, sent = int(seconds * rate), 0
        # Those that the service has closed while it was waited for the beginning are opened anew.
        self._answered(0)
        until = began + seconds + PATIENCE
        while (sent < total or len(self._idle) < len(self._open)) and time.perf_counter() < until:
            now = time.perf_counter()
            while sent < total and self._idle and began + sent / rate <= now:
                if not self._ask(self._idle[0], began + sent / rate):
                    total = sent
                    break
                self._idle.popleft()
                sent += 1
            wait = 1.0
            if sent < total and self._idle:
                wait = max(0.0, began + sent / rate - time.perf_counter())
            self._idle.extend(self._answered(wait))
        self._counted.unasked = total - sent

    def _answered(self, wait: float) -> list[Connection]:
        """Connections whose answer is whole, within `wait` seconds. A broken one is opened anew."""
        # epoll counts in milliseconds; select on its descriptor does not, and keeps the open loop punctual.
        if not select.select([self._poll], [], [], wait)[0]:
            return []
        done = []
        for descriptor, _ in self._poll.poll(0):
            connection = self._by_descriptor[descriptor]
            if not connection.is_asked:
                # Closed by the service while nothing was asked, which is its right.
                if connection.take() is not None:
                    self._idle[self._idle.index(connection)] = self._replace(connection)
                continue
            answer = connection.take()
            if answer is None:
                continue
            status, is_bare = answer
            self._count(status, time.perf_counter() - connection.due, is_bare=is_bare)
            if self._plan.anew or not connection.is_open:
                connection = self._replace(connection)
            done.append(connection)
        return done

    def _count(self, status: int, latency: float, *, is_bare: bool) -> None:
        counted = self._counted
        if status == 0:
            counted.broken += 1
            return
        counted.statuses[status] += 1
        if status in GOOD:
            counted.latencies.append(latency)
        elif status in (429, 503):
            counted.refusals.append(latency)
            counted.bare_refusals += is_bare

    def _replace(self, connection: Connection) -> Connection:
        self._poll.unregister(connection.descriptor)
        del self._by_descriptor[connection.descriptor]
        connection.close()
        fresh = Connection(self._plan.target, connection.place)
        self._open[connection.place] = fresh
        self._by_descriptor[fresh.descriptor] = fresh
        self._poll.register(fresh.descriptor, select.EPOLLIN)
        return fresh
