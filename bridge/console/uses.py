"""Who got tokens with which scope in the last day: counted in parts, and kept.

The log has no index by scope, and a day may have millions of tokens. So each look at a page reads one part of it, what
is new first and then further and further back, and says how far back it has come.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bridge.store.ports import AuditStore, IssuedRow

DAY, HOUR = 86_400, 3600
# Rows of the log that one look reads at most, and how many counts are kept.
ROWS_AT_ONCE = 8_000
MOST_COUNTS = 200_000


@dataclass(frozen=True, slots=True)
class Use:
    """One identity's tokens with a scope. `last` (epoch seconds): when it got the last one, by `rule` as `client`."""

    subject: str
    tokens: int
    last: int
    rule: str
    client: str


@dataclass(frozen=True, slots=True)
class Uses:
    """All such, those with the most tokens first. `since` (epoch seconds): how far back the log was looked at;
    `whole`: that is the whole day; `full`: it goes no further back because there are too many; `unsaid`: tokens whose
    rows do not say their scopes, of an earlier release."""

    found: Sequence[Use]
    since: int
    whole: bool
    full: bool
    unsaid: int


@dataclass(slots=True)
class _Count:
    tokens: int = 0
    last: int = 0
    rule: str = ""
    client: str = ""


class _Hour:
    """What was issued in one hour, by scope and subject."""

    __slots__ = ("counts", "size", "unsaid")

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, _Count]] = defaultdict(dict)
        self.size = self.unsaid = 0

    def add(self, row: IssuedRow) -> None:
        """Count one token."""
        scopes = _scopes(row.scopes)
        self.unsaid += not scopes
        for scope in scopes:
            subjects = self.counts[scope]
            count = subjects.get(row.subject)
            if count is None:
                count = subjects[row.subject] = _Count()
                self.size += 1
            count.tokens += 1
            if row.time >= count.last:
                count.last, count.rule, count.client = row.time, row.rule, row.client_id


class UseBook:
    """The counts of one log. Thread-safe."""

    def __init__(self, audit: AuditStore) -> None:
        self._audit, self._lock = audit, threading.Lock()
        self._hours: dict[int, _Hour] = defaultdict(_Hour)
        # The rows that were counted: those above the first and up to the second.
        self._low: int | None = None
        self._high = 0
        self._reached = 0

    def of(self, scope: str, *, now: int) -> Uses:
        """Who got tokens with that scope. Reads one part of the log, if there is any left. Raises: Unavailable."""
        with self._lock:
            since = (now - DAY) // HOUR * HOUR
            whole, full = self._look(since, now)
            hours = [hour for start, hour in self._hours.items() if start >= since]
            uses = _together(hour.counts.get(scope, {}) for hour in hours)
            unsaid = sum(hour.unsaid for hour in hours)
        return Uses(uses, since if whole else self._reached, whole, full, unsaid)

    def _look(self, since: int, now: int) -> tuple[bool, bool]:
        """Count one more part; whether all since then is counted, and whether there is no room for more."""
        for start in [start for start in self._hours if start < since]:
            del self._hours[start]
        begin, end = self._audit.span(since=since)
        if self._low is None or self._high < begin or end - self._high > MOST_COUNTS:
            # Nothing that was counted is of use any more, or too much is new: begin again at the end.
            self._hours.clear()
            self._low, self._high, self._reached = end, end, now
        left = ROWS_AT_ONCE
        while self._high < end and left > 0:
            until = min(self._high + left, end)
            left -= until - self._high
            self._count(self._audit.issued(self._high, until), since)
            self._high = until
        full = sum(hour.size for hour in self._hours.values()) >= MOST_COUNTS
        if left > 0 and self._low > begin and not full:
            after = max(self._low - left, begin)
            rows = self._audit.issued(after, self._low)
            self._count(rows, since)
            self._low = after
            self._reached = min([self._reached, *(row.time for row in rows)])
        return self._low <= begin and self._high >= end, full

    def _count(self, rows: Sequence[IssuedRow], since: int) -> None:
        for row in rows:
            if row.time >= since:
                self._hours[row.time // HOUR * HOUR].add(row)


def _together(hours: Iterable[Mapping[str, _Count]]) -> list[Use]:
    """The counts of single hours added up, the most tokens first."""
    found: dict[str, _Count] = {}
    for hour in hours:
        for subject, count in hour.items():
            whole = found.setdefault(subject, _Count())
            whole.tokens += count.tokens
            if count.last >= whole.last:
                whole.last, whole.rule, whole.client = count.last, count.rule, count.client
    uses = [Use(subject, one.tokens, one.last, one.rule, one.client) for subject, one in found.items()]
    return sorted(uses, key=lambda use: (-use.tokens, use.subject))


def _scopes(text: str) -> Sequence[str]:
    """The scopes of a token: those that were asked for by name, else those that were given; none where its row does not
    say them."""
    named, given = json.loads(text)
    return named or given or ()
