"""Who may introspect tokens for a resource, before and after a change of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.model.identity import Source
from bridge.policy.catalogue import Catalogue
from bridge.policy.cells import Partition, Shape
from bridge.policy.describe import Describer
from bridge.policy.pattern import Space
from bridge.policy.standing_for import spelled_shape


@dataclass(frozen=True, slots=True)
class IntrospectionChange:
    """Those that `pattern` stands for and none of `but_not` may introspect tokens for the resource now (`gained`), or
    no longer."""

    resource: str
    pattern: str
    but_not: tuple[str, ...]
    gained: bool


def introspection_changes(before: Catalogue, after: Catalogue) -> Iterator[IntrospectionChange]:
    """All changes, by resource. Raises: TooIntricate."""
    for resource in sorted({*before.introspectors, *after.introspectors}):
        one, other = (_by_space(catalogue, resource) for catalogue in (before, after))
        for space in sorted({*one, *other}, key=str):
            yield from _in_space(resource, space, one.get(space, frozenset()), other.get(space, frozenset()))


def _by_space(catalogue: Catalogue, resource: str) -> dict[Space, frozenset[Shape]]:
    patterns = catalogue.introspectors.get(resource, ())
    spaces = {pattern.space for pattern in patterns}
    return {space: frozenset(Shape.of(one) for one in patterns if one.space == space) for space in spaces}


def _in_space(
    resource: str, space: Space, before: frozenset[Shape], after: frozenset[Shape]
) -> Iterator[IntrospectionChange]:
    hot = before ^ after
    partition = Partition(space, sorted(before | after, key=repr))
    describer = Describer(partition, partition.cells(hot), hot)
    for gained in (False, True):
        was, now = (after, before) if not gained else (before, after)
        chosen = {
            place
            for place, cell in enumerate(describer.cells)
            if _named(partition, cell.matched, now) and not _named(partition, cell.matched, was)
        }
        for extent in describer.describe(chosen):
            but_not = tuple(spelled_shape(Source.SPIFFE, space, shape) for shape in extent.but_not)
            yield IntrospectionChange(resource, spelled_shape(Source.SPIFFE, space, extent.shape), but_not, gained)


def _named(partition: Partition, matched: tuple[int, ...], by: frozenset[Shape]) -> bool:
    return any(partition.shapes[number] in by for number in matched)
