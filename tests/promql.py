"""PromQL over what `/metrics` shows: a real parser, and as much of the engine as the shipped rules use.

What is evaluated is a history of scrapes, each so many seconds old. It is as strict as Prometheus where that has
surprised people: a series that is not there has no value and makes no alert, and one that was not there at the
beginning of a range has no increase. Not as there: nothing is extrapolated, and how long something has to last (`for`)
is not waited for. What this does not know is an error, so that no rule goes untried.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = Vector | float

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FOLDS: dict[str, Callable[[Iterable[float]], float]] = {"max": max, "min": min, "sum": sum}


class Unknown(ValueError):
    """A form of expression that nobody here knows."""


def parse(text: str) -> Any:
    """The expression. Raises: ValueError when it is none."""
    return promql.parse(text)


@dataclass(frozen=True, slots=True)
class Scrape:
    """One look at `/metrics`. `names` are all that it declares, with or without a value."""

    names: frozenset[str]
    samples: tuple[tuple[str, Labels, float], ...]

    @classmethod
    def of(cls, exposition: str) -> Scrape:
        families = list(text_string_to_metric_families(exposition))
        samples = tuple((one.name, frozenset(one.labels.items()), one.value) for of in families for one in of.samples)
        endings = ("", "_total", "_bucket", "_sum", "_count")
        return cls(frozenset(f"{family.name}{ending}" for family in families for ending in endings), samples)


@dataclass(frozen=True, slots=True)
class History:
    """Scrapes by their age in seconds, the youngest first; and the time of the youngest, epoch seconds."""

    scrapes: Sequence[tuple[float, Scrape]]
    now: float

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(scrape.names for _, scrape in self.scrapes))

    def at(self, age: float) -> Scrape:
        """What was known then: the last scrape that was not younger."""
        return next((scrape for old, scrape in self.scrapes if old >= age), Scrape(frozenset(), ()))


def evaluate(text: str, history: History) -> Value:
    """The value of an expression. Raises: Unknown; KeyError for a metric that no scrape declares."""
    return _value(parse(text), history)


def series_of(text: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each selector of an expression: the metric, and label, operator and value of its matchers."""
    for node in walk(parse(text)):
        if isinstance(node, promql.VectorSelector):
            yield node.name, [(m.name, str(m.op).rpartition(".")[2], m.value) for m in node.matchers.matchers]


def labels_of(text: str) -> set[str]:
    """The labels that an expression groups, matches or joins by."""
    found: set[str] = set()
    for node in walk(parse(text)):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found |= set(node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier is not None:
            found |= set(node.modifier.matching.labels if node.modifier.matching is not None else ())
    return found


def walk(node: Any) -> Iterator[Any]:
    """A node of the tree, and all below it."""
    yield node
    below: list[Any] = []
    if isinstance(node, promql.BinaryExpr):
        below = [node.lhs, node.rhs]
    elif isinstance(node, promql.AggregateExpr | promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        below = [node.expr]
    elif isinstance(node, promql.Call):
        below = list(node.args)
    elif isinstance(node, promql.MatrixSelector):
        below = [node.vector_selector]
    for one in below:
        yield from walk(one)


def _value(node: Any, history: History) -> Value:
    if isinstance(node, promql.NumberLiteral):
        return float(node.val)
    if isinstance(node, promql.ParenExpr):
        return _value(node.expr, history)
    if isinstance(node, promql.VectorSelector):
        return _selected(node, history, _offset(node))
    if isinstance(node, promql.Call):
        return _called(node, history)
    if isinstance(node, promql.AggregateExpr):
        return _aggregated(node, history)
    if isinstance(node, promql.BinaryExpr):
        return _combined(node, _value(node.lhs, history), _value(node.rhs, history))
    raise Unknown(type(node).__name__)


def _offset(node: Any) -> float:
    return 0.0 if node.offset is None else float(node.offset.total_seconds())


def _selected(node: Any, history: History, age: float) -> Vector:
    if node.name not in history.names:
        raise KeyError(node.name)
    return {
        labels: value for name, labels, value in history.at(age).samples if name == node.name and _takes(node, labels)
    }


def _takes(node: Any, labels: Labels) -> bool:
    given = dict(labels)
    for matcher in node.matchers.matchers:
        value = given.get(matcher.name, "")
        match = str(matcher.op).rpartition(".")[2]
        same = value == matcher.value if match in ("Equal", "NotEqual") else bool(re.fullmatch(matcher.value, value))
        if same != (match in ("Equal", "Re")):
            return False
    return True


def _called(node: Any, history: History) -> Value:
    name, args = node.func.name, node.args
    if name == "time":
        return history.now
    if name in ("increase", "rate", "delta"):
        selector, seconds = args[0].vector_selector, float(args[0].range.total_seconds())
        later = _offset(selector)
        now, before = _selected(selector, history, later), _selected(selector, history, later + seconds)
        over = seconds if name == "rate" else 1.0
        return {labels: (value - before[labels]) / over for labels, value in now.items() if labels in before}
    if name == "absent":
        return {} if _value(args[0], history) else {frozenset(): 1.0}
    if name == "histogram_quantile":
        return _quantiles(float(args[0].val), cast(Vector, _value(args[1], history)))
    raise Unknown(name)


def _quantiles(share: float, buckets: Vector) -> Vector:
    """The upper bound of the bucket in which the quantile lies; Prometheus interpolates within it."""
    grouped: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        grouped.setdefault(frozenset(pair for pair in labels if pair[0] != "le"), []).append((bound, count))
    found: Vector = {}
    for labels, counts in grouped.items():
        total = max(count for _, count in counts)
        found[labels] = min(bound for bound, count in counts if count >= share * total) if total else math.nan
    return found


def _aggregated(node: Any, history: History) -> Vector:
    fold = _FOLDS.get(str(node.op))
    if fold is None or node.param is not None:
        raise Unknown(node.prettify())
    modifier = node.modifier
    if modifier is not None and str(modifier.type) != "AggModifierType.By":
        raise Unknown(node.prettify())
    kept = set() if modifier is None else set(modifier.labels)
    grouped: dict[Labels, list[float]] = {}
    for labels, value in cast(Vector, _value(node.expr, history)).items():
        grouped.setdefault(frozenset(pair for pair in labels if pair[0] in kept), []).append(value)
    return {labels: fold(values) for labels, values in grouped.items()}


def _combined(node: Any, left: Value, right: Value) -> Value:
    op = str(node.op)
    if op in ("and", "unless", "or"):
        return _of_sets(op, cast(Vector, left), cast(Vector, right), _key_of(node))
    if isinstance(left, float) and isinstance(right, float):
        return _computed(op, left, right)
    if isinstance(right, float):
        return _kept(op, ((labels, value, right) for labels, value in cast(Vector, left).items()))
    if isinstance(left, float):
        return _kept(op, ((labels, left, value) for labels, value in right.items()))
    key = _key_of(node)
    others = {key(labels): value for labels, value in right.items()}
    pairs = ((labels, value, others[key(labels)]) for labels, value in left.items() if key(labels) in others)
    return _kept(op, pairs)


def _kept(op: str, pairs: Iterable[tuple[Labels, float, float]]) -> Vector:
    if op in _COMPARISONS:
        return {labels: left for labels, left, right in pairs if _COMPARISONS[op](left, right)}
    return {labels: _computed(op, left, right) for labels, left, right in pairs}


def _computed(op: str, left: float, right: float) -> float:
    if op == "/":
        return left / right if right else math.nan if not left else math.copysign(math.inf, left)
    if op not in _ARITHMETIC:
        raise Unknown(op)
    return _ARITHMETIC[op](left, right)


def _of_sets(op: str, left: Vector, right: Vector, key: Callable[[Labels], Labels]) -> Vector:
    others = {key(labels) for labels in right}
    if op == "or":
        mine = {key(labels) for labels in left}
        return left | {labels: value for labels, value in right.items() if key(labels) not in mine}
    return {labels: value for labels, value in left.items() if (key(labels) in others) == (op == "and")}


def _key_of(node: Any) -> Callable[[Labels], Labels]:
    matching = None if node.modifier is None else node.modifier.matching
    if matching is None:
        return lambda labels: labels
    names, on = set(matching.labels), str(matching.type).endswith("Include")
    return lambda labels: frozenset(pair for pair in labels if (pair[0] in names) == on)


def holds(value: Value) -> Sequence[Mapping[str, str]]:
    """Of which label sets an alert's expression is true."""
    return [dict(labels) for labels in cast(Vector, value)]
