"""Where in a TOML text a key stands. `tomllib` keeps no positions, and people need a line to go to.

Used only when there is something to report. It reads layout, not meaning: a key inside a multi-line
string may be taken for a key, which at worst points a person at the wrong line of the right file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)([^\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")


def _dotted(text: str) -> tuple[str, ...]:
    """The parts of a TOML key, quotes taken off."""
    parts = re.findall(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:\.|$)""", text)
    return tuple(next(group for group in match if group) if any(match) else "" for match in parts)


def _positions(text: str) -> Iterator[tuple[Path, int]]:
    table: Path = ()
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header is not None:
            table = _dotted(header[2])
            if header[1] == "[[":
                index = counts.get(table, 0)
                counts[table] = index + 1
                table = (*table, index)
            yield table, number
            continue
        key = _KEY.match(line)
        if key is not None:
            yield (*table, *_dotted(key[1])), number


def line_of(text: str, path: Path) -> int | None:
    """The 1-based line of the key at `path` (table names, keys, array indexes), or of the nearest
    enclosing table that has a line of its own; None when nothing of it can be found."""
    positions: dict[Path, int] = {}
    for found, number in _positions(text):
        positions.setdefault(found, number)
    for length in range(len(path), 0, -1):
        if path[:length] in positions:
            return positions[path[:length]]
    return None


def line_of_syntax_error(error: tomllib.TOMLDecodeError) -> int | None:
    """The line that a decoder's message names, if it names one."""
    match = re.search(r"at line (\d+)", str(error))
    return int(match[1]) if match else None
