"""What a change of policy gives that was not given before, short enough to stand in an audit row."""

from __future__ import annotations

from collections import defaultdict

from bridge.policy.evaluate import PolicySet
from bridge.policy.reach import spelled

# So many patterns a row names; what is more is counted.
MOST_NAMED = 200


def gained(before: PolicySet, after: PolicySet) -> tuple[dict[str, list[str]], int]:
    """By scope, the patterns that some rule of `after` gives it to and none of `before` did; and how many more there
    are than are named.

    Not looked at: denies, evidence and doors. A pattern says who as its rule spells it: two that stand for the same
    identities are two.
    """
    new = sorted(_given(after) - _given(before))
    named: dict[str, list[str]] = defaultdict(list)
    for scope, pattern in new[:MOST_NAMED]:
        named[scope].append(pattern)
    return dict(named), max(0, len(new) - MOST_NAMED)


def _given(policy: PolicySet) -> set[tuple[str, str]]:
    return {
        (scope, spelled(rule.source, pattern))
        for rule in policy.rules
        if rule.terms is not None
        for pattern in rule.patterns
        for scopes in rule.offer.values()
        for scope in scopes
    }
