"""What one process holds of the copies that all share: read once, and not looked up again for a moment.

A token request needs a document and a key set. Read from the store and parsed each time they would cost as much
as the signature.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from bridge.fetch.freshness import MAX_SECONDS
from bridge.model.document import DocumentCopy, StoredDocument

T = TypeVar("T")

# At twice the size of the largest document these are ten megabytes of each kind.
MAX_HELD = 1024
# A whole second of the clock may be nearly over when it is noted, so that another process's newer copy is seen in
# less than two.
LOOK_SECONDS = 2
# A clock that was set back by more says nothing about the age of what was kept before (F-5).
CLOCK_TOLERANCE = 60
# A copy that nobody can confirm is believed for so long, as a bundle is by default.
KEEP_SECONDS = MAX_SECONDS
# A copy that ran out so short ago serves the others while one of them asks. One that nobody used for longer does
# not: a key that was taken out long ago must not work once more because many ask at once.
MEANWHILE_SECONDS = 60


def is_fresh(copy: DocumentCopy, now: int) -> bool:
    """Whether the copy may be used without asking (RFC 9111 section 4.2)."""
    return copy.fetched_at <= now + CLOCK_TOLERANCE and now < copy.fresh_until


def may_stand_in(copy: DocumentCopy, now: int) -> bool:
    """Whether the copy may be used where its server gives no answer (RFC 9111 section 4.2.4, RFC 5861 section 4)."""
    age = now - copy.fetched_at
    return not copy.must_revalidate and -CLOCK_TOLERANCE <= age < KEEP_SECONDS


def may_serve_meanwhile(copy: DocumentCopy, now: int) -> bool:
    """Whether the copy may be used while somebody asks for a newer one (RFC 5861 section 3)."""
    return may_stand_in(copy, now) and now < copy.fresh_until + MEANWHILE_SECONDS


def was_confirmed(copy: DocumentCopy, now: int, *, within: int) -> bool:
    """Whether its server said less than so many seconds ago that this is the document."""
    return -CLOCK_TOLERANCE <= now - copy.fetched_at < within


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """A copy and what its check made of it. `looked_at`: epoch seconds, when the store last had it; None for one
    that the store had no room for, which only this process has."""

    copy: DocumentCopy
    document: StoredDocument[T]
    looked_at: int | None

    def needs_no_look(self, now: int) -> bool:
        """Whether it is as good as if it had just been read from the store."""
        return self.looked_at is None or self.looked_at <= now < self.looked_at + LOOK_SECONDS


class HeldCopies(Generic[T]):
    """The copies of one kind that were used last, by URL. Thread-safe."""

    def __init__(self, capacity: int = MAX_HELD) -> None:
        self._capacity = capacity
        self._held: OrderedDict[str, Held[T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, url: str) -> Held[T] | None:
        """What is held, however old."""
        with self._lock:
            held = self._held.get(url)
            if held is not None:
                self._held.move_to_end(url)
            return held

    def put(self, url: str, held: Held[T]) -> None:
        """Hold it, and let go of what was not used for the longest time when there is too much."""
        with self._lock:
            self._held[url] = held
            self._held.move_to_end(url)
            if len(self._held) > self._capacity:
                self._held.popitem(last=False)

    def drop(self, url: str) -> None:
        """Hold nothing of this URL."""
        with self._lock:
            self._held.pop(url, None)

    def __len__(self) -> int:
        return len(self._held)
