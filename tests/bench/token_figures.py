"""Tokens for known clients: throughput, CPU per token, latency at a fixed rate, and what the floor is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bridge.jose.jws import parse_compact, signature_holds
from bridge.jose.keys import SigningKey
from tests.bench.connection import Target
from tests.bench.figure import Figure
from tests.bench.load import Outcome, Plan
from tests.bench.machine import split_cores
from tests.bench.process import Measured, drive
from tests.bench.service import Bench, running

QUIET_RATE = 300.0
WORKLOADS = 100


def floor_seconds(rounds: int = 1500) -> float:
    """CPU seconds of one ES256 verification and one ES256 signature through joserfc: no token costs less."""
    key = SigningKey.generate("ES256")
    public = key.verification_key()
    claims = {"iss": "https://as.example", "aud": "https://ledger.example.org", "sub": "spiffe://example.org/ns/a"}
    token = key.sign({"typ": "JWT"}, claims)
    began = time.process_time()
    for _ in range(rounds):
        key.sign({"typ": "at+jwt"}, claims)
        if not signature_holds(parse_compact(token, max_bytes=16384), public, "ES256"):
            raise AssertionError("a sound signature does not hold")
    return (time.process_time() - began) / rounds


def token_figures(quick: bool) -> Iterator[Figure]:
    """Known clients through both doors, cached and not."""
    seconds = 5.0 if quick else 12.0
    floor = floor_seconds()
    yield Figure(
        "floor: one ES256 verification and signature", floor * 1000, "ms", note="CPU, through joserfc, this run"
    )
    with running("tokens") as bench:
        known = [bench.by_jwt(assertion) for assertion in bench.assertions(range(WORKLOADS))]
        measured = drive(Plan(bench.plain, known, seconds=seconds), bench.processes)
        yield from _door("known client JWT-SVID", measured, floor, cpu_target=0.6, rate_target=2000, p99_target=40)
        yield from _once(bench, floor, seconds, measured.load.rate)
        target, requests = bench.by_x509(16)
        measured = drive(Plan(target, requests, seconds=seconds, own=True), bench.processes)
        yield from _door("X.509-SVID over keep-alive mTLS", measured, floor, cpu_target=0.5)
        outcome = quiet(bench, bench.plain, known, seconds)
        yield Figure("quiet token latency p50", outcome.quantile(0.5) * 1000, "ms", note=_quiet_note(outcome))
        yield Figure("quiet token latency p99", outcome.quantile(0.99) * 1000, "ms", note=_quiet_note(outcome))


def _once(bench: Bench, floor: float, seconds: float, rate: float) -> Iterator[Figure]:
    count = int(rate * (seconds + 3) * 1.2) + 1000
    per_workload = count // WORKLOADS + 1
    requests = [
        bench.by_jwt(assertion)
        for serial in range(per_workload)
        for assertion in bench.assertions(range(WORKLOADS), serial=str(serial))
    ]
    measured = drive(Plan(bench.plain, requests, seconds=seconds, once=True), bench.processes)
    yield from _door("every JWT-SVID once (nothing cached)", measured, floor, cpu_target=0.9)


def _door(
    name: str,
    measured: Measured,
    floor: float,
    *,
    cpu_target: float,
    rate_target: float | None = None,
    p99_target: float | None = None,
) -> Iterator[Figure]:
    load = measured.load
    note = f"16 connections, closed loop; load tool {load.cpu / max(1, load.successes) * 1000:.2f} ms CPU a token"
    yield Figure(name, load.rate, "tokens/s", rate_target, at_most=False, note=note)
    yield Figure(f"{name}: p99", load.quantile(0.99) * 1000, "ms", p99_target)
    times = measured.cpu_per_token / floor
    yield Figure(
        f"{name}: CPU per token", measured.cpu_per_token * 1000, "ms", cpu_target, note=f"{times:.1f} times the floor"
    )
    yield Figure(f"{name}: errors", load.errors, "", 0)


def quiet(
    bench: Bench, target: Target, requests: list[bytes], seconds: float, during: Callable[[], object] | None = None
) -> Outcome:
    """An open loop far below capacity, the service on one core and the load tool on the other."""
    ours, theirs = split_cores()
    bench.processes.pin(ours)
    try:
        if during is not None:
            during()
        plan = Plan(target, requests, seconds=seconds, rate=QUIET_RATE, cores=theirs)
        return drive(plan, bench.processes).load
    finally:
        bench.release()


def _quiet_note(outcome: Outcome) -> str:
    return f"{QUIET_RATE:.0f}/s open loop, one core each; {outcome.errors} errors"
