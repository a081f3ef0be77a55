"""Who may act for a document, cell by cell: the second half of the name of such a request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bridge.model.identity import Source
from bridge.policy.cells import Partition, Shape
from bridge.policy.comparison import Comparison, Member, Told
from bridge.policy.describe import Describer
from bridge.policy.differences import Difference
from bridge.policy.naming_book import NamingBook, Sides
from bridge.policy.pattern import Space
from bridge.policy.permits import Way
from bridge.policy.standing_for import MadeUp, spelled_shape


@dataclass(slots=True)
class Rules:
    """Rules by which a difference came about."""

    before: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)

    def add(self, told: Told) -> None:
        """Note the rules of one cell."""
        self.before |= {told.rule_before} if told.rule_before is not None else set()
        self.after |= {told.rule_after} if told.rule_after is not None else set()

    def join(self, other: Rules) -> None:
        """Note those of others too."""
        self.before |= other.before
        self.after |= other.after


@dataclass(frozen=True, slots=True)
class Actor:
    """The SPIFFE IDs that act: those that `pattern` stands for and none of `but_not`. No pattern: nobody acts."""

    pattern: str | None = None
    but_not: tuple[str, ...] = ()


NOBODY = Actor()


@dataclass(frozen=True, slots=True)
class _Field:
    """The cells of SPIFFE IDs that some rules of documents tell apart."""

    space: Space
    partition: Partition
    describer: Describer
    made_up: MadeUp


class Acting:
    """Compares two policies for the workloads that may act for a document."""

    def __init__(self, book: NamingBook, comparison: Comparison, as_told: Callable[[Difference], Difference]) -> None:
        """`as_told` makes of a difference the one that is told."""
        self._book, self._comparison, self._as_told = book, comparison, as_told
        self._fields: dict[tuple[Space, frozenset[Shape], frozenset[Shape]], _Field] = {}

    def told(self, made_up: MadeUp, document: Shape, naming: Sides) -> Iterator[tuple[Way, Difference, Actor, Rules]]:
        """The differences for documents of that cell, by who acts for them. `naming`: the entries that name them."""
        for space, hot, shapes in self._acting(naming):
            field = self._field(space, hot, shapes)
            found: dict[tuple[Way, Difference], dict[int, Rules]] = defaultdict(lambda: defaultdict(Rules))
            for place in range(len(field.describer.cells)):
                member = self._member(field, made_up, document, naming, place)
                for told in self._comparison.of(Source.METADATA_DOCUMENT, member, acted=True):
                    found[told.way, self._as_told(told.difference)][place].add(told)
            for (way, difference), cells in found.items():
                yield from _described(field, way, difference, cells)

    def _acting(self, naming: Sides) -> Iterator[tuple[Space, frozenset[Shape], frozenset[Shape]]]:
        """By trust domain, the shapes of whom rules let act, and of all who are told apart."""
        hot: dict[Space, set[Shape]] = defaultdict(set)
        all_of: dict[Space, set[Shape]] = defaultdict(set)
        for rule in (entry[3] for side in naming for entry in side):
            for actor in rule.actors or ():
                all_of[actor.space].add(Shape.of(actor))
                if rule.terms is not None:
                    hot[actor.space].add(Shape.of(actor))
        for space in sorted(hot, key=str):
            denied = self._book.shapes(Source.SPIFFE, space, only_denies=True)
            yield space, frozenset(hot[space]), frozenset(all_of[space].union(denied))

    def _field(self, space: Space, hot: frozenset[Shape], shapes: frozenset[Shape]) -> _Field:
        known = self._fields.get((space, hot, shapes))
        if known is None:
            partition = Partition(space, shapes)
            describer = Describer(partition, partition.cells(hot), hot)
            known = _Field(space, partition, describer, MadeUp(Source.SPIFFE, space, shapes))
            self._fields[space, hot, shapes] = known
        return known

    def _member(self, field: _Field, made_up: MadeUp, document: Shape, naming: Sides, place: int) -> Member:
        cell = field.describer.cells[place]
        spiffe_id = field.made_up.spiffe_id(cell.shape)
        matched = [field.partition.shapes[number] for number in cell.matched]
        # The denies of a trust domain follow its SPIFFE IDs to the documents they act for (interface section 3).
        denies = self._book.naming(Source.SPIFFE, field.space, matched, only_denies=True)
        before, after = (sorted([*ours, *theirs]) for ours, theirs in zip(naming, denies, strict=True))
        return Member(lambda evidence: made_up.subject(document, evidence, spiffe_id), made_up.spelled, (before, after))


def _described(
    field: _Field, way: Way, difference: Difference, cells: Mapping[int, Rules]
) -> Iterator[tuple[Way, Difference, Actor, Rules]]:
    for extent in field.describer.describe(cells):
        rules = Rules()
        for place in extent.cells:
            rules.join(cells[place])
        but_not = tuple(spelled_shape(Source.SPIFFE, field.space, shape) for shape in extent.but_not)
        yield way, difference, Actor(spelled_shape(Source.SPIFFE, field.space, extent.shape), but_not), rules
