"""What a change of policy means: who gains what, loses what, or gets it on other terms. Exact, and not about texts.

The identities that some changed rule names are sorted into cells in which both policies answer everybody alike; one
member of each cell is asked what it gets, by the engine itself; and the cells with one answer become patterns again.
Whom no changed rule names is answered as before.

Not compared: approvals and what an operator denied, which are the store's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import Source
from bridge.policy.acting import NOBODY, Acting, Actor, Rules
from bridge.policy.cells import Partition, Shape
from bridge.policy.comparison import Comparison, Member
from bridge.policy.describe import Describer
from bridge.policy.differences import Difference, in_short
from bridge.policy.evaluate import PolicySet
from bridge.policy.naming_book import NamingBook
from bridge.policy.pattern import Space, overlap
from bridge.policy.permits import Way
from bridge.policy.rule import Rule
from bridge.policy.senses import Senses
from bridge.policy.standing_for import MadeUp, spelled_shape


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a change is about: those that `pattern` stands for and none of `but_not`, while `actor` acts for them."""

    pattern: str
    but_not: tuple[str, ...] = ()
    actor: Actor = NOBODY


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that requests of some identities are answered differently. `rules_before` and `rules_after` are the
    rules that decided, denies among them; none where no rule did."""

    source: Source
    who: Who
    evidence: EvidenceKind
    door: Door
    grant_types: tuple[str, ...]
    difference: Difference
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]

    @property
    def kind(self) -> str:
        """`gains`, `loses` or `changes`."""
        if self.difference.before is None:
            return "gains"
        return "loses" if self.difference.after is None else "changes"


# What is told of a cell: the way, the difference, and who acts.
_Key = tuple[Way, Difference, Actor]
# What stands in one line, whatever the grant type.
_Line = tuple[Who, EvidenceKind, Door, Difference]


class PolicyDiff:
    """Two policies, compared."""

    def __init__(self, before: PolicySet, after: PolicySet, *, in_short: bool = False) -> None:
        """`in_short`: what is gained or lost is told without its terms, so that fewer words say it."""
        self._in_short = in_short
        senses = Senses()
        gone, come = senses.changed(before.rules, after.rules)
        self._changed = (*gone, *come)
        self._all = (*before.rules, *after.rules)
        self._book = NamingBook(before.rules, after.rules)
        self._comparison = Comparison(before, after, senses)
        self._acting = Acting(self._book, self._comparison, self._as_told)

    def changes(self) -> Iterator[Change]:
        """All changes, by source, pattern and way. Raises: TooIntricate."""
        for source in Source:
            hot = self._hot(source)
            for space in sorted(hot, key=str):
                yield from self._in_space(source, space, hot[space])

    def _hot(self, source: Source) -> Mapping[Space, frozenset[Shape]]:
        """Whom a change could be about: the patterns of changed rules by space, and of documents for which somebody
        acts whom a changed deny meets."""
        rules = [rule for rule in self._changed if rule.source is source]
        if source is Source.METADATA_DOCUMENT:
            denies = [rule for rule in self._changed if rule.source is Source.SPIFFE and rule.denial is not None]
            documents = [rule for rule in self._all if rule.source is source and rule.actors]
            rules += (rule for rule in documents if any(_meets_actor(deny, rule) for deny in denies))
        found: dict[Space, set[Shape]] = defaultdict(set)
        for rule in rules:
            for pattern in rule.patterns:
                found[pattern.space].add(Shape.of(pattern))
        return {space: frozenset(shapes) for space, shapes in found.items()}

    def _in_space(self, source: Source, space: Space, hot: frozenset[Shape]) -> Iterator[Change]:
        partition = Partition(space, self._book.shapes(source, space))
        describer = Describer(partition, partition.cells(hot), hot)
        found = self._told(source, partition, describer)
        lines: dict[_Line, tuple[set[str], Rules]] = defaultdict(lambda: (set(), Rules()))
        for (way, difference, actor), cells in found.items():
            for extent in describer.describe(cells):
                but_not = tuple(spelled_shape(source, space, shape) for shape in extent.but_not)
                who = Who(spelled_shape(source, space, extent.shape), but_not, actor)
                grant_types, rules = lines[who, way.evidence, way.door, difference]
                grant_types.add(way.grant_type)
                for place in extent.cells:
                    rules.join(cells[place])
        for (who, evidence, door, difference), (grant_types, rules) in sorted(lines.items(), key=_line_order):
            ids = tuple(sorted(rules.before)), tuple(sorted(rules.after))
            yield Change(source, who, evidence, door, tuple(sorted(grant_types)), difference, *ids)

    def _told(self, source: Source, partition: Partition, describer: Describer) -> dict[_Key, dict[int, Rules]]:
        """What is told of each cell, by what is told."""
        space = partition.space
        uris = [uri for rule in self._all if rule.source is source and rule.terms for uri in rule.terms.redirect_uris]
        made_up = MadeUp(source, space, partition.shapes, uris)
        found: dict[_Key, dict[int, Rules]] = defaultdict(lambda: defaultdict(Rules))
        for place, cell in enumerate(describer.cells):
            naming = self._book.naming(source, space, [partition.shapes[number] for number in cell.matched])
            member = Member(partial(made_up.subject, cell.shape), made_up.spelled, naming)
            for told in self._comparison.of(source, member, acted=False):
                found[told.way, self._as_told(told.difference), NOBODY][place].add(told)
            if source is Source.METADATA_DOCUMENT:
                for way, difference, actor, rules in self._acting.told(made_up, cell.shape, naming):
                    found[way, difference, actor][place].join(rules)
        return found

    def _as_told(self, difference: Difference) -> Difference:
        return in_short(difference) if self._in_short else difference


def _meets_actor(deny: Rule, rule: Rule) -> bool:
    """Whether a deny of a trust domain can meet somebody whom a rule of documents lets act."""
    return any(overlap(actor, pattern) for actor in rule.actors or () for pattern in deny.patterns)


def _line_order(line: tuple[_Line, tuple[set[str], Rules]]) -> tuple[object, ...]:
    who, evidence, door, difference = line[0]
    question = difference.question
    named = question.naming, question.scopes, question.resources
    actor = who.actor.pattern or "", who.actor.but_not
    return who.pattern, who.but_not, actor, named, evidence, door, repr(difference)
