"""The port of what a webhook's receiver is still to be told: a queue that outlives every process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bridge.model.audit import AuditEvent
from bridge.model.record_change import RecordChange

# At a thousand bytes each ten megabytes.
NOTICE_LIMIT = 10_000


class NoticeState(StrEnum):
    """WAITING is sent until it arrives; DEAD was given up and is kept for a while, so that it can be sent again."""

    WAITING = "waiting"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to be queued: `id` is its own for ever, however often it is sent; `body` goes out as it is."""

    id: str
    kind: str
    client_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Outbox:
    """Somebody who is told of changes. `notice` makes the notice of one, None for one that nobody asked for; the
    store's writer calls it within the transaction: it must be quick and not raise. `limit`: how many notices the queue
    may hold, dead ones too."""

    notice: Callable[[RecordChange], Notice | None]
    limit: int = NOTICE_LIMIT


@dataclass(frozen=True, slots=True)
class QueuedNotice:
    """A notice in the queue. Units: epoch seconds; `queued_at` is when it came, or was last put back by an operator.
    `tries` were made in vain since; `error` says what came of the last one, in our own words."""

    notice: Notice
    state: NoticeState
    queued_at: int
    tries: int
    next_at: int
    error: str


@dataclass(frozen=True, slots=True)
class QueueStanding:
    """How the queue stands. `oldest_at` is the `queued_at` of the oldest that waits, None where none does; `dropped`
    how many found the queue full since the store was made."""

    waiting: int
    dead: int
    oldest_at: int | None
    dropped: int


class NoticeStore(Protocol):
    """The queue. Notices come in with the changes that they tell of, in the same transaction; whoever delivers them
    holds a lease meanwhile (`LeaseStore`)."""

    def next_due(self, now: int) -> QueuedNotice | None:
        """The one to send next: of those whose time has come the one that waits longest for it, and of one client
        always the first, so that its changes arrive in their order."""
        ...

    def delivered(self, notice_id: str) -> None:
        """Take it out: it arrived."""
        ...

    def postpone(self, notice_id: str, *, next_at: int, error: str) -> None:
        """Note a try in vain, and when the next one is due."""
        ...

    def give_up(self, notice_ids: Sequence[str], *, error: str, event: AuditEvent) -> int:
        """Make those dead that wait, with `event` as their one audit row; `error` empty leaves the last one that was
        noted. How many; nothing is written for none."""
        ...

    def overdue(self, *, queued_before: int, limit: int) -> list[QueuedNotice]:
        """Those that have waited since before that, the oldest first."""
        ...

    def retry(self, notice_id: str | None, *, now: int) -> int:
        """Have that one, or with None all that are dead, sent anew and at once. How many."""
        ...

    def rows(self, *, after: str | None, limit: int, state: NoticeState | None = None) -> list[QueuedNotice]:
        """A part of the queue in the order in which it came, behind the one with the id `after`."""
        ...

    def standing(self) -> QueueStanding:
        """How many there are."""
        ...

    def tidy(self, *, dead_before: int, now: int, due_until: int) -> int:
        """Remove what was queued before `dead_before` and is dead: how many. What would be due after `due_until`, by a
        clock that was set back since, is due now."""
        ...
