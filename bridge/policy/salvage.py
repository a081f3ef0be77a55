"""What is left of a file of faulty shape, so that the rest of what is wrong with it is found in the same run.

Only what cannot mislead is filled in or left out. A rule with any other fault is left out whole: its unknown key may
be the one that is missed next, and findings about half a rule would be of our making.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

Place = tuple[int | str, ...]

# A key of an entry by which nothing is decided, and what stands in for it.
_IDLE_KEY, _STAND_IN = "why", "(not said)"


@dataclass(frozen=True, slots=True)
class Part:
    """What is left, as raw as it was. `numbers`: where each entry that is left stands in the file."""

    raw: dict[str, object]
    numbers: tuple[int, ...]


def sound_part(raw: dict[str, object], faults: Sequence[Place], entries: str, *, known: Collection[str]) -> Part | None:
    """The file without the entries that have a fault of shape. `faults` are the places of all of them, `entries` the
    key of the list of entries, `known` the keys that a file of this kind has.

    None when a fault is in what all entries hang on (the trust domain, the list itself). Not checked: that what is
    left has a shape.
    """
    left, lost, unsaid = dict(raw), set[int](), set[int]()
    for place in faults:
        match place:
            case (key, int(number), *rest) if key == entries:
                (unsaid if rest == [_IDLE_KEY] else lost).add(number)
            case ("version",):
                left["version"] = 1
            case (str(key),) if key not in known:
                left.pop(key, None)
            case _:
                return None
    written = left.get(entries, [])
    if not isinstance(written, list):
        return None
    numbers = tuple(number for number in range(len(written)) if number not in lost)
    left[entries] = [
        {**written[number], _IDLE_KEY: _STAND_IN} if number in unsaid else written[number] for number in numbers
    ]
    return Part(left, numbers)
