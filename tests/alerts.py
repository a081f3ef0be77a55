"""The shipped alert rules: what each says, and of what it is true over scrapes of `/metrics`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.promql import History, Scrape, evaluate, holds

MONITORING = Path(__file__).resolve().parents[1] / "monitoring"
FILES = tuple(sorted(MONITORING.glob("*.rules.yml")))
BUNDLES = MONITORING / "trust-bundles.rules.yml"

# The one form in which all are written, so that no parser of YAML is needed; whatever is written otherwise is not
# found, and then their number is wrong.
_RULE = re.compile(
    r"      - alert: (?P<name>\w+)\n        expr: (?P<expr>.+)\n(?:        for: (?P<lasts>\w+)\n)?"
    r"        labels:\n          severity: (?P<severity>critical|warning|info)\n        annotations:\n"
    r'          summary: "(?P<summary>[^"\n]+)"\n          description: "(?P<description>[^"\n]+)"\n'
    r'          runbook: "(?P<runbook>[^"\n]+)"\n'
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. `lasts` is how long it has to be true before it fires, empty for not at all."""

    file: str
    name: str
    expr: str
    lasts: str
    severity: str
    summary: str
    description: str
    runbook: str

    def is_true_of(self, history: History) -> Sequence[Mapping[str, str]]:
        """The label sets that it is true of. Raises: as `promql.evaluate`."""
        return holds(evaluate(self.expr, history))


def alerts(*files: Path) -> list[Alert]:
    """All rules of these files; of all files where none is named."""
    return [alert for path in files or FILES for alert in _of(path)]


def _of(path: Path) -> Iterator[Alert]:
    text = path.read_text(encoding="utf-8")
    found = list(_RULE.finditer(text))
    assert len(found) == text.count("- alert:"), f"{path.name}: a rule is written in another way than the others"
    for one in found:
        yield Alert(path.name, **{name: value or "" for name, value in one.groupdict().items()})


def firing(now: Scrape, before: Scrape, at: float) -> dict[str, set[str]]:
    """Which alerts about bundles are true of which trust domain. `before` is what increases are counted from."""
    history = History(((0, now), (600, before), (3600, before)), at)
    of: dict[str, set[str]] = {}
    for alert in alerts(BUNDLES):
        for labels in alert.is_true_of(history):
            of.setdefault(labels["trust_domain"], set()).add(alert.name)
    return of
