"""From cells back to patterns: "all of these, but not those", in the words of the rules where that can be.

What is said is exact; that it is said in the fewest words is not promised.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bridge.policy.cells import Cell, Partition, Shape
from bridge.policy.pattern import Token, subsumes


@dataclass(frozen=True, slots=True)
class Extent:
    """Everybody whom `shape` stands for, without those of `but_not`. `cells` are the numbers of the cells in it."""

    shape: Shape
    but_not: tuple[Shape, ...]
    cells: frozenset[int]


class Describer:
    """Puts sets of cells into words. `hot` are the patterns whose cells were made: all others lie in part outside."""

    def __init__(self, partition: Partition, cells: Sequence[Cell], hot: Collection[Shape]) -> None:
        self._shapes = partition.shapes
        self._space = partition.space
        self._cells = sorted(cells, key=lambda cell: (_key(cell.shape.tokens), cell.shape.tail))
        self._keys = [_key(cell.shape.tokens) for cell in self._cells]
        self._within: dict[int, set[int]] = defaultdict(set)
        for place, cell in enumerate(self._cells):
            for number in cell.matched:
                self._within[number].add(place)
        self._hot = sorted(
            (number for number, shape in enumerate(self._shapes) if shape in hot),
            key=lambda number: (-len(self._within[number]), _order(self._shapes[number])),
        )
        self._known: dict[frozenset[int], tuple[Extent, ...]] = {}

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells by number."""
        return self._cells

    def describe(self, chosen: Collection[int]) -> tuple[Extent, ...]:
        """The cells with these numbers, and no others. One may stand in several extents."""
        key = frozenset(chosen)
        if key not in self._known:
            self._known[key] = _needed(list(self._extents(key)))
        return self._known[key]

    def _extents(self, chosen: frozenset[int]) -> Iterator[Extent]:
        left = set(chosen)
        for number in self._hot:
            inside = self._within[number]
            hits = inside & left
            if hits:
                extent = self._extent(self._shapes[number], inside, chosen)
                # Saying the few cells one by one is shorter than a long list of exceptions.
                if extent.cells & left and len(extent.but_not) <= 2 * len(hits) + 3:
                    left -= extent.cells
                    yield extent
        for place in sorted(left, key=lambda place: _generality(self._cells[place].shape)):
            if place in left:
                extent = self._extent(self._cells[place].shape, self._below(place), chosen)
                left -= extent.cells
                yield extent

    def _below(self, place: int) -> set[int]:
        """The cells that the shape of one reaches: itself, and more literal ones."""
        shape = self._cells[place].shape
        if None not in shape.tokens and not shape.tail:
            return {place}
        literal = shape.tokens[: shape.tokens.index(None)] if None in shape.tokens else shape.tokens
        pattern = shape.pattern(self._space)
        found = set()
        for at in range(bisect_left(self._keys, _key(literal)), len(self._cells)):
            other = self._cells[at].shape
            if other.tokens[: len(literal)] != literal:
                break
            if subsumes(pattern, other.pattern(self._space)):
                found.add(at)
        return found

    def _extent(self, shape: Shape, inside: set[int], chosen: frozenset[int]) -> Extent:
        """The shape, without all that is inside and not chosen; and perhaps without some that are: these are left for
        other words."""
        misses = inside - chosen
        but_not: list[Shape] = []
        out: set[int] = set()
        numbers = {number for place in misses for number in self._cells[place].matched}
        ranked = sorted(numbers, key=lambda n: (-len(self._within[n] & misses), _order(self._shapes[n])))
        for number in ranked:
            theirs = self._within[number] & inside
            if theirs <= misses and not theirs <= out:
                but_not.append(self._shapes[number])
                out |= theirs
        for place in sorted(misses - out, key=lambda place: _generality(self._cells[place].shape)):
            if place not in out:
                but_not.append(self._cells[place].shape)
                out |= self._below(place) & inside
        return Extent(shape, tuple(sorted(but_not, key=_order)), frozenset(inside - out))


def _needed(extents: list[Extent]) -> tuple[Extent, ...]:
    """The extents without those that only say again what others say."""
    told = Counter(place for extent in extents for place in extent.cells)
    kept = []
    for extent in sorted(extents, key=lambda one: len(one.cells)):
        if all(told[place] > 1 for place in extent.cells):
            told.subtract(extent.cells)
        else:
            kept.append(extent)
    return tuple(kept)


def _key(tokens: tuple[Token, ...]) -> tuple[tuple[bool, str], ...]:
    return tuple((token is not None, token or "") for token in tokens)


def _order(shape: Shape) -> tuple[tuple[tuple[bool, str], ...], bool]:
    return _key(shape.tokens), shape.tail


def _generality(shape: Shape) -> tuple[bool, int, tuple[tuple[bool, str], ...]]:
    """The most general first: a `**`, then many wildcards."""
    return not shape.tail, -shape.tokens.count(None), _key(shape.tokens)
