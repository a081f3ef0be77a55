"""Tokens for known clients at full speed, at a quiet rate, uncached, over mTLS, and at 2.5 times the peak."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tests.bench.figure import Figure, Report
from tests.bench.load import Outcome, Plan
from tests.bench.machine import split_cores
from tests.bench.process import Measured, drive
from tests.bench.service import Bench, running

CONNECTIONS = 16
KNOWN = 100
# The fixed rate of all quiet latencies, in tokens a second: a fraction of what one core can do.
QUIET_RATE = 200.0
_WARM_UP = 1.0
_MEDIAN = "median of rounds in which the doors take turns"
# What could be presented in one measurement, each SVID once; more than any run gets through.
_ONCE_RATE = 3000
_OVERLOAD = 2.5
# So many that whoever is due finds a free one: else the tool would make them wait, and not the service.
_OVERLOAD_CONNECTIONS = 1800
# Normal again: this many seconds after the overload, at the quiet rate.
_RECOVERY = 5.0


def known(bench: Bench) -> list[bytes]:
    """Requests of as many workloads as are known in most figures, each with one SVID."""
    return [bench.by_jwt(assertion) for assertion in bench.assertions(range(KNOWN))]


def quiet(bench: Bench, requests: list[bytes], *, seconds: float, warm_up: float = 1.0) -> Outcome:
    """At the quiet rate, the service on one core and the load tool on the other. They stay apart."""
    service_core, load_core = split_cores()
    bench.processes.pin(service_core)
    plan = Plan(bench.plain, requests, seconds=seconds, warm_up=warm_up, rate=QUIET_RATE, cores=load_core)
    return drive(plan, bench.processes).load


def measure(report: Report, *, rounds: int, seconds: float, floor: float) -> None:
    """All figures of tokens for known clients. The doors take turns in short rounds, so that none of them meets a
    larger store or a busier machine than the others: `rounds` of them, together twice `seconds` for each door.
    `floor` in seconds, see `floor.measure`."""
    with running("tokens") as bench:
        requests = known(bench)
        target, own = bench.by_x509(CONNECTIONS)
        each = 2 * seconds / rounds
        doors: dict[str, Callable[[int], Plan]] = {
            "known": lambda number: Plan(bench.plain, requests, seconds=each, warm_up=_WARM_UP),
            "once": lambda number: _each_once(bench, number, each),
            "x509": lambda number: Plan(target, own, seconds=each, warm_up=_WARM_UP, own=True),
        }
        measured: dict[str, list[Measured]] = {door: [] for door in doors}
        for number in range(rounds):
            for door, plan in doors.items():
                measured[door].append(drive(plan(number), bench.processes))
        peak = _report_peak(report, measured["known"], floor)
        _report_cpu(report, "each SVID once (nothing cached)", measured["once"], 0.9, "JWT-SVIDs, none seen before")
        how = f"{CONNECTIONS} connections"
        _report_cpu(report, "X.509-SVID over keep-alive mTLS", measured["x509"], 0.5, how)
        calm = quiet(bench, requests, seconds=seconds)
        how = f"open loop, {QUIET_RATE:g}/s, service on one core"
        report(Figure("quiet: p50", calm.quantile(0.5) * 1e3, "ms", note=how))
        report(Figure("quiet: p99", calm.quantile(0.99) * 1e3, "ms", note=how))
        bench.release()
        _overload(report, bench, requests, peak, seconds)


def _each_once(bench: Bench, number: int, seconds: float) -> Plan:
    """Fresh SVIDs for one round, more than it gets through."""
    wanted = int(_ONCE_RATE * (seconds + _WARM_UP))
    requests = [
        bench.by_jwt(assertion)
        for serial in range(wanted // KNOWN)
        for assertion in bench.assertions(range(KNOWN), serial=f"{number}-{serial}")
    ]
    return Plan(bench.plain, requests, seconds=seconds, warm_up=_WARM_UP, once=True)


def _report_peak(report: Report, rounds: list[Measured], floor: float) -> float:
    """The known clients' figures, and how many tokens a second there were in the quickest round: whatever else
    the machine did meanwhile can only have made the others slower."""
    peak = max(rounds, key=lambda measured: measured.load.rate).load
    errors = sum(measured.load.errors + len(measured.load.refusals) for measured in rounds)
    cpu = statistics.median(measured.cpu_per_token for measured in rounds)
    tool = statistics.median(measured.load.cpu / max(1, measured.load.successes) for measured in rounds)
    how = (
        f"JWT-SVID, {CONNECTIONS} keep-alive connections, audit durable, {KNOWN} clients, best of {len(rounds)} rounds"
    )
    report(Figure("known clients: tokens", peak.rate, "/s", 2000, at_most=False, note=how))
    report(Figure("known clients: p50", peak.quantile(0.5) * 1e3, "ms"))
    report(Figure("known clients: p99", peak.quantile(0.99) * 1e3, "ms", 40))
    report(Figure("known clients: errors", errors, "", 0, note="in all rounds"))
    report(Figure("known clients: CPU per token", cpu * 1e3, "ms", 0.6, note=f"all processes, {_MEDIAN}"))
    report(Figure("known clients: times the floor", cpu / floor, "", note="CPU per token / OpenSSL verify + sign"))
    report(Figure("load tool: CPU per token", tool * 1e3, "ms", note="on the same cores, in no other figure"))
    return peak.rate


def _report_cpu(report: Report, name: str, rounds: list[Measured], target: float, how: str) -> None:
    rate = max(measured.load.rate for measured in rounds)
    cpu = statistics.median(measured.cpu_per_token for measured in rounds)
    report(Figure(f"{name}: tokens", rate, "/s", note=how))
    report(Figure(f"{name}: CPU per token", cpu * 1e3, "ms", target, note=_MEDIAN))
    for measured in rounds:
        assert measured.load.errors == 0, measured.load.statuses


def _overload(report: Report, bench: Bench, requests: list[bytes], peak: float, seconds: float) -> None:
    """L-8: what is left of the peak at 2.5 times the peak, how the rest is refused, and how soon it is over."""
    plan = Plan(
        bench.plain, requests, connections=_OVERLOAD_CONNECTIONS, seconds=seconds, warm_up=1.0, rate=_OVERLOAD * peak
    )
    load = drive(plan, bench.processes).load
    how = f"L-8, open loop, {_OVERLOAD_CONNECTIONS} connections, {len(load.refusals):,} refused"
    report(Figure("overload 2.5x: share of the peak", load.rate / peak, "", 0.8, at_most=False, note=how))
    report(Figure("overload 2.5x: p99 of refusals", load.quantile(0.99, of_refusals=True) * 1e3, "ms", 1000))
    bad = load.errors + load.bare_refusals
    report(Figure("overload 2.5x: bad answers", bad, "", 0, note="not 200, 429 or 503, or without Retry-After"))
    after = [quiet(bench, requests, seconds=1.0, warm_up=0).quantile(0.99) for _ in range(int(_RECOVERY))]
    bench.release()
    report(Figure("overload 2.5x: p99 in the 5 s after it", statistics.median(after) * 1e3, "ms", 40))
