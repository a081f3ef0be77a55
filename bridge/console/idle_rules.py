"""Which rules decided nothing, as far as was looked back: counted in parts, and kept.

The log has no index by rule. So each look at the page reads one part of it, what is new first and then further and
further back, and says how far back it has come. All of it at once: `bridge policy unused`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.policy.rule import Rule
from bridge.store.ports import AuditStore

# Rows of the log that one look reads at most.
ROWS_AT_ONCE = 6_000
# With so many new rows it is quicker to begin again at the end of the log.
MOST_BEHIND = 200_000
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class IdleRules:
    """The first of `number` rules that decided nothing since `since` (epoch seconds; None: nothing was looked at yet).
    `whole`: the log goes back no further."""

    named: Sequence[Rule]
    number: int
    since: int | None
    whole: bool


class RuleBook:
    """The rules that the rows of one log name. Thread-safe."""

    def __init__(self, audit: AuditStore) -> None:
        self._audit, self._lock = audit, threading.Lock()
        self._seen: set[str] = set()
        # The rows that were looked at: those above the first and up to the second.
        self._low: int | None = None
        self._high = 0

    def idle(self, rules: Iterable[Rule]) -> IdleRules:
        """Those of the rules that no row names. Reads one part of the log, if any is left. Raises: Unavailable."""
        with self._lock:
            begin, since = self._look()
            named = sorted((rule for rule in rules if rule.id not in self._seen), key=lambda rule: rule.id)
            return IdleRules(named[:_MOST_NAMED], len(named), since, self._low == begin)

    def _look(self) -> tuple[int, int | None]:
        """Read one more part; where the log begins, and the time of the first row that was looked at."""
        begin, end = self._audit.span()
        if self._low is None or self._high < begin or end - self._high > MOST_BEHIND:
            # Rules that were seen stay seen: what they decided, they decided.
            self._low = self._high = end
        self._low = max(self._low, begin)
        left = ROWS_AT_ONCE
        if self._high < end:
            until = min(self._high + left, end)
            left -= until - self._high
            self._note(self._high, until)
            self._high = until
        if left > 0 and self._low > begin:
            after = max(self._low - left, begin)
            self._note(after, self._low)
            self._low = after
        first = self._audit.rows(after=self._low, limit=1) if self._low < self._high else []
        return begin, first[0].event.time if first else None

    def _note(self, after: int, until: int) -> None:
        self._seen |= {use.rule for use in self._audit.rule_uses(after, until) if use.rule is not None}
