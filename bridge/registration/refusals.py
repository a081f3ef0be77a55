"""Refusals of authenticated identities in the audit log, without letting them flood it.

The first refusal of a kind is a row at once. Equal ones within the same minute are counted, and become
one row with their number when the minute ends: rows are never updated (interface section 8). A process
that is killed loses the counts of its current minute, never a first refusal.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace

from bridge.model.audit import AuditEvent

# So many different refusals within one minute are a scan; beyond it the oldest counts are written early.
MAX_OPEN = 10_000
# Of one identity. It chooses what it asks for, so it could make any number of different refusals: those
# beyond are counted together, without what they asked.
MAX_OPEN_OF_ONE = 20

_Key = bytes


class RefusalLog:
    """Counts repeats per minute and hands rows to `append`."""

    def __init__(self, append: Callable[[AuditEvent], None]) -> None:
        self._append = append
        self._lock = threading.Lock()
        self._minute = 0
        self._repeats: dict[_Key, AuditEvent | None] = {}
        self._kinds: dict[str, int] = {}

    def note(self, event: AuditEvent) -> None:
        """Write or count one refusal. Raises: Unavailable when a row cannot be written."""
        with self._lock:
            closed = self._close(event.time // 60)
            key = _key(event)
            if key not in self._repeats:
                kinds = self._kinds.get(event.subject, 0)
                if kinds >= MAX_OPEN_OF_ONE:
                    event = replace(event, ask={}, rule="")
                    key = _key(event)
                else:
                    self._kinds[event.subject] = kinds + 1
            repeat = key in self._repeats
            if repeat:
                earlier = self._repeats[key]
                self._repeats[key] = event if earlier is None else replace(event, count=earlier.count + 1)
            else:
                self._repeats[key] = None
        for row in closed:
            self._append(row)
        if not repeat:
            self._append(event)

    def flush(self, now: int, *, all_minutes: bool = False) -> None:
        """Write the counts of minutes that ended by `now`; at shutdown of all of them."""
        with self._lock:
            rows = self._close(-1 if all_minutes else now // 60)
        for row in rows:
            self._append(row)

    def _close(self, minute: int) -> list[AuditEvent]:
        if minute == self._minute and len(self._repeats) < MAX_OPEN:
            return []
        rows = [event for event in self._repeats.values() if event is not None]
        self._minute, self._repeats, self._kinds = minute, {}, {}
        return rows


def _key(event: AuditEvent) -> _Key:
    """What makes two refusals equal, in a size that no caller can choose."""
    what = (event.subject, event.evidence, event.door, event.reason, event.rule, sorted(event.ask.items()))
    return hashlib.sha256(repr(what).encode()).digest()
