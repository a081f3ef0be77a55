"""Which rules of two policies mean the same, whatever they are called and wherever they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

from bridge.model.terms import Effect
from bridge.policy.cells import Shape
from bridge.policy.pattern import Pattern
from bridge.policy.rule import Rule


class Senses:
    """Gives equal numbers to rules that do the same to whomever they name."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[int, int] = {}

    def of(self, rule: Rule) -> int:
        """The number of what the rule does. Its patterns are no part of that, but those of `actors` are."""
        known = self._known.get(id(rule))
        if known is None:
            known = self._known[id(rule)] = self._numbers.setdefault(_sense(rule), len(self._numbers))
        return known

    def changed(self, before: Iterable[Rule], after: Iterable[Rule]) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
        """The rules that are no longer there, and those that are new. One that was changed is both."""
        kept, new = list(before), list(after)
        theirs = Counter(self._whole(rule) for rule in new)
        ours = Counter(self._whole(rule) for rule in kept)
        gone = tuple(rule for rule in kept if ours[self._whole(rule)] > theirs[self._whole(rule)])
        come = tuple(rule for rule in new if theirs[self._whole(rule)] > ours[self._whole(rule)])
        return gone, come

    def _whole(self, rule: Rule) -> Hashable:
        return self.of(rule), frozenset(_place(pattern) for pattern in rule.patterns)


def _sense(rule: Rule) -> Hashable:
    given = None if rule.terms is None else (rule.terms.digest, tuple(rule.offer.items()), rule.client)
    return (
        rule.source,
        rule.effect,
        rule.evidence,
        rule.doors,
        rule.grant_types,
        None if rule.actors is None else frozenset(_place(actor) for actor in rule.actors),
        (rule.denial, rule.scopes, rule.resources),
        given,
        # An approval is one of this rule by name.
        rule.id if rule.effect is Effect.ASK else "",
    )


def _place(pattern: Pattern) -> Hashable:
    return pattern.space, Shape.of(pattern), pattern.weight
