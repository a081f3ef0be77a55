"""The port of the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.model.audit import AuditEvent, AuditEventKind, AuditRow
from bridge.model.pending import PendingWrite


@dataclass(frozen=True, slots=True)
class ChainFault:
    """One thing that `verify` found: which writer, at which place, and what is wrong."""

    writer: str
    sequence: int
    kind: str  # "changed" | "missing" | "cut" | "writer_missing" | "checkpoint"
    message: str


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last row of one writer, for the log."""

    writer: str
    sequence: int
    mac: str


class AuditStore(Protocol):
    """The audit log. Rows are appended and, by age, pruned behind a signed checkpoint; never updated."""

    def append(self, event: AuditEvent) -> None:
        """Write one row."""
        ...

    def begin_append(self, event: AuditEvent) -> PendingWrite:
        """The same without waiting for it."""
        ...

    def rows(
        self,
        *,
        since: int | None = None,
        correlation_id: str | None = None,
        events: Sequence[AuditEventKind] = (),
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[AuditRow]:
        """Rows with a rowid above `after`, in the order of writing."""
        ...

    def heads(self) -> list[ChainHead]:
        """The last row of each writer."""
        ...

    def verify(self, *, progress: Callable[[int], None] | None = None) -> Iterator[ChainFault]:
        """Walk every chain and yield what is wrong; nothing yielded means that all is intact.

        Not checked: a copy of the whole database put back to an earlier state; for that compare the
        heads with the ones in the service's log.
        """
        ...

    def prune(self, *, before: int, now: int, batch: int) -> int:
        """Remove rows older than `before`, the oldest first and at most `batch` of them, leaving a signed checkpoint
        per writer. How many were removed; so many as `batch`: there may be more."""
        ...
