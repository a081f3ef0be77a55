"""Clients that were seen alive, so that a workload that comes again costs no read before its write.

What is remembered here may be out of date, and nobody is let in by it: the write that stands behind each
token looks again, under the store's lock, at the record's state, epoch and end, at the member's, and at
tombstones, and refuses what has changed (`ClientStore.record_issue`). Whoever is refused so is read anew.
Approvals are not looked at by that write, and therefore never remembered. Nor is it told of other metadata under
the same epoch, which an update through management (RFC 7592) leaves behind: with that, nothing is remembered.
"""

from __future__ import annotations

import threading

from bridge.store.ports import Found

CAPACITY = 16_384


class KnownClients:
    """What was last read of so many clients, by `client_id` and the subject that came. Thread-safe."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._found: dict[tuple[str, str], Found] = {}
        self._lock = threading.Lock()

    def recall(self, client_id: str, subject: str) -> Found | None:
        """What was last noted. As old as it may be."""
        return self._found.get((client_id, subject))

    def note(self, client_id: str, subject: str, found: Found) -> None:
        """Remember, and forget what was noted first when there are too many: at once with a capacity of 0."""
        with self._lock:
            self._found.pop((client_id, subject), None)
            self._found[client_id, subject] = found
            if len(self._found) > self._capacity:
                del self._found[next(iter(self._found))]

    def __len__(self) -> int:
        return len(self._found)
