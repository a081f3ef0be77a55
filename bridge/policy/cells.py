"""Identities sorted into cells: in one cell are all those for which the same patterns stand.

Two rule sets answer everybody in a cell alike, so that one of them speaks for all. The cells are found by walking a
tree of the patterns' tokens with every way at once that a token could go, and "a token that no pattern says here" as
one way more; a part of the tree that no pattern of interest reaches is never walked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bridge.policy.pattern import Pattern, Space, Token

# Patterns with wildcards crosswise make cells by the square of their number.
MOST_CELLS = 200_000


class TooIntricate(ValueError):
    """The patterns cut each other into more cells than can be looked at."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Whom an answer is about, as tokens of one space: None is any one token, `tail` one token or more behind them."""

    tokens: tuple[Token, ...]
    tail: bool

    @classmethod
    def of(cls, pattern: Pattern) -> Shape:
        """The shape of a pattern."""
        return cls(pattern.tokens, pattern.tail)

    def pattern(self, space: Space) -> Pattern:
        """The shape as a pattern that can be compared with others; it has no text of its own."""
        return Pattern("", space, self.tokens, self.tail, 0)


@dataclass(frozen=True, slots=True)
class Cell:
    """Identities that the same patterns stand for; `matched` are the numbers of those patterns. In `shape` None is a
    token that no pattern says in this place, so a cell holds less than its shape reaches: not what other cells of
    more literal shapes hold."""

    shape: Shape
    matched: tuple[int, ...]


class _Node:
    __slots__ = ("ends", "is_hot", "literals", "star", "tails")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.star: _Node | None = None
        self.ends: list[int] = []
        self.tails: list[int] = []
        self.is_hot = False

    def child(self, token: Token) -> _Node:
        """The node behind a token, made now if there is none."""
        if token is None:
            self.star = self.star or _Node()
            return self.star
        return self.literals.setdefault(token, _Node())


# Where the walk stands: the nodes it could be at, the tokens so far, and the patterns whose `**` has begun.
_Place = tuple[list[_Node], tuple[Token, ...], tuple[int, ...]]


class Partition:
    """The cells that some patterns of one space make. `shapes` are the patterns, each once, by number."""

    def __init__(self, space: Space, shapes: Iterable[Shape]) -> None:
        self.space = space
        self.shapes: Sequence[Shape] = tuple(dict.fromkeys(shapes))

    def cells(self, hot: Collection[Shape]) -> list[Cell]:
        """The cells of everybody for whom a shape of `hot` stands. Raises: TooIntricate."""
        numbers = frozenset(number for number, shape in enumerate(self.shapes) if shape in hot)
        found: list[Cell] = []
        for cell in _walk(self._tree(numbers), numbers):
            found.append(cell)
            if len(found) > MOST_CELLS:
                raise TooIntricate(f"the patterns of {self.space} cut each other into more than {MOST_CELLS} parts")
        return found

    def _tree(self, hot: frozenset[int]) -> _Node:
        root = _Node()
        for number, shape in enumerate(self.shapes):
            node = root
            node.is_hot |= number in hot
            for token in shape.tokens:
                node = node.child(token)
                node.is_hot |= number in hot
            (node.tails if shape.tail else node.ends).append(number)
        return root


def _walk(root: _Node, hot: frozenset[int]) -> Iterator[Cell]:
    places: list[_Place] = [([root], (), ())]
    while places:
        nodes, tokens, begun = places.pop()
        here = tuple(sorted([*begun, *(number for node in nodes for number in node.ends)]))
        if not hot.isdisjoint(here):
            yield Cell(Shape(tokens, tail=False), here)
        begun = tuple(sorted([*begun, *(number for node in nodes for number in node.tails)]))
        reaches = not hot.isdisjoint(begun)
        if not any(node.literals or node.star for node in nodes):
            if reaches:
                yield Cell(Shape(tokens, tail=True), begun)
            continue
        stars = [node.star for node in nodes if node.star is not None]
        ways: list[_Place] = [(stars, (*tokens, None), begun)]
        for literal in {literal for node in nodes for literal in node.literals}:
            following = [node.literals[literal] for node in nodes if literal in node.literals]
            # No wildcard stands for an empty segment, which only a URL can have.
            ways.append((following + stars, (*tokens, literal), begun) if literal else (following, (*tokens, ""), ()))
        places += [way for way in ways if any(node.is_hot for node in way[0]) or not hot.isdisjoint(way[2])]
