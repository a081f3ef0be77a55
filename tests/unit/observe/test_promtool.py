"""The same rules and scenarios in Prometheus's own engine, where `promtool` is installed: what `tests.promql` knows of
PromQL is our reading of it, and this holds that reading to the original."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.alerts import FILES
from tests.unit.observe.test_alert_scenarios import AGES, ALERTS, NOW, SCENARIOS, Series

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: make test-alerts installs it")

MINUTES = 75
# There, time begins at 0; ages are the same, and so are times that lie ahead.
SHIFT = NOW - 60 * MINUTES


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *words], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_prometheus_reads_the_rules(path: Path) -> None:
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def samples(value: float | tuple[float, ...]) -> str:
    """One sample a minute: at each what the last scrape before it had shown."""
    written = []
    for minute in range(MINUTES, -1, -1):
        place = next((at for at, age in enumerate(AGES) if age >= 60 * minute), len(AGES) - 1)
        one = value[place] if isinstance(value, tuple) else value
        written.append(repr(one - SHIFT if NOW / 2 < one < float("inf") else one).replace("inf", "Inf"))
    return " ".join(written)


def cases() -> Iterator[dict[str, Any]]:
    def case(name: str, series: Series, fires: bool) -> dict[str, Any]:
        expected = [{"labels": "{}", "value": 1}] if fires else []
        return {
            "name": f"{name} {'fires' if fires else 'is silent'}",
            "interval": "1m",
            "input_series": [{"series": one, "values": samples(value)} for one, value in series.items()],
            "promql_expr_test": [
                {"expr": f"count({ALERTS[name].expr}) > bool 0", "eval_time": f"{MINUTES}m", "exp_samples": expected}
            ],
        }

    for name, pairs in SCENARIOS.items():
        for fires, silent in pairs:
            yield case(name, fires, True)
            yield case(name, silent, False)


def test_prometheus_finds_true_what_we_find_true(tmp_path: Path) -> None:
    file = tmp_path / "scenarios.json"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": list(cases())}))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_would_say_otherwise(tmp_path: Path) -> None:
    """The control: with one expectation turned round it fails."""
    wrong = list(cases())
    wrong[0]["promql_expr_test"][0]["exp_samples"] = []
    file = tmp_path / "scenarios.json"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": wrong}))
    assert promtool("test", "rules", str(file)).returncode == 1
