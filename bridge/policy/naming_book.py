"""The rules of two policies by the patterns they name people with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from bridge.model.identity import Source
from bridge.policy.cells import Shape
from bridge.policy.index import Entry
from bridge.policy.pattern import Space
from bridge.policy.rule import Rule

Sides = tuple[list[Entry], list[Entry]]


class NamingBook:
    """Which rules have a pattern of some shape, before and after."""

    def __init__(self, before: Iterable[Rule], after: Iterable[Rule]) -> None:
        self._pages: dict[tuple[Source, Space], dict[Shape, Sides]] = defaultdict(dict)
        for side, rules in enumerate((before, after)):
            for rule in rules:
                for number, pattern in enumerate(rule.patterns):
                    page = self._pages[rule.source, pattern.space]
                    page.setdefault(Shape.of(pattern), ([], []))[side].append((-pattern.weight, rule.id, number, rule))

    def spaces(self, source: Source) -> Iterator[Space]:
        """The spaces in which rules of a source name anybody."""
        return (space for at, space in self._pages if at is source)

    def shapes(self, source: Source, space: Space, *, only_denies: bool = False) -> Iterator[Shape]:
        """The shapes of all patterns there."""
        for shape, (before, after) in self._pages.get((source, space), {}).items():
            if not only_denies or any(entry[3].denial is not None for entry in (*before, *after)):
                yield shape

    def naming(self, source: Source, space: Space, shapes: Collection[Shape], *, only_denies: bool = False) -> Sides:
        """The entries that name whom exactly these patterns stand for, the heaviest first."""
        page = self._pages.get((source, space), {})
        found: Sides = ([], [])
        for shape in shapes:
            for side, entries in zip(found, page.get(shape, ((), ())), strict=True):
                side += (entry for entry in entries if not only_denies or entry[3].denial is not None)
        for side in found:
            side.sort()
        return found
