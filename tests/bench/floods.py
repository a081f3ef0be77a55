"""Floods beside known clients: a storm of first uses while a sweep removes a hundred thousand idle records, and
registrations far over the limit. Known clients are to notice next to nothing of either (T-41)."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from functools import partial

from tests.bench.figure import Figure, Report
from tests.bench.load import Outcome, Plan
from tests.bench.process import drive_together
from tests.bench.service import LIMITS, Bench, running
from tests.bench.tokens import KNOWN, QUIET_RATE, known

# Of each load: so many that a request which is due never waits for a free one.
_CONNECTIONS = 64
# How many identities are new each second of the storm: ten thousand within a minute (L-3).
STORM_RATE = 10_000 / 60
_QUIET_SECONDS = 20.0
# Sweeps come as often as the shortest of these lives. Records that ended go with the next one.
_SWEEP_SECONDS = 2
_SWEEPS = f"""
[registration]
pending_expiry = "{_SWEEP_SECONDS}s"
keep_ended = "1s"
"""
_LONGEST_SWEEP = 300.0

# A limit, and how many times as much comes in: as many new identities as there are tokens for known ones. At the
# limit as it is without configuration, 200, the flood alone would be more than two cores can verify.
LIMIT, TIMES = 50, 10
OFFERED = 500.0
_TIGHT = f"""
[limits]
records_per_trust_domain = 2000000
registrations_per_second = {LIMIT}
registration_burst = {LIMIT}
rule_registrations_per_second = 100000
rule_registration_burst = 1000000
"""


def storm(report: Report, *, identities: int, idle: int) -> None:
    """New identities in quick succession, and as they begin a sweep that has many idle records to remove."""
    seconds = identities / STORM_RATE
    with running("storm", more=LIMITS + _SWEEPS) as bench:
        requests = known(bench)
        plan = Plan(bench.plain, requests, connections=_CONNECTIONS, seconds=seconds, warm_up=1.0, rate=QUIET_RATE)
        quiet = replace(plan, seconds=min(seconds, _QUIET_SECONDS))
        calm = drive_together(quiet, service=bench.processes)[0]
        numbers = range(KNOWN, KNOWN + identities)
        fresh = [bench.by_jwt(assertion) for assertion in bench.assertions(numbers)]
        due = _seed_idle(bench, range(numbers.stop, numbers.stop + idle))
        flood = Plan(
            bench.plain,
            fresh,
            connections=_CONNECTIONS,
            seconds=seconds + 1,
            warm_up=0,
            rate=STORM_RATE,
            once=True,
        )
        held, first = drive_together(plan, flood, service=bench.processes, before=partial(_wait_until, due))
        left = bench.count(f"SELECT count(*) FROM clients WHERE expires_at <= {due}")
        took = _until_gone(bench, due)
        kept = bench.count("SELECT count(*) FROM clients")
        assert kept >= KNOWN + first.successes, "a sweep took more than idle records"
    ratio = held.quantile(0.99) / calm.quantile(0.99)
    how = f"{QUIET_RATE:g} tokens/s beside {identities:,} first uses in {seconds:.0f} s and a sweep of {idle:,} records"
    report(Figure("storm: p99 of known clients over quiet p99", ratio, "x", 2, note=how))
    report(Figure("storm: known clients not served", _unserved(calm) + _unserved(held), "", 0))
    answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(first.statuses.items()))
    ends = f"{answers}; {first.broken} connections broken"
    report(Figure("storm: first uses not served", _unserved(first), "", 0, note=ends))
    report(Figure("storm: p99 of known clients", held.quantile(0.99) * 1e3, "ms"))
    report(Figure("storm: p99 without it", calm.quantile(0.99) * 1e3, "ms"))
    report(Figure("storm: p99 of first uses", first.quantile(0.99) * 1e3, "ms"))
    report(
        Figure("storm: idle records left at its end", left, "", note=f"all were gone {took:.0f} s after they were due")
    )


def refused(report: Report, *, rounds: int, seconds: float) -> None:
    """Known clients with and without registrations over the limit beside them, in turns."""
    with running("refused", more=_TIGHT) as bench:
        requests = known(bench)
        plan = Plan(bench.plain, requests, connections=_CONNECTIONS, seconds=seconds, warm_up=1.0, rate=OFFERED)
        free, held, floods = list[Outcome](), list[Outcome](), list[Outcome]()
        for number in range(rounds):
            free += drive_together(plan, service=bench.processes)
            flood = _flood(bench, number, seconds)
            for outcomes, outcome in zip(
                (held, floods), drive_together(plan, flood, service=bench.processes), strict=True
            ):
                outcomes.append(outcome)
    _report_refused(report, free, held, floods)


def _flood(bench: Bench, number: int, seconds: float) -> Plan:
    """New identities in each round, each once: every one is verified, and then refused by the limit."""
    rate = float(LIMIT * TIMES)
    count = int(rate * seconds)
    first = KNOWN + number * count
    fresh = [bench.by_jwt(assertion) for assertion in bench.assertions(range(first, first + count))]
    return Plan(bench.plain, fresh, connections=_CONNECTIONS, seconds=seconds, warm_up=0, rate=rate, once=True)


def _report_refused(report: Report, free: list[Outcome], held: list[Outcome], floods: list[Outcome]) -> None:
    beside, alone = _p99(held), _p99(free)
    beside_what = f"{LIMIT * TIMES:,} new identities/s at a limit of {LIMIT}/s"
    how = f"{OFFERED:g} tokens/s beside {beside_what}; medians of {len(free)}"
    name = "refused registrations"
    report(Figure(f"{name}: p99 of known clients over quiet p99", beside / alone, "x", 2, note=how))
    report(Figure(f"{name}: known clients not served", sum(map(_unserved, free + held)), "", 0))
    report(Figure(f"{name}: p99 of known clients", beside * 1e3, "ms"))
    report(Figure(f"{name}: p99 without them", alone * 1e3, "ms"))
    slow = max(flood.quantile(0.99, of_refusals=True) for flood in floods)
    report(Figure(f"{name}: p99 of the refusals", slow * 1e3, "ms", 1000))
    bad = sum(flood.errors + flood.bare_refusals for flood in floods)
    report(Figure(f"{name}: bad answers", bad, "", 0, note="not 200, 429 or 503, or without Retry-After"))
    offered = sum(sum(flood.statuses.values()) + flood.unasked for flood in floods)
    limited = sum(flood.statuses[429] for flood in floods)
    report(Figure(f"{name}: share refused by the limit", limited / offered, "", note="429"))


def _p99(outcomes: list[Outcome]) -> float:
    return statistics.median(outcome.quantile(0.99) for outcome in outcomes)


def _unserved(load: Outcome) -> int:
    """Whatever was not answered with success: nobody here is over any limit."""
    return load.errors + len(load.refusals) + load.unasked


def _seed_idle(bench: Bench, numbers: range) -> int:
    """Records that are all due at the same moment, which is the answer: some time after they are in."""
    began = time.time()
    margin = 5 + len(numbers) // 10_000
    due = int(began) + margin
    bench.seed(numbers, expires_at=due)
    assert time.time() < due, "the first were due before the last was in"
    return due


def _wait_until(due: int) -> None:
    time.sleep(max(0.0, due - time.time()))


def _until_gone(bench: Bench, due: int) -> float:
    """Seconds from when the idle records were due until the last was removed."""
    while bench.count(f"SELECT count(*) FROM clients WHERE expires_at <= {due}"):
        assert time.time() < due + _LONGEST_SWEEP, "idle records stay"
        time.sleep(0.2)
    return time.time() - due
