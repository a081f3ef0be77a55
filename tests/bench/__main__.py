"""`python -m tests.bench`: run the figures, print a table at the end."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable

from tests.bench import (
    console,
    documents,
    floods,
    floor,
    flows,
    registering,
    replaying,
    rules,
    soak,
    stalling,
    tokens,
    trust_domains,
)
from tests.bench.figure import Figure, as_json, table
from tests.bench.service import FOLDER


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when everything could be measured, whatever the figures are; 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs and smaller tables, about five minutes")
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    names = ", ".join(_parts(quick=False))
    parser.add_argument("--only", action="append", metavar="NAME", help=f"only this part; may be repeated ({names})")
    options = parser.parse_args(arguments)
    parts = _parts(quick=options.quick)
    unknown = set(options.only or ()) - set(parts)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {names}")
    figures: list[Figure] = []
    began = time.monotonic()
    try:
        for name, run in parts.items():
            if options.only and name not in options.only:
                continue
            _say(f"{name} ...")
            seen = len(figures)
            run(figures.append)
            for figure in figures[seen:]:
                _say("  " + " ".join(cell for cell in figure.row()[:2]))
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    _say(f"{time.monotonic() - began:.0f} s on {len(os.sched_getaffinity(0))} cores\n")
    sys.stdout.write((as_json(figures) if options.json else table(figures)) + "\n")
    return 0


def _parts(*, quick: bool) -> dict[str, Callable[[Callable[[Figure], None]], None]]:
    seconds = 3.0 if quick else 10.0
    in_use = 2_000 if quick else 10_000
    lowest: list[float] = []

    def measure_floor(report: Callable[[Figure], None]) -> None:
        lowest.append(floor.measure(report))

    def measure_tokens(report: Callable[[Figure], None]) -> None:
        lowest_cost = lowest[0] if lowest else floor.measure(lambda figure: None)
        tokens.measure(report, rounds=2 if quick else 5, seconds=seconds, floor=lowest_cost)

    return {
        "floor": measure_floor,
        "tokens": measure_tokens,
        "first-use": lambda report: registering.first_use(report, identities=in_use),
        "statements": lambda report: registering.by_statement(report, identities=in_use),
        "storm": lambda report: floods.storm(report, identities=in_use, idle=20_000 if quick else 100_000),
        "refused-registrations": lambda report: floods.refused(report, rounds=1 if quick else 3, seconds=seconds),
        "documents": lambda report: documents.measure(report, rounds=1 if quick else 3, seconds=seconds),
        "tarpits": lambda report: documents.tarpits(report, rounds=1 if quick else 3, seconds=seconds),
        "flows": lambda report: flows.whole(report, rounds=1 if quick else 3, seconds=seconds),
        "refresh": lambda report: flows.refresh(report, rounds=1 if quick else 3, seconds=seconds),
        "rules": rules.measure,
        "replay": lambda report: replaying.measure(report, rows=100_000 if quick else 1_000_000),
        "console": lambda report: console.measure(
            report,
            records=100_000 if quick else 1_000_000,
            rows=50_000 if quick else 500_000,
            visits=40 if quick else 100,
        ),
        "trust-domains": lambda report: trust_domains.measure(
            report, extent=trust_domains.QUICK if quick else trust_domains.FULL
        ),
        "stalling": lambda report: stalling.measure(report, rounds=1 if quick else 3),
        "soak": lambda report: soak.measure(report, registrations=15_000 if quick else 300_000),
        "records": lambda report: registering.many_records(
            report,
            records=100_000 if quick else 1_000_000,
            in_use=in_use,
            rounds=1 if quick else 5,
            seconds=seconds / 2,
        ),
        "memory": lambda report: registering.memory(report, records=100_000, in_use=in_use, seconds=seconds),
        "start": lambda report: registering.start(report, times=2 if quick else 5),
    }


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
