"""A thousand trust domains: what they cost at the start, in memory and per token, and how soon a change of one acts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

from bridge.lab.authority import Authority
from tests.bench import polling
from tests.bench.acting import Changes
from tests.bench.figure import Figure, Report
from tests.bench.fleet import Fleet, Sizes, many_domains, operators_get, took_by_command, until_all_known
from tests.bench.load import Plan
from tests.bench.process import Measured, drive
from tests.bench.service import Bench, running
from tests.bench.tokens import CONNECTIONS, QUIET_RATE, known

COUNT = 1000
# Of each kind some; with the one that every bench has they are as many as there are to be.
_MIXED = Sizes(files=489, polled=500, by_agent=10, often=5)
_MEGABYTE = 1024 * 1024
_WARM_UP = 1.0
# How long a change of each kind takes with all that is around it, for the length of the load beside it.
_SECONDS_PER_CHANGE = 0.7


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: rounds of so many seconds, changes of each kind, starts."""

    rounds: int
    seconds: float
    changes: int
    starts: int


FULL = Extent(rounds=5, seconds=5.0, changes=30, starts=5)
QUICK = Extent(rounds=3, seconds=3.0, changes=5, starts=2)


def measure(report: Report, *, extent: Extent) -> None:
    """All of it."""
    with many_domains("domains", _MIXED) as (bench, fleet):
        _starts(report, bench, extent)
        with running("domain") as one:
            _costs(report, one, bench, extent)
        _changes(report, bench, fleet, extent)
        _operators(report, bench)
    polling.measure(report)


# --- start and memory


def _starts(report: Report, bench: Bench, extent: Extent) -> None:
    """From the command to its ready line: nothing known yet, and then with what the store holds. Leaves it running."""
    empty = bench.start()
    known_after = until_all_known(bench)
    took = []
    for _ in range(extent.starts):
        bench.stop()
        took.append(bench.start())
    how = f"2 workers, a policy file each; {_MIXED.files} files, {_MIXED.polled} polled, {_MIXED.by_agent} by an agent"
    report(Figure(f"{COUNT:,} trust domains: start to ready", statistics.median(took), "s", 5, note=how))
    report(Figure(f"{COUNT:,} trust domains: first start", empty, "s", 5, note="empty folder, no bundle in the store"))
    report(Figure(f"{COUNT:,} trust domains: all bundles known after", known_after, "s", note="from the first ready"))
    until_all_known(bench)


# --- a token


def _costs(report: Report, one: Bench, many: Bench, extent: Extent) -> None:
    """CPU of all processes per token with one trust domain and with all of them, in turns. What a service spends with
    nobody served, on looking after its bundles and policies, is a figure of its own and taken off."""
    idle = [_idle(bench, 2 * extent.seconds) for bench in (one, many)]
    doors = {"JWT-SVID": _jwt_plan, "X.509-SVID": _x509_plan, "X.509-SVID, each a new connection": _anew_plan}
    plans = {name: [make(bench, extent.seconds) for bench in (one, many)] for name, make in doors.items()}
    measured: dict[str, list[list[Measured]]] = {name: [[], []] for name in doors}
    for _ in range(extent.rounds):
        for name, pair in plans.items():
            for place, (bench, plan) in enumerate(zip((one, many), pair, strict=True)):
                measured[name][place].append(drive(plan, bench.processes))
    for name, (with_one, with_many) in measured.items():
        for each in with_one + with_many:
            assert each.load.errors == 0, each.load.statuses
        cost, whole = (
            statistics.median((each.service_cpu - share * extent.seconds) / each.load.successes for each in rounds)
            for share, rounds in zip(idle, (with_one, with_many), strict=True)
        )
        how = f"{whole * 1e3:.3g} ms, with one {cost * 1e3:.3g} ms; {_rates(with_one)} and {_rates(with_many)}"
        report(Figure(f"{COUNT:,} trust domains: CPU per token, {name}", whole / cost, "x", 1.1, note=how))
    for share, name in zip(idle, ("one trust domain", f"{COUNT:,} trust domains"), strict=True):
        report(Figure(f"{name}: CPU with nobody served", share, "cores", note="both workers; not part of a token"))
    used = many.processes.proportional_bytes() / _MEGABYTE
    less = one.processes.proportional_bytes() / _MEGABYTE
    how = f"all processes, shared pages counted once, after this load; with one {less:.0f} MB"
    report(Figure(f"{COUNT:,} trust domains: memory", used, "MB", 400, note=how))


def _idle(bench: Bench, seconds: float) -> float:
    """How much of a core all processes use with nobody served."""
    spent = bench.processes.cpu_seconds()
    time.sleep(seconds)
    return (bench.processes.cpu_seconds() - spent) / seconds


def _jwt_plan(bench: Bench, seconds: float) -> Plan:
    return Plan(bench.plain, known(bench), seconds=seconds, warm_up=_WARM_UP)


def _x509_plan(bench: Bench, seconds: float) -> Plan:
    target, own = bench.by_x509(CONNECTIONS)
    return Plan(target, own, seconds=seconds, warm_up=_WARM_UP, own=True)


def _anew_plan(bench: Bench, seconds: float) -> Plan:
    target, own = bench.by_x509(CONNECTIONS)
    return Plan(target, own, seconds=seconds, warm_up=_WARM_UP, own=True, anew=True)


def _rates(rounds: list[Measured]) -> str:
    return f"{max(measured.load.rate for measured in rounds):,.0f}/s"


# --- changes


def _changes(report: Report, bench: Bench, fleet: Fleet, extent: Extent) -> None:
    """Changes of each kind, one after the other, while known clients are served."""
    requests = known(bench)
    took: dict[str, list[float]] = {}
    calm = drive(Plan(bench.plain, requests, seconds=2 * extent.seconds, rate=QUIET_RATE), bench.processes).load
    seconds = 5 * extent.changes * _SECONDS_PER_CHANGE
    plan = Plan(bench.plain, requests, seconds=seconds, warm_up=_WARM_UP, rate=QUIET_RATE)
    load = drive(plan, bench.processes, meanwhile=lambda: took.update(_change_all(bench, fleet, extent.changes))).load
    assert load.errors == 0, load.statuses
    for name, each in took.items():
        how = (
            f"both workers, {len(each)} changes beside {QUIET_RATE:g} tokens/s, median {statistics.median(each):.2g} s"
        )
        report(Figure(f"a change {name}: longest until it is live", max(each), "s", 1, note=how))
    how = f"without them {calm.quantile(0.99) * 1e3:.3g} ms"
    report(Figure("known clients' p99 beside these changes", load.quantile(0.99) * 1e3, "ms", note=how))


def _change_all(bench: Bench, fleet: Fleet, count: int) -> dict[str, list[float]]:
    """So many changes of each kind: how long each took to be live in both workers, in seconds."""
    rarely = fleet.polled[len(fleet.often) :]
    changes = Changes(bench, fleet)
    kinds: dict[str, tuple[Callable[[Authority], float], list[Authority]]] = {
        "in its file": (changes.in_file, fleet.files),
        "at its endpoint, in its turn": (changes.at_endpoint, fleet.often),
        # Each once: a trust domain is asked early at most every five seconds.
        "at its endpoint, whose new key is shown": (changes.at_endpoint_by_new_key, rarely),
        "by its agent": (changes.by_agent, fleet.by_agent),
        "of the CA in its file": (changes.ca_in_file, fleet.files),
    }
    try:
        return {name: [change(one) for one in islice(cycle(who), count)] for name, (change, who) in kinds.items()}
    finally:
        changes.close()


# --- operators


def _operators(report: Report, bench: Bench) -> None:
    """What those who watch a service ask of it."""
    for path in ("/readyz", "/metrics"):
        took = []
        for _ in range(5):
            began = time.perf_counter()
            size = len(operators_get(bench, path))
            took.append(time.perf_counter() - began)
        report(
            Figure(f"{path} of {COUNT:,} trust domains", statistics.median(took) * 1e3, "ms", 200, note=f"{size:,} B")
        )
    report(Figure(f"bridge trust list of {COUNT:,} trust domains", took_by_command(bench, "trust", "list"), "s"))
