"""Connections that hold still: hundreds of half-done handshakes and half-sent requests beside the load."""

from __future__ import annotations

import socket
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.bench.connection import Connection, Target
from tests.bench.figure import Figure, Report
from tests.bench.service import running
from tests.bench.tokens import known, quiet

HANDSHAKES = 500
HALF_SENT = 200
# Shorter than the service's deadlines (10 s), so that all of them are held open to the end.
_SECONDS = 6.0
# The first record of a handshake, cut off: content type, version, a length, and then nothing.
_CUT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
_HALF_REQUEST = b"POST /token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4000\r\n\r\ngrant_type=client_cred"


@contextmanager
def stalled(target: Target, handshakes: int, half_sent: int) -> Iterator[None]:
    """So many connections that began and do not go on."""
    with ExitStack() as stack:
        for _ in range(half_sent):
            connection = Connection(target, 0)
            stack.callback(connection.close)
            connection.ask(_HALF_REQUEST, 0.0)
        for _ in range(handshakes):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", target.port), timeout=20))
            plain.sendall(_CUT_HELLO)
        yield


def measure(report: Report, *, rounds: int) -> None:
    """Quiet latency with and without them, in turns."""
    with running("stalling") as bench:
        requests = known(bench)
        free, held = [], []
        for _ in range(rounds):
            free.append(quiet(bench, requests, seconds=_SECONDS).quantile(0.99))
            with stalled(bench.plain, HANDSHAKES, HALF_SENT):
                load = quiet(bench, requests, seconds=_SECONDS)
            assert load.errors == 0, load.statuses
            held.append(load.quantile(0.99))
        ratio = statistics.median(held) / statistics.median(free)
        how = f"{HANDSHAKES} stalled handshakes, {HALF_SENT} half-sent requests; medians of {rounds}"
        report(Figure("stalled connections: p99 over quiet p99", ratio, "x", 2, note=how))
        report(Figure("stalled connections: p99", statistics.median(held) * 1e3, "ms"))
