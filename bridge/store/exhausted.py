"""What one process remembers of limits that were reached, so that a flood of refused requests does not
reach the store.

A bucket that is empty fills by time alone, so whoever saw it empty knows until when it stays so: no answer
given from here differs from the one that the store would give. A count that was full may go down at any
moment, so of it only the fact is remembered: whoever comes next asks by a read before it asks the writer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from bridge.store.limits import CLOCK_TOLERANCE, Rate

# Keys come from outside (identities, source addresses), so there are no more of them than this.
MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class _Dry:
    seen_at: int
    until: int


class Exhausted:
    """The limits that this process saw reached. Thread-safe; bounded: the oldest go first."""

    def __init__(self, *, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._dry: dict[Rate, _Dry] = {}
        self._full: dict[tuple[str, str], None] = {}

    def note_dry(self, rate: Rate, *, now: int, wait: int) -> None:
        """The bucket was seen empty at `now`, for `wait` seconds. Other terms are another bucket here, so that
        limits that an operator raised hold at once."""
        with self._lock:
            self._dry.pop(rate, None)
            if len(self._dry) >= self._max_keys:
                del self._dry[next(iter(self._dry))]
            self._dry[rate] = _Dry(now, now + wait)

    def wait(self, rate: Rate, *, now: int) -> int:
        """Seconds for which the bucket is known to stay empty; 0: nothing is known, or it filled.

        A clock that was set back starts over with the store, which knows what to make of it.
        """
        if not self._dry:
            return 0
        with self._lock:
            dry = self._dry.get(rate)
            if dry is None:
                return 0
            if dry.until <= now or now < dry.seen_at - CLOCK_TOLERANCE:
                del self._dry[rate]
                return 0
            return dry.until - now

    def note_full(self, limit: str, key: str) -> None:
        """That count had no room."""
        with self._lock:
            if len(self._full) >= self._max_keys:
                del self._full[next(iter(self._full))]
            self._full[limit, key] = None

    def was_full(self, limit: str, key: str) -> bool:
        """Whether that count had no room when it was last looked at."""
        return (limit, key) in self._full

    def note_room(self, limit: str, key: str) -> None:
        """That count has room again."""
        with self._lock:
            self._full.pop((limit, key), None)
