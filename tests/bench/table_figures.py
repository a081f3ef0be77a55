"""New records and many records: first use, a large table, memory, and time to ready."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.bench.figure import Figure
from tests.bench.load import Plan
from tests.bench.process import drive
from tests.bench.service import Bench, running

FIRST_USES = 10_000
ROUNDS = 5


def first_use_figures(quick: bool) -> Iterator[Figure]:
    """Distinct identities that nobody has seen, each once."""
    count = 2_000 if quick else FIRST_USES
    with running("first-use") as bench:
        requests = [bench.by_jwt(assertion) for assertion in bench.assertions(range(count))]
        plan = Plan(bench.plain, requests, connections=32, seconds=60, warm_up=0, once=True)
        load = drive(plan, bench.processes).load
        name = f"first use of {count:,} identities"
        yield Figure(name, load.rate, "registrations/s", 1000, at_most=False, note="32 connections, closed loop")
        yield Figure(f"{name}: p99", load.quantile(0.99) * 1000, "ms", 500)
        records = bench.count("SELECT COUNT(*) FROM clients")
        events = bench.count("SELECT COUNT(*) FROM audit WHERE event = 'registered'")
        yield Figure(f"{name}: records", records, "", count, at_most=records > count, note=f"exactly {count:,}")
        yield Figure(f"{name}: events", events, "", count, at_most=events > count, note=f"exactly {count:,}")


def large_table_figures(quick: bool) -> Iterator[Figure]:
    """Known clients beside a large table and beside none, in alternating runs of the same moment."""
    count = 100_000 if quick else 1_000_000
    seconds, rounds = (2.0, 3) if quick else (4.0, ROUNDS)
    with running("small") as small, _seeded("large", count) as large:
        requests = {bench: [bench.by_jwt(a) for a in bench.assertions(range(100))] for bench in (small, large)}
        ratios = []
        for _ in range(rounds):
            rates = [
                drive(Plan(bench.plain, requests[bench], seconds=seconds), bench.processes).load.rate
                for bench in (large, small)
            ]
            ratios.append(rates[0] / rates[1])
        yield Figure(
            f"{count:,} records: tokens beside an empty store",
            median(ratios) * 100,
            "%",
            90,
            at_most=False,
            note=f"median of {rounds} alternating runs, {min(ratios) * 100:.0f} to {max(ratios) * 100:.0f}",
        )


def memory_figures(quick: bool) -> Iterator[Figure]:
    """What two workers hold resident, and how soon they serve."""
    count = 20_000 if quick else 100_000
    bench = Bench("memory")
    try:
        first = bench.start()
        bench.stop()
        bench.seed(count)
        ready = bench.start()
        requests = [bench.by_jwt(a) for a in bench.assertions(range(min(count, 2000)))]
        drive(Plan(bench.plain, requests, seconds=5), bench.processes)
        name = f"resident memory, 2 workers, {count:,} records"
        megabytes = 1e6
        yield Figure(name, bench.processes.proportional_bytes() / megabytes, "MB", 300, note="shared pages divided")
        whole = bench.processes.resident_bytes() / megabytes
        yield Figure(f"{name}, shared pages each time", whole, "MB", 300)
        yield Figure("ready after start, empty store", first, "s", 3)
        yield Figure(f"ready after start, {count:,} records", ready, "s", 3)
    finally:
        bench.stop()
        bench.remove()


def _seeded(name: str, count: int) -> _Seeded:
    return _Seeded(name, count)


class _Seeded:
    """A service whose table was filled before it started."""

    def __init__(self, name: str, count: int) -> None:
        self._bench, self._count = Bench(name), count

    def __enter__(self) -> Bench:
        self._bench.start()
        self._bench.stop()
        self._bench.seed(self._count)
        self._bench.start()
        return self._bench

    def __exit__(self, *_: object) -> None:
        self._bench.stop()
        self._bench.remove()
