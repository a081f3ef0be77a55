"""Ambiguity: two rules of equal weight that one request could meet, found without comparing all pairs.

Two patterns of equal weight overlap when they agree wherever both are literal. So patterns are sorted
into shapes (where their wildcards stand), and for each two shapes joined on the positions that are
literal in both: a hash join, linear in the number of rules for the few shapes that a policy has. What
meets in one cell of the join is then told apart by resource, by evidence, door and grant type, and by
terms, group against group and not rule against rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

from bridge.policy.findings import Report
from bridge.policy.pattern import Pattern, Space, Token, overlap, subsumes
from bridge.policy.rule import Rule

# More than so many ambiguities of one file help nobody, and their number can be the square of the rules'.
MOST_REPORTED = 50


@dataclass(frozen=True, slots=True)
class Claim:
    """One pattern of one rule, and by what it could clash: claims with a common key and no disjoint
    facet tie unless their `term` is equal."""

    rule: Rule
    pattern: Pattern
    keys: tuple[Hashable, ...]
    facets: tuple[frozenset[str], ...]
    term: Hashable


_Key = tuple[int, tuple[int, ...], bool]


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where a pattern has wildcards."""

    size: int
    stars: tuple[int, ...]
    tail: bool

    def joins(self, other: _Shape) -> tuple[int, ...] | None:
        """The positions that are literal in both; None when no lengths fit."""
        long, short = (self, other) if self.size >= other.size else (other, self)
        if long.size == short.size:
            if long.tail is not short.tail:
                return None
        elif not short.tail:
            return None
        return tuple(i for i in range(short.size) if i not in self.stars and i not in other.stars)


def check_ties(rules: Sequence[Rule], report: Report) -> None:
    """Report every ambiguous pair of rules, at most `MOST_REPORTED` of each kind."""
    granting = [rule for rule in rules if rule.terms is not None]
    _report(granting, _terms_claims, _tied_terms, "ambiguous", report)
    _report([rule for rule in granting if rule.client is not None], _client_claims, _tied_clients, "client-tie", report)


def _terms_claims(rule: Rule) -> Iterator[Claim]:
    assert rule.terms is not None, "only rules with terms come here"
    facets = (
        frozenset[str](rule.evidence or ()),
        frozenset[str](rule.doors or ()),
        frozenset[str](rule.grant_types or ()),
    )
    for pattern in rule.patterns:
        yield Claim(rule, pattern, rule.terms.resources, facets, (rule.effect, rule.terms.digest))


def _client_claims(rule: Rule) -> Iterator[Claim]:
    # The client belongs to the identity: what is asked, and with which evidence, tells nothing apart.
    for pattern in rule.patterns:
        yield Claim(rule, pattern, ("",), (), rule.client)


def _tied_terms(one: Claim, other: Claim) -> str:
    return (
        f"one request can meet this rule and '{other.rule.id}' with equal weight {one.pattern.weight} "
        f"('{one.pattern.text}', '{other.pattern.text}') and other terms: make one pattern more literal, "
        "the terms equal, or evidence, doors, grant types or resources disjoint"
    )


def _tied_clients(one: Claim, other: Claim) -> str:
    return (
        f"this rule and '{other.rule.id}' give one identity different clients with equal weight "
        f"{one.pattern.weight} ('{one.pattern.text}', '{other.pattern.text}')"
    )


def _report(
    rules: Sequence[Rule],
    claims: Callable[[Rule], Iterable[Claim]],
    words: Callable[[Claim, Claim], str],
    code: str,
    report: Report,
) -> None:
    told: set[tuple[str, str]] = set()
    for one, other in _clashes(claim for rule in rules for claim in claims(rule)):
        first, second = sorted((one, other), key=lambda claim: claim.rule.number)
        pair = (first.rule.id, second.rule.id)
        if pair in told:
            continue
        if len(told) == MOST_REPORTED:
            report.error(code, f"more than {MOST_REPORTED} such pairs; the others are not listed")
            return
        told.add(pair)
        report.error(code, words(second, first), "rule", second.rule.number, "when", rule=second.rule.id)


def _clashes(claims: Iterable[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """Pairs of claims of different rules that one request could meet with equal weight."""
    buckets: dict[tuple[Space, int], dict[_Key, list[Claim]]] = defaultdict(lambda: defaultdict(list))
    for claim in claims:
        pattern = claim.pattern
        stars = tuple(i for i, token in enumerate(pattern.tokens) if token is None) if None in pattern.tokens else ()
        buckets[pattern.space, pattern.weight][len(pattern.tokens), stars, pattern.tail].append(claim)
    for by_key in buckets.values():
        # Hashing a shape costs more than hashing what it is made of, and there is one look-up per claim.
        by_shape = [(_Shape(*key), found) for key, found in by_key.items()]
        for (one, ones), (other, others) in combinations_with_replacement(by_shape, 2):
            positions = one.joins(other)
            if positions is not None:
                yield from _join(ones, others, positions, same=one is other)


def _join(
    ones: list[Claim], others: list[Claim], positions: tuple[int, ...], *, same: bool
) -> Iterator[tuple[Claim, Claim]]:
    cells: dict[tuple[Token, ...], list[Claim]] = defaultdict(list)
    for claim in ones:
        tokens = claim.pattern.tokens
        cells[tuple(tokens[i] for i in positions)].append(claim)
    if same:
        for cell in cells.values():
            if len(cell) > 1:
                yield from _within(cell, cell)
        return
    matching: dict[tuple[Token, ...], list[Claim]] = defaultdict(list)
    for claim in others:
        tokens = claim.pattern.tokens
        projection = tuple(tokens[i] for i in positions)
        if projection in cells:
            matching[projection].append(claim)
    for projection, found in matching.items():
        yield from _within(cells[projection], found)


_Groups = dict[Hashable, dict[tuple[frozenset[str], ...], dict[Hashable, list[Claim]]]]


def _grouped(claims: list[Claim]) -> _Groups:
    groups: _Groups = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for claim in claims:
        for key in claim.keys:
            groups[key][claim.facets][claim.term].append(claim)
    return groups


def _within(ones: list[Claim], others: list[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """Clashes between two lists whose patterns all overlap pairwise."""
    left, right = _grouped(ones), _grouped(others)
    for key in left.keys() & right.keys():
        for facets, terms in left[key].items():
            for other_facets, other_terms in right[key].items():
                if any(not (mine & theirs) for mine, theirs in zip(facets, other_facets, strict=True)):
                    continue
                for term, found in terms.items():
                    for other_term, others_found in other_terms.items():
                        if term != other_term:
                            yield from ((a, b) for a in found for b in others_found if _is_tie(a, b))


def _is_tie(one: Claim, other: Claim) -> bool:
    """Not a tie: two patterns of one rule, and an overlap where one of the rules has a heavier pattern
    anyway."""
    if one.rule is other.rule:
        return False
    if len(one.rule.patterns) == 1 == len(other.rule.patterns):
        return True
    common = overlap(one.pattern, other.pattern)
    if common is None:
        return False
    heavier = (
        pattern for claim in (one, other) for pattern in claim.rule.patterns if pattern.weight > claim.pattern.weight
    )
    return not any(subsumes(pattern, common) for pattern in heavier)
