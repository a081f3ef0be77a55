"""Rules that do less than they say: never reached, denied altogether, or meant to narrow and not narrowing.

All of these are warnings: the policy is sound without them, but somebody thought otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.terms import Denial
from bridge.policy.findings import Report
from bridge.policy.index import Entry, Trie
from bridge.policy.pattern import Pattern
from bridge.policy.rule import Rule
from bridge.policy.vocabulary import VOCABULARIES

# The order in which denies are looked at: one that comes later never decides where one before it does.
_DENIAL_ORDER = {Denial.IDENTITY: 0, Denial.GRANT_TYPE: 1, Denial.RESOURCE: 2, Denial.SCOPE: 3}


class _Book:
    """Rules by space and one more key, to find those that reach at least as far as a pattern."""

    def __init__(self) -> None:
        self._tries: dict[tuple[object, str], Trie] = defaultdict(Trie)

    def add(self, rule: Rule, keys: Iterable[str]) -> None:
        for key in keys:
            for number, pattern in enumerate(rule.patterns):
                self._tries[pattern.space, key].add(pattern, (-pattern.weight, rule.id, number, rule))

    def subsuming(self, pattern: Pattern, key: str) -> list[Entry]:
        trie = self._tries.get((pattern.space, key))
        return trie.subsuming(pattern.tokens, tail=pattern.tail) if trie is not None else []


def check_shadows(rules: Sequence[Rule], report: Report) -> None:
    """Warn of dead, denied and ineffective rules of one file."""
    granting, denying = _Book(), _Book()
    for rule in rules:
        if rule.terms is not None:
            granting.add(rule, rule.terms.resources)
        else:
            denying.add(rule, ("",))
    has_denies = any(rule.denial is not None for rule in rules)
    for rule in rules:
        if rule.terms is None:
            _check_needless_deny(rule, denying, report)
            continue
        if has_denies and _is_denied(rule, denying):
            _warn(report, "fully-denied", "deny rules take everything this rule gives", rule)
        _check_others(rule, granting, report)


def _warn(report: Report, code: str, message: str, rule: Rule) -> None:
    report.warning(code, message, "rule", rule.number, "when", rule=rule.id)


def _covering(rule: Rule, book: _Book, key: str) -> list[tuple[Rule, bool]]:
    """Other rules that name whomever this one names, each with whether they always do so with equal weight."""
    common: dict[str, tuple[Rule, bool]] = {}
    for number, pattern in enumerate(rule.patterns):
        here: dict[str, tuple[Rule, bool]] = {}
        for weight, name, _, other in book.subsuming(pattern, key):
            if other is not rule:
                here[name] = (other, -weight == pattern.weight or (name in here and here[name][1]))
        if number:
            here = {name: (other, equal and common[name][1]) for name, (other, equal) in here.items() if name in common}
        common = here
        if not common:
            break
    return list(common.values())


def _check_others(rule: Rule, book: _Book, report: Report) -> None:
    """Warn when an equal rule always comes first, or a lighter one gives all that this one gives and more."""
    terms = rule.terms
    assert terms is not None, "only rules with terms come here"
    for other, equal in _covering(rule, book, terms.resources[0]):
        theirs = other.terms
        if theirs is None or not _meets_all_of(other, rule):
            continue
        same = other.effect is rule.effect and theirs.digest == terms.digest
        if equal and same and other.id < rule.id and rule.client in (None, other.client):
            words = f"it can never decide: '{other.id}' reaches as far, with the same weight and terms"
            _warn(report, "unreachable", words, rule)
        mine_all = (set(terms.resources), set(terms.scopes), set(terms.grant_types))
        their_all = (set(theirs.resources), set(theirs.scopes), set(theirs.grant_types))
        within = all(mine <= wider for mine, wider in zip(mine_all, their_all, strict=True))
        if not equal and within and mine_all != their_all:
            words = (
                f"it gives less than the lighter rule '{other.id}', which covers all its requests and still gives "
                "the rest: to take something away, write a deny"
            )
            _warn(report, "ineffective-subset", words, rule)


def _meets_all_of(other: Rule, rule: Rule) -> bool:
    """Whether every request that `rule` admits by evidence, door and grant type, `other` admits too."""
    return (
        _reaches(other.evidence, rule.evidence)
        and _reaches(other.doors, rule.doors)
        and _reaches(other.grant_types, rule.grant_types)
        and (other.actors is None if rule.actors is None else other.actors == rule.actors)
    )


def _reaches(wider: frozenset[str] | None, narrower: frozenset[str] | None) -> bool:
    return wider is None or (narrower is not None and narrower <= wider)


def _check_needless_deny(rule: Rule, book: _Book, report: Report) -> None:
    """Warn of a deny that another one always comes before."""
    assert rule.denial is not None, "only denies come here"
    for other, equal in _covering(rule, book, ""):
        if other.denial is None or not _meets_all_of(other, rule):
            continue
        before = _DENIAL_ORDER[other.denial] < min(2, _DENIAL_ORDER[rule.denial])
        same = other.denial is rule.denial and (other.scopes, other.resources) == (rule.scopes, rule.resources)
        if before or (same and equal and other.id < rule.id):
            _warn(report, "unreachable", f"it can never decide: the deny '{other.id}' always comes before it", rule)
            return


def _is_denied(rule: Rule, book: _Book) -> bool:
    """Whether denies that reach as far as each pattern of the rule leave nothing of it, whatever the
    evidence, door and grant type."""
    evidence = rule.evidence or VOCABULARIES[rule.source].evidence
    doors = rule.doors or VOCABULARIES[rule.source].doors
    for pattern in rule.patterns:
        denies = [entry[3] for entry in book.subsuming(pattern, "") if entry[3].actors is None]
        if not denies:
            return False
        ways = product(evidence, doors, rule.grant_types or ())
        if not all(_leaves_nothing(rule, denies, *way) for way in ways):
            return False
    return bool(rule.patterns)


def _leaves_nothing(rule: Rule, denies: Sequence[Rule], evidence: EvidenceKind, door: Door, grant_type: str) -> bool:
    scopes: set[str] = set()
    resources: set[str] = set()
    for deny in denies:
        held = (
            (deny.evidence is None or evidence in deny.evidence)
            and (deny.doors is None or door in deny.doors)
            and (deny.grant_types is None or grant_type in deny.grant_types)
        )
        if held and deny.denial in (Denial.IDENTITY, Denial.GRANT_TYPE):
            return True
        if held:
            scopes |= deny.scopes
            resources |= deny.resources
    return all(resource in resources or set(left) <= scopes for resource, left in rule.offer.items())
