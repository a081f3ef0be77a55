"""The policy as a matrix: who may have which scope, by which rule. From the exact survey of reach, once per policy."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.model.identity import Source
from bridge.model.terms import Effect
from bridge.policy.evaluate import PolicySet
from bridge.policy.reach import Reach, Survey
from bridge.policy.rule import Rule


@dataclass(frozen=True, slots=True, order=True)
class Who:
    """One line: a pattern of identities, and for a document the SPIFFE IDs that act for it."""

    source: Source
    pattern: str
    actor: str


@dataclass(frozen=True, slots=True)
class Given:
    """Why somebody may have a scope. `with_` are kinds of evidence; `how` grant types with their doors; `asks`: once an
    operator approved it; `unless`: denies that take it from a part of those whom the pattern stands for."""

    rule: Rule
    asks: bool
    with_: Sequence[str]
    how: Sequence[str]
    unless: Sequence[str]


Line = Mapping[str, Sequence[Given]]
_Found = dict[tuple[str, bool, tuple[str, ...]], tuple[set[str], set[str]]]


class Matrix:
    """Everything that one policy gives, by resource, line and scope."""

    def __init__(self, policy: PolicySet) -> None:
        """Reads all rules."""
        self.policy = policy
        rules = {rule.id: rule for rule in policy.rules}
        found: dict[str, dict[Who, dict[str, _Found]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
        for row in Survey(policy).whole():
            who = Who(row.source, row.pattern, row.actor or "")
            _note(found[row.resource][who][row.scope], row)
        self._lines: dict[str, list[tuple[Who, Line]]] = {
            resource: [
                (who, {scope: _given(ways, rules) for scope, ways in scopes.items()}) for who, scopes in lines.items()
            ]
            for resource, lines in found.items()
        }

    def lines(self, resource: str, name: str = "") -> list[tuple[Who, Line]]:
        """The lines of a resource whose pattern has `name` in it, by source and pattern."""
        return [line for line in self._lines.get(resource, ()) if name in line[0].pattern or name in line[0].actor]

    def having(self, scope: str, name: str = "") -> list[tuple[Who, Sequence[Given]]]:
        """Who may have the scope, by source and pattern. Nobody has one that the catalogue does not know."""
        resource = self.policy.catalogue.home.get(scope, "")
        return [(who, line[scope]) for who, line in self.lines(resource, name) if scope in line]

    def number(self, resource: str) -> int:
        """How many lines a resource has."""
        return len(self._lines.get(resource, ()))


def _note(ways: _Found, row: Reach) -> None:
    evidence, how = ways.setdefault((row.rule, row.effect is Effect.ASK, row.unless), (set(), set()))
    evidence.add(row.evidence.value)
    how |= {f"{grant_type} at {row.door.value}" for grant_type in row.grant_types}


def _given(ways: _Found, rules: Mapping[str, Rule]) -> Sequence[Given]:
    return tuple(
        Given(rules[rule], asks, sorted(evidence), sorted(how), unless)
        for (rule, asks, unless), (evidence, how) in ways.items()
    )


class Matrices:
    """The matrix of the policy in force, made anew only when that is another. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Matrix | None = None

    def of(self, policy: PolicySet) -> Matrix:
        """The matrix of that policy. Of ten thousand rules it takes about a second to make."""
        with self._lock:
            if self._last is None or self._last.policy is not policy:
                self._last = Matrix(policy)
            return self._last
