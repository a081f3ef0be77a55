"""What a replay found, counted: in memory while it is little, in a file of its own without a name when it is much."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

# So many different changes are kept in memory, and so many characters of them.
MOST_IN_MEMORY, MOST_CHARACTERS = 20_000, 32_000_000

_TABLE = """
CREATE TABLE changes (kind TEXT, rule TEXT, subject TEXT, told TEXT, words TEXT, already INTEGER,
requests INTEGER, row_count INTEGER, first INTEGER, last INTEGER, id TEXT,
PRIMARY KEY (already, kind, rule, subject, told, words)) WITHOUT ROWID
"""
_ADD = """
INSERT INTO changes (kind, rule, subject, told, words, already, requests, row_count, first, last, id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, row_count = row_count + excluded.row_count,
first = min(first, excluded.first), id = CASE WHEN excluded.last >= last THEN excluded.id ELSE id END,
last = max(last, excluded.last)
"""
_ALL = """
SELECT kind, rule, subject, told, words, already, requests, row_count, first, last, id
FROM changes ORDER BY already, kind, rule, subject, told, words
"""


class ChangedAsk(NamedTuple):
    """One kind of request that would be answered otherwise. `kind` is `gains`, `loses` or `changes`, `rule` the one
    that it comes by, `told` the JSON of the change, `words` what comes of it, `already` whether the policies in force
    do so too."""

    kind: str
    rule: str
    subject: str
    told: str
    words: str
    already: bool


@dataclass(slots=True)
class Count:
    """How often something was asked: requests, and the rows that stand for them; when first and last (epoch seconds),
    and the id of the last row."""

    requests: int
    rows: int
    first: int
    last: int
    id: str

    def add(self, requests: int, time: int, id: str) -> None:
        """Count one more row."""
        self.requests += requests
        self.rows += 1
        self.first = min(self.first, time)
        if time >= self.last:
            self.last, self.id = time, id


class ReplayBook:
    """Changes with their counts, in order. Close it."""

    def __init__(self) -> None:
        # A database without a name: SQLite keeps it in memory, and beyond a bound in a file that it removes at once.
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute(_TABLE)
        self._open: dict[ChangedAsk, Count] = {}
        self._characters = 0

    def add(self, change: ChangedAsk, requests: int, time: int, id: str) -> None:
        """Count one row."""
        count = self._open.get(change)
        if count is not None:
            count.add(requests, time, id)
            return
        if len(self._open) >= MOST_IN_MEMORY or self._characters >= MOST_CHARACTERS:
            self._put_down()
        self._characters += len(change.told)
        self._open[change] = Count(requests, 1, time, time, id)

    def changes(self) -> Iterator[tuple[ChangedAsk, Count]]:
        """All changes: news first, then by kind, rule and subject."""
        self._put_down()
        for kind, rule, subject, told, words, already, *count in self._file.execute(_ALL):
            yield ChangedAsk(kind, rule, subject, told, words, bool(already)), Count(*count)

    def totals(self, *, already: bool) -> tuple[int, int]:
        """How many requests, and of how many subjects."""
        self._put_down()
        sums = "SELECT coalesce(sum(requests), 0), count(DISTINCT subject) FROM changes WHERE already = ?"
        requests, subjects = self._file.execute(sums, (already,)).fetchone()
        return requests, subjects

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def _put_down(self) -> None:
        if not self._open:
            return
        rows = [(*change, c.requests, c.rows, c.first, c.last, c.id) for change, c in self._open.items()]
        self._file.execute("BEGIN")
        self._file.executemany(_ADD, rows)
        self._file.execute("COMMIT")
        self._open.clear()
        self._characters = 0
