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
from bridge.model.errors import Unavailable
from bridge.model.pending import PendingWrite

# So many different refusals within one minute are a scan; beyond it the oldest counts are written early.
MAX_OPEN = 10_000
# Of one identity. It chooses what it asks for and for which document it comes, so it could make any number of
# different refusals: those beyond are counted together, without what they asked.
MAX_OPEN_OF_ONE = 20

# So many counts are written at once, so that a flood's do not hold up what else is written.
AT_ONCE = 100

_Key = bytes


class RefusalLog:
    """Counts repeats per minute and hands rows to `begin`. Thread-safe."""

    def __init__(self, begin: Callable[[AuditEvent], PendingWrite]) -> None:
        """`begin` starts to write a row and does not wait for it."""
        self._begin = begin
        self._lock = threading.Lock()
        self._minute = 0
        self._repeats: dict[_Key, AuditEvent | None] = {}
        self._kinds: dict[str, int] = {}
        self._counted: list[AuditEvent] = []

    def note(self, event: AuditEvent) -> PendingWrite | None:
        """Begin the row of one refusal; None when it repeats one of its minute, and is counted.

        The counts of a minute that has ended wait for `flush`: a request must not write thousands of rows
        because it is the first of a new minute. Raises: Unavailable.
        """
        with self._lock:
            self._counted += self._close(event.time // 60)
            key = _key(event)
            if key not in self._repeats:
                kinds = self._kinds.get(event.subject, 0)
                if kinds >= MAX_OPEN_OF_ONE:
                    event = replace(event, ask={}, rule="", client_id="")
                    key = _key(event)
                else:
                    self._kinds[event.subject] = kinds + 1
            if key in self._repeats:
                earlier = self._repeats[key]
                self._repeats[key] = event if earlier is None else replace(event, count=earlier.count + 1)
                return None
            self._repeats[key] = None
        return self._begin(event)

    def flush(self, now: int, *, all_minutes: bool = False) -> None:
        """Write the counts of minutes that ended by `now`; at shutdown of all of them. Raises: Unavailable; what
        could not be written is tried again by the next flush."""
        with self._lock:
            rows = self._counted + self._close(-1 if all_minutes else now // 60)
            self._counted = []
        while rows:
            begun: list[PendingWrite] = []
            try:
                for row in rows[:AT_ONCE]:
                    begun.append(self._begin(row))
                for write in begun:
                    write.result()
            except Unavailable:
                written = {place for place, write in enumerate(begun) if write.is_durable}
                with self._lock:
                    self._counted += [row for place, row in enumerate(rows) if place not in written]
                raise
            rows = rows[AT_ONCE:]

    def _close(self, minute: int) -> list[AuditEvent]:
        if minute == self._minute and len(self._repeats) < MAX_OPEN:
            return []
        rows = [event for event in self._repeats.values() if event is not None]
        self._minute, self._repeats, self._kinds = minute, {}, {}
        return rows


def _key(event: AuditEvent) -> _Key:
    """What makes two refusals equal, in a size that no caller can choose."""
    who = (event.subject, event.client_id, event.evidence)
    what = (*who, event.door, event.reason, event.rule, sorted(event.ask.items()))
    return hashlib.sha256(repr(what).encode()).digest()
