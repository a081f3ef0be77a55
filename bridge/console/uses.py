"""Who got tokens with which scope in the last day: counted in parts, and kept.

The log has no index by scope, and a day may have millions of tokens. So each look at a page reads one part of it, what
is new first and then further and further back, and says how far back it has come.
"""

from __future__ import annotations

import heapq
import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.store.ports import AuditStore, IssuedRow

DAY, HOUR = 86_400, 3600
# Rows of the log that one look reads at most, and how many counts are kept.
ROWS_AT_ONCE = 6_000
MOST_COUNTS = 100_000
# With so many new rows it is quicker to begin again at the end of the log.
MOST_BEHIND = 200_000
MOST_SHOWN = 100
# Rows are written almost in the order of their times: so many may stand before the first one of the day.
MOST_ASIDE = 1_000


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
    """Those with the most tokens, of `number` identities. `since` (epoch seconds): how far back the log was looked at;
    `whole`: that is the whole day; `full`: it goes no further back because there are too many; `unsaid`: tokens whose
    rows do not say their scopes, of an earlier release."""

    found: Sequence[Use]
    number: int
    since: int
    whole: bool
    full: bool
    unsaid: int


@dataclass(slots=True)
class _Total:
    """What one identity got with one scope in all hours that are kept."""

    tokens: int = 0
    last: int = 0
    rule: str = ""
    client: str = ""


class _Hour:
    """What was issued in one hour: tokens by scope and subject, to be taken off again when the hour is over."""

    __slots__ = ("tokens", "unsaid")

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.unsaid = 0


class _Counts:
    """All hours together. Not thread-safe."""

    def __init__(self) -> None:
        self._hours: dict[int, _Hour] = defaultdict(_Hour)
        self._totals: dict[str, dict[str, _Total]] = defaultdict(dict)
        self._most: dict[str, tuple[Use, ...]] = {}
        self.size = 0

    def add(self, row: IssuedRow) -> None:
        """Count one token."""
        scopes, hour = _scopes(row.scopes), self._hours[row.time // HOUR * HOUR]
        hour.unsaid += not scopes
        for scope in scopes:
            totals = self._totals[scope]
            total = totals.get(row.subject)
            if total is None:
                total = totals[row.subject] = _Total()
            tokens = hour.tokens[scope]
            self.size += row.subject not in tokens
            tokens[row.subject] += 1
            total.tokens += 1
            if row.time >= total.last:
                total.last, total.rule, total.client = row.time, row.rule, row.client_id
            self._most.pop(scope, None)

    def drop(self, before: int) -> None:
        """Take off the hours that began before then. Whose tokens are left had the last of them later."""
        for start in [start for start in self._hours if start < before]:
            for scope, tokens in self._hours.pop(start).tokens.items():
                totals = self._totals[scope]
                self.size -= len(tokens)
                self._most.pop(scope, None)
                for subject, number in tokens.items():
                    totals[subject].tokens -= number
                    if not totals[subject].tokens:
                        del totals[subject]

    def number(self, scope: str) -> int:
        """How many identities got tokens with the scope."""
        return len(self._totals.get(scope, ()))

    def most(self, scope: str) -> tuple[Use, ...]:
        """Those of them with the most tokens."""
        if scope not in self._most:
            totals = self._totals.get(scope, {}).items()
            found = heapq.nsmallest(MOST_SHOWN, totals, key=lambda item: (-item[1].tokens, item[0]))
            self._most[scope] = tuple(Use(name, one.tokens, one.last, one.rule, one.client) for name, one in found)
        return self._most[scope]

    def unsaid(self) -> int:
        """How many tokens have rows that do not say their scopes."""
        return sum(hour.unsaid for hour in self._hours.values())


class UseBook:
    """The counts of one log. Thread-safe."""

    def __init__(self, audit: AuditStore) -> None:
        self._audit, self._lock = audit, threading.Lock()
        self._counts = _Counts()
        # The rows that were counted: those above the first and up to the second.
        self._low: int | None = None
        self._high = 0
        self._reached = 0

    def of(self, scope: str, *, now: int) -> Uses:
        """Who got tokens with that scope. Reads one part of the log, if there is any left. Raises: Unavailable."""
        with self._lock:
            since = (now - DAY) // HOUR * HOUR
            whole, full = self._look(since, now)
            found, number, unsaid = self._counts.most(scope), self._counts.number(scope), self._counts.unsaid()
            return Uses(found, number, since if whole else self._reached, whole, full, unsaid)

    def _look(self, since: int, now: int) -> tuple[bool, bool]:
        """Count one more part; whether all since then is counted, and whether there is no room for more."""
        self._counts.drop(since)
        begin, end = self._audit.span(since=since)
        begin = max(begin - MOST_ASIDE, 0)
        if self._low is None or self._high < begin or end - self._high > MOST_BEHIND:
            # Nothing that was counted is of use any more, or too much is new: begin again at the end.
            self._counts = _Counts()
            self._low, self._high, self._reached = end, end, now
        left = ROWS_AT_ONCE
        if self._high < end:
            until = min(self._high + left, end)
            left -= until - self._high
            self._count(self._high, until, since)
            self._high = until
        full = self._counts.size >= MOST_COUNTS
        if left > 0 and self._low > begin and not full:
            after = max(self._low - left, begin)
            self._reached = min(self._reached, self._count(after, self._low, since))
            self._low = after
        return self._low <= begin and self._high >= end, full

    def _count(self, after: int, until: int, since: int) -> int:
        """Count the tokens of these rows; when the first of them was issued."""
        first = self._reached
        for row in self._audit.issued(after, until):
            if row.time >= since:
                self._counts.add(row)
                first = min(first, row.time)
        return first


def _scopes(text: str) -> Sequence[str]:
    """The scopes of a token: those that were asked for by name, else those that were given; none where its row does not
    say them, or says what we never write."""
    for said in json.loads(text):
        if said:
            return said if isinstance(said, list) and all(isinstance(scope, str) for scope in said) else ()
    return ()
