"""Which rule came nearest to a request: the order in which people are told about the rules that did not decide."""

from __future__ import annotations

from bridge.model.identity import PolicySubject, Source
from bridge.model.terms import Ask, Decision, Denial, Effect
from bridge.policy.catalogue import Catalogue
from bridge.policy.cover import Cover, cover
from bridge.policy.pattern import Address, Pattern, address_of
from bridge.policy.rule import Rule

# Smaller is nearer. Compared member by member: a deny without bearing, conditions that did not hold, another
# trust domain, segments that fit from the left (and how many of them literally), whether anything but the
# name is missing, and the id.
Distance = tuple[bool, int, bool, int, int, bool, str]


def distance(
    rule: Rule, reached: int, decision: Decision, catalogue: Catalogue, subject: PolicySubject, ask: Ask
) -> Distance:
    """How far a rule was from deciding. `reached` counts its conditions that held, from the name on.

    Only rules that failed at the name are told apart by it: the others fit all of it.
    """
    aside = not _bears_on(rule, decision, ask, catalogue, subject)
    address = address_of(subject)
    if reached or address is None:
        return (aside, -reached, False, 0, 0, False, rule.id)
    foreign = subject.source is Source.SPIFFE and all(pattern.space != address.space for pattern in rule.patterns)
    fitting, literal = max((_fit(pattern, address) for pattern in rule.patterns), default=(0, 0))
    return (aside, 0, foreign, -fitting, -literal, not _would_do(rule, subject, ask, catalogue), rule.id)


def _fit(pattern: Pattern, address: Address) -> tuple[int, int]:
    """How many leading tokens of the address the pattern fits, and how many of those it says literally."""
    size = min(len(pattern.tokens), len(address.tokens))
    if isinstance(pattern.space, tuple) and isinstance(address.space, tuple) and pattern.space != address.space:
        # Hosts of different length: where the labels of the shorter one end, the paths are no longer in line.
        size = min(size, pattern.space[1], address.space[1])
    fitting = literal = 0
    for mine, token in zip(pattern.tokens[:size], address.tokens[:size], strict=True):
        if mine is not None and mine != token:
            break
        fitting += 1
        literal += mine is not None
    return fitting, literal


def _would_do(rule: Rule, subject: PolicySubject, ask: Ask, catalogue: Catalogue) -> bool:
    """Whether the rule would hold, and cover the request, if it named the subject."""
    if not rule.applies(subject, ask):
        return False
    return rule.denial is not None or isinstance(cover(rule.offer, rule.offer, ask, catalogue.home), Cover)


def _bears_on(rule: Rule, decision: Decision, ask: Ask, catalogue: Catalogue, subject: PolicySubject) -> bool:
    """Whether a rule has anything to do with an answer it did not make. Allow and ask rules do: each could
    have covered the request. A deny does where it holds, the request is refused, and what it takes away is
    asked for."""
    if rule.denial is None:
        return True
    if decision.effect is not Effect.DENY or decision.denial is Denial.PROOF:
        return False
    if rule.names(subject) is None or not rule.applies(subject, ask):
        return False
    if rule.scopes:
        return not ask.scopes or not rule.scopes.isdisjoint(ask.scopes)
    if rule.resources:
        meant = ask.resources or tuple(catalogue.home.get(scope, "") for scope in ask.scopes)
        return not meant or not rule.resources.isdisjoint(meant)
    return True
