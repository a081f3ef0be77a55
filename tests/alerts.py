"""The shipped alert rules, evaluated over what `/metrics` shows: which of them are true, and of which trust domains.

Only the forms of expressions that the rules have are known; another one is an error, so that no rule goes untried.
How long something has to last (`for`) is not waited for: what is true here fires once it has lasted so long.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

RULES = Path(__file__).resolve().parents[1] / "monitoring/trust-bundles.rules.yml"
BY = "trust_domain"

_RULE = re.compile(r"- alert: (?P<name>\w+)\n +expr: (?P<expr>.+)\n(?: +for: (?P<lasts>\w+)\n)?")
_CONDITION = re.compile(
    r"(?P<fold>max|min|sum) by \(trust_domain\) \((?P<increase>increase\()?(?P<metric>\w+)(?:\{(?P<selectors>[^}]*)\})?"
    r"(?:\[\w+\]\))?\) (?P<compare>==|<|>) (?P<bound>[\d.]+)"
)
_SELECTOR = re.compile(r'(\w+)(=~?)"([^"]*)"')
_FOLDS: dict[str, Callable[[Iterable[float]], float]] = {"max": max, "min": min, "sum": sum}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {"==": operator.eq, "<": operator.lt, ">": operator.gt}

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scraped:
    """One look at `/metrics`. `names` are all that it declares, with or without a value."""

    names: frozenset[str]
    samples: tuple[tuple[str, Labels, float], ...]

    @classmethod
    def of(cls, exposition: bytes) -> Scraped:
        families = list(text_string_to_metric_families(exposition.decode()))
        samples = tuple((one.name, one.labels, one.value) for family in families for one in family.samples)
        declared = {family.name for family in families} | {f"{family.name}_total" for family in families}
        return cls(frozenset(declared), samples)

    def values(self, metric: str, selectors: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The samples of a metric that the selectors take, by their labels. Raises: KeyError when there is none."""
        if metric not in self.names:
            raise KeyError(metric)
        wanted = _SELECTOR.findall(selectors)

        def takes(labels: Labels) -> bool:
            return all(
                re.fullmatch(value, labels[label]) if how == "=~" else labels[label] == value
                for label, how, value in wanted
            )

        return {
            tuple(sorted(labels.items())): value
            for name, labels, value in self.samples
            if name == metric and takes(labels)
        }


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule."""

    name: str
    expr: str

    def is_true_of(self, now: Scraped, before: Scraped) -> set[str]:
        """The trust domains that it is true of. `before` is what increases are counted from.

        Raises: ValueError for an expression of another form, KeyError for a metric that there is not.
        """
        parts = self.expr.split(" and on (trust_domain) ")
        return set.intersection(*(_condition(part, now, before) for part in parts))


def _condition(text: str, now: Scraped, before: Scraped) -> set[str]:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"an expression of a form that nobody here knows: {text}")
    values = now.values(found["metric"], found["selectors"] or "")
    if found["increase"]:
        earlier = before.values(found["metric"], found["selectors"] or "")
        values = {labels: value - earlier.get(labels, 0) for labels, value in values.items()}
    grouped: dict[str, list[float]] = {}
    for labels, value in values.items():
        grouped.setdefault(dict(labels)[BY], []).append(value)
    fold, holds, bound = _FOLDS[found["fold"]], _COMPARISONS[found["compare"]], float(found["bound"])
    return {name for name, some in grouped.items() if holds(fold(some), bound)}


def alerts() -> list[Alert]:
    """All rules that are shipped."""
    text = RULES.read_text(encoding="utf-8")
    found = [Alert(one["name"], one["expr"]) for one in _RULE.finditer(text)]
    assert len(found) == text.count("- alert:"), "a rule is written in another way than the others"
    return found


def firing(now: Scraped, before: Scraped) -> dict[str, set[str]]:
    """Which alerts are true of which trust domain."""
    of: dict[str, set[str]] = {}
    for alert in alerts():
        for name in alert.is_true_of(now, before):
            of.setdefault(name, set()).add(alert.name)
    return of
