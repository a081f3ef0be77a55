"""Ten thousand identities on first use and by statement, and the size of the store: a million records, and memory."""

from __future__ import annotations

import statistics

from tests.bench.figure import Figure, Report
from tests.bench.load import Outcome, Plan
from tests.bench.process import drive
from tests.bench.service import Bench, running

_SECONDS = 60.0
_MEGABYTE = 1024 * 1024


def first_use(report: Report, *, identities: int) -> None:
    """Every identity once, none seen before: how fast, and whether exactly one record and event each."""
    with running("first-use") as bench:
        requests = [bench.by_jwt(assertion) for assertion in bench.assertions(range(identities))]
        load = _once(bench, requests)
        report(Figure("first use: registrations", load.rate, "/s", 1000, at_most=False, note=_how(identities)))
        report(Figure("first use: p99", load.quantile(0.99) * 1e3, "ms", 500, note="L-3"))
        _report_written(report, "first use", bench, identities)


def by_statement(report: Report, *, identities: int) -> None:
    """The same at the registration endpoint: each identity with its own JWT-SVID as software statement."""
    with running("statements") as bench:
        requests = [bench.by_statement(statement) for statement in bench.statements(range(identities))]
        load = _once(bench, requests)
        name = "by statement"
        report(Figure(f"{name}: registrations", load.rate, "/s", 700, at_most=False, note=_how(identities)))
        report(Figure(f"{name}: p99", load.quantile(0.99) * 1e3, "ms"))
        _report_written(report, name, bench, identities)


def _once(bench: Bench, requests: list[bytes]) -> Outcome:
    """Every request once, all answered with success."""
    load = drive(Plan(bench.plain, requests, seconds=_SECONDS, warm_up=0, once=True), bench.processes).load
    assert load.successes == len(requests), f"{load.statuses}, {load.broken} broken"
    return load


def _how(identities: int) -> str:
    return f"{identities:,} identities, 16 connections"


def _report_written(report: Report, name: str, bench: Bench, identities: int) -> None:
    """What is in the store afterwards: one record and one event of each."""
    records = bench.count("SELECT count(*) FROM clients")
    events = bench.count("SELECT count(*) FROM audit WHERE event = 'registered'")
    report(Figure(f"{name}: records less identities", records - identities, "", 0, note="exactly one each"))
    report(Figure(f"{name}: events less identities", events - identities, "", 0, note="exactly one each"))
    # As many as identities, and none twice: then it is one each.
    named = bench.count("SELECT count(DISTINCT client_id) FROM audit WHERE event = 'registered'")
    assert records >= identities <= named, "a registration is missing"


def many_records(report: Report, *, records: int, in_use: int, rounds: int, seconds: float) -> None:
    """The same load on a store with nothing but the clients in use, and on a large one, in turns."""
    with running("small") as small, running("large") as large:
        small.seed(range(in_use))
        large.seed(range(records))
        rates: dict[str, list[float]] = {"small": [], "large": []}
        work = {name: (bench, _cycle(bench, in_use)) for name, bench in (("small", small), ("large", large))}
        for _ in range(rounds):
            for name, (bench, requests) in work.items():
                load = drive(Plan(bench.plain, requests, seconds=seconds), bench.processes).load
                assert load.errors == 0, load.statuses
                rates[name].append(load.rate)
        share = statistics.median(rates["large"]) / statistics.median(rates["small"])
        how = f"{in_use:,} clients in use, medians of {rounds} alternating runs"
        report(Figure(f"{records:,} records: share of an empty store's rate", share, "", 0.9, at_most=False, note=how))
        report(Figure(f"{records:,} records: tokens", statistics.median(rates["large"]), "/s"))
        at_size = large.processes.resident_bytes() / _MEGABYTE
        report(Figure(f"{records:,} records: resident memory", at_size, "MB", 600, note="L-7, after this load"))


def memory(report: Report, *, records: int, in_use: int, seconds: float) -> None:
    """All processes together after a load by many identities, so that every cache is full."""
    with running("memory") as bench:
        bench.seed(range(records))
        load = drive(Plan(bench.plain, _cycle(bench, in_use), seconds=seconds), bench.processes).load
        assert load.errors == 0, load.statuses
        how = f"2 workers, {records:,} records, {load.successes:,} tokens to {in_use:,} clients"
        resident = bench.processes.resident_bytes() / _MEGABYTE
        report(Figure("resident memory of all processes", resident, "MB", 300, note=how))
        shared = bench.processes.proportional_bytes() / _MEGABYTE
        report(Figure("the same, shared pages counted once", shared, "MB"))


def start(report: Report, *, times: int) -> None:
    """From the command to its ready line, with 2 workers and a store that exists."""
    bench = Bench("start")
    took = []
    try:
        for _ in range(times + 1):
            took.append(bench.start())
            bench.stop()
    finally:
        bench.remove()
    report(Figure("start to ready", statistics.median(took[1:]), "s", 3, note=f"median of {times}, 2 workers"))
    report(Figure("start to ready, empty folder", took[0], "s", 3, note="makes schema, seal key and signing keys"))


def _cycle(bench: Bench, in_use: int) -> list[bytes]:
    return [bench.by_jwt(assertion) for assertion in bench.assertions(range(in_use))]
