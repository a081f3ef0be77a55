"""Under bad company: stalled handshakes and half-sent requests; more load than there is capacity."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from tests.bench.figure import Figure
from tests.bench.load import Plan
from tests.bench.process import drive
from tests.bench.service import Bench, running
from tests.bench.token_figures import WORKLOADS, quiet

HANDSHAKES, HALVES = 500, 200


class Stalled:
    """Connections that stop in the handshake, and requests of which only half arrives."""

    def __init__(self, bench: Bench) -> None:
        self._sockets: list[socket.socket] = []
        self._bench = bench

    def open(self) -> None:
        """Open them all. The service ends them at its deadlines; the figure is shorter than those."""
        target = self._bench.plain
        context = ssl.create_default_context(cafile=target.ca)
        for _ in range(HANDSHAKES):
            self._sockets.append(socket.create_connection(("127.0.0.1", target.port), timeout=10))
        for _ in range(HALVES):
            plain = socket.create_connection(("127.0.0.1", target.port), timeout=10)
            secure = context.wrap_socket(plain, server_hostname="127.0.0.1")
            secure.sendall(b"POST /token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\nhalf")
            self._sockets.append(secure)

    def close(self) -> None:
        """Drop them."""
        for one in self._sockets:
            one.close()


def stalled_figures(quick: bool) -> Iterator[Figure]:
    """Latency at a fixed rate, alone and among stalled connections, in the same run."""
    seconds = 4.0 if quick else 6.0
    with running("stalled") as bench:
        requests = [bench.by_jwt(assertion) for assertion in bench.assertions(range(WORKLOADS))]
        alone = quiet(bench, bench.plain, requests, seconds)
        stalled = Stalled(bench)
        try:
            among = quiet(bench, bench.plain, requests, seconds, during=stalled.open)
        finally:
            stalled.close()
        p99 = [outcome.quantile(0.99) * 1000 for outcome in (alone, among)]
        yield Figure(
            f"{HANDSHAKES} stalled handshakes and {HALVES} half requests: p99 beside quiet",
            p99[1] / p99[0],
            "times",
            2,
            note=f"{p99[0]:.1f} to {p99[1]:.1f} ms, {among.errors} errors",
        )


def overload_figures(quick: bool) -> Iterator[Figure]:
    """2.5 times the capacity offered (L-8): what is still answered, and how the rest is told."""
    seconds = 4.0 if quick else 8.0
    with running("overload") as bench:
        requests = [bench.by_jwt(assertion) for assertion in bench.assertions(range(WORKLOADS))]
        peak = drive(Plan(bench.plain, requests, seconds=seconds), bench.processes).load.rate
        plan = Plan(bench.plain, requests, connections=600, seconds=seconds, rate=2.5 * peak)
        load = drive(plan, bench.processes).load
        refused = load.statuses[429] + load.statuses[503]
        note = f"{refused:,} told to retry, {load.errors} errors, load tool on the same cores"
        yield Figure("overload: goodput of the peak", load.rate / peak * 100, "%", 80, at_most=False, note=note)
        yield Figure("overload: refusals within", load.quantile(0.99, of_refusals=True), "s", 1, note="p99")
        yield Figure("overload: refusals without Retry-After", load.bare_refusals, "", 0)
        after = drive(Plan(bench.plain, requests, seconds=2, warm_up=5), bench.processes).load
        yield Figure("overload: rate after 5 s of the peak", after.rate / peak * 100, "%", 80, at_most=False)
