"""Which line of a TOML file a key stands in.

The TOML parser of the standard library keeps no lines, so this looks for them in the text, and only
when there is something to report. It knows the shape of our files, not all of TOML: where it cannot
find a key it answers with the line of what holds it.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[\[\s*(rule|case)\s*\]\]")
_TABLE = re.compile(r"\s*\[(?!\[)")
_QUOTES = re.compile(r'"""|\'\'\'')
# Lines that are looked at in one file, about a second's worth. Beyond, a fault gets the line of its rule or case, or
# of the file: one with a hundred thousand unknown keys must not hold up the load of all others.
MOST_LOOKED_AT = 500_000


def _key(name: str) -> re.Pattern[str]:
    """The name as a key or as the last part of a table's header, bare or quoted."""
    quoted = re.escape(name)
    return re.compile(rf"""(?:^|[\s{{,.\[])(?:{quoted}|"{quoted}"|'{quoted}')\s*(?:=|\.|\])""")


class Lines:
    """The lines of one file. `of` takes a place like `("rule", 3, "grant", "scopes")`."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._left = MOST_LOOKED_AT
        self._entries = self._find_entries()

    def _find_entries(self) -> list[int]:
        """Indexes of the `[[rule]]` or `[[case]]` headers, leaving out text inside multi-line strings."""
        found: list[int] = []
        fence: str | None = None
        for index, line in enumerate(self._lines):
            if fence is None and _HEADER.match(line):
                found.append(index)
            for mark in _QUOTES.findall(line):
                if fence is None:
                    fence = mark
                elif fence == mark:
                    fence = None
        return found

    def of(self, where: tuple[str | int, ...]) -> int:
        """The line, from 1, of the innermost part of the place that can be found."""
        first, last, names = 0, len(self._lines), list(where)
        if len(names) >= 2 and names[0] in ("rule", "case") and isinstance(names[1], int):
            number = names[1]
            if number < len(self._entries):
                first = self._entries[number]
                last = self._entries[number + 1] if number + 1 < len(self._entries) else last
            names = names[2:]
        elif self._entries:
            # A key of the file itself stands before the first entry.
            last = self._entries[0]
        best = first
        for name in names:
            if isinstance(name, int):
                continue
            hit = self._find(name, best, last)
            if hit is None:
                break
            best = hit
        return best + 1

    def _find(self, name: str, first: int, last: int) -> int | None:
        """The first of these lines that has the key."""
        if self._left <= 0:
            return None
        pattern = _key(name)
        hit = next((i for i in range(first, last) if pattern.search(self._lines[i])), None)
        self._left -= (last if hit is None else hit) - first + 1
        return hit
