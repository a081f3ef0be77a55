"""What was verified stays verified: for one revision of one bundle, within its own times, in bounded memory.

A cache of successes only. A credential that failed is looked at anew each time: its trust domain's next
bundle may hold the key it needs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bridge.model.bundle import LiveBundle, TrustBundle
from bridge.model.identity import VerifiedIdentity

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification that held under `revision` of the bundle, and holds at every time from
    `valid_from` up to, but not at, `valid_until` (epoch seconds)."""

    identity: VerifiedIdentity
    revision: int
    valid_from: float
    valid_until: float


class VerificationCache:
    """The most recently used verifications, by what was presented.

    Thread-safe. The caller says for each hit which revision counts now; another one, or a time outside
    the entry's own, drops the entry.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, str], Verified] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> Verified | None:
        """The entry, whatever its revision and times: `holds` judges those."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    @staticmethod
    def holds(entry: Verified, *, revision: int, now: int) -> bool:
        """Whether the entry may still stand for a verification."""
        return entry.revision == revision and entry.valid_from <= now < entry.valid_until

    def put(self, key: tuple[str, str], entry: Verified) -> None:
        """Remember, and forget the entry that was used least recently when there are too many."""
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def drop(self, key: tuple[str, str]) -> None:
        """Forget one entry, if it is there."""
        with self._lock:
            self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


class PerBundle(Generic[T]):
    """Something that is made from a bundle once for each of its revisions: imported keys, an anchor store.

    Bounded by the number of trust domains, since only bundles that exist are asked for. Two threads may
    make the same thing at the same time; both results are right and one is kept.
    """

    def __init__(self, make: Callable[[TrustBundle], T]) -> None:
        self._make = make
        self._made: dict[str, tuple[int, T]] = {}

    def of(self, live: LiveBundle) -> T:
        """What belongs to this revision of this bundle."""
        name = live.bundle.trust_domain.name
        kept = self._made.get(name)
        if kept is not None and kept[0] == live.revision:
            return kept[1]
        made = self._make(live.bundle)
        self._made[name] = (live.revision, made)
        return made
