"""A thousand trust domains that are all polled: how they share out their questions, and what known clients notice."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field

from tests.bench.bundle_server import Question
from tests.bench.figure import Figure, Report
from tests.bench.fleet import Fleet, Sizes, many_domains, took_by_command, until_all_known
from tests.bench.load import Plan
from tests.bench.process import drive
from tests.bench.service import Bench
from tests.bench.tokens import QUIET_RATE, known

_SIZES = Sizes(polled=999)
_SAMPLE_SECONDS = 0.05
_WARM_UP = 1.0
# Longer than it takes to ask all.
_SECONDS = 15.0


def measure(report: Report) -> None:
    """All but one are asked at one endpoint: at the first start, and because of a SIGHUP under load."""
    with many_domains("polled", _SIZES) as (bench, fleet):
        name = f"{len(fleet.polled)} polled trust domains"
        _first_start(report, name, bench, fleet)
        _all_asked(report, name, bench, fleet)
        report(Figure(f"bridge check of {name}", took_by_command(bench, "check"), "s", note="asks every endpoint"))


def _first_start(report: Report, name: str, bench: Bench, fleet: Fleet) -> None:
    took = bench.start()
    until_all_known(bench)
    asked = fleet.server.questions()
    report(Figure(f"{name}: first start", took, "s", 5, note="nothing known"))
    how = f"{len(asked)} questions for {len({one.name for one in asked})} bundles; {_herd(asked)}"
    report(Figure(f"{name}: all asked within", _span(asked), "s", note=how))
    due = bench.count("SELECT max(n) FROM (SELECT count(*) AS n FROM polled_bundles GROUP BY refresh_at)")
    report(Figure(f"{name}: due in the same second, the next time", due, "", note="after 300 s less at most 30"))


def _all_asked(report: Report, name: str, bench: Bench, fleet: Fleet) -> None:
    plan = Plan(bench.plain, known(bench), seconds=_SECONDS, warm_up=_WARM_UP, rate=QUIET_RATE)
    calm = drive(plan, bench.processes).load
    most = _Most(bench.stand.worker_pids())
    watching = threading.Thread(target=most.watch)
    watching.start()
    pid = bench.stand.pid
    held = drive(plan, bench.processes, meanwhile=lambda: os.kill(pid, signal.SIGHUP)).load
    most.end()
    watching.join()
    asked = fleet.server.questions()
    assert held.errors == 0, held.statuses
    ratio = held.quantile(0.99) / calm.quantile(0.99)
    how = f"{QUIET_RATE:g} tokens/s; {calm.quantile(0.99) * 1e3:.3g} and {held.quantile(0.99) * 1e3:.3g} ms"
    report(Figure(f"{name}: p99 while all are asked over quiet p99", ratio, "x", note=how))
    report(Figure(f"{name}: known clients not served", held.unasked + len(held.refusals), "", 0))
    report(Figure(f"{name}: all asked again within", _span(asked), "s", note=f"{len(asked)} questions; {_herd(asked)}"))
    report(Figure(f"{name}: threads of one worker, at most", most.threads, "", note="while all are asked"))
    report(Figure(f"{name}: descriptors of one worker, at most", most.descriptors, "", note="the same"))


def _span(asked: list[Question]) -> float:
    return asked[-1].at - asked[0].at if asked else 0.0


def _herd(asked: list[Question]) -> str:
    """How many asked at once."""
    at_once = max((one.open for one in asked), default=0)
    by_second = Counter(int(one.at) for one in asked)
    return f"{at_once} at once and {max(by_second.values(), default=0)} in one second at most"


@dataclass(slots=True)
class _Most:
    """Watches the workers until it is told to end: the most threads and descriptors that one of them had."""

    pids: list[int]
    threads: int = 0
    descriptors: int = 0
    _end: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Look, again and again."""
        while not self._end.wait(_SAMPLE_SECONDS):
            for pid in self.pids:
                self.threads = max(self.threads, len(os.listdir(f"/proc/{pid}/task")))
                self.descriptors = max(self.descriptors, len(os.listdir(f"/proc/{pid}/fd")))

    def end(self) -> None:
        """Look no more."""
        self._end.set()
