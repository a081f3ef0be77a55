"""One transaction of the writer, and what its writes share until it ends.

Audit rows, counts and buckets are gathered here and written once per commit (`flush`), however many
writes asked for them. Rows that decide something are written at once, so that a later write of the same
transaction sees them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from bridge.model.audit import AuditEvent
from bridge.model.client import ClientState
from bridge.model.errors import LimitReached
from bridge.store import statements as sql
from bridge.store.audit_chain import Line, Tail, line_of
from bridge.store.audit_pen import AuditPen
from bridge.store.connections import Row
from bridge.store.limits import Usage
from bridge.store.ports import RegistrationLimits

LIVE = frozenset({ClientState.ACTIVE.value, ClientState.PENDING.value})


class Transaction:
    """The handle that writes get. `touched` moves with every change, so that a refusal that changed
    nothing can be told from one that came too late."""

    def __init__(self, connection: sqlite3.Connection, pen: AuditPen, tail: Tail | None) -> None:
        self._connection, self._pen = connection, pen
        self.tail = tail
        self.touched = 0
        self._lines: list[Line] = []
        self._counts: dict[tuple[str, str, str], int] = {}
        self._usages: dict[str, Usage] = {}

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Read. Raises: sqlite3.Error."""
        return self._connection.execute(statement, parameters).fetchall()

    def row(self, statement: str, parameters: Sequence[object] = ()) -> Row | None:
        """Read at most one row. Raises: sqlite3.Error."""
        rows = self._connection.execute(statement, parameters).fetchall()
        return rows[0] if rows else None

    def change(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """Write; how many rows. Raises: sqlite3.Error."""
        self.touched += 1
        return self._connection.execute(statement, parameters).rowcount

    def change_many(self, statement: str, parameters: Iterable[Sequence[object]]) -> None:
        """Write the same for several rows. Raises: sqlite3.Error."""
        self.touched += 1
        self._connection.executemany(statement, parameters)

    def change_returning(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Write, and what RETURNING gives. Raises: sqlite3.Error."""
        self.touched += 1
        return self._connection.execute(statement, parameters).fetchall()

    def audit(self, event: AuditEvent) -> None:
        """Write this row with the commit."""
        self.audit_line(line_of(event))

    def audit_line(self, line: Line) -> None:
        """Write this row, made ready before, with the commit."""
        self.touched += 1
        self._lines.append(line)

    def count(self, trust_domain: str | None, kind: str, state: str, change: int) -> None:
        """Note that there are more or fewer records of this kind and state."""
        self.touched += 1
        key = (trust_domain or "", kind, state)
        self._counts[key] = self._counts.get(key, 0) + change
        usage = self._usages.get(key[0])
        if usage is not None and state in LIVE:
            usage.live += change

    def move(self, trust_domain: str | None, kind: str, before: str, after: str) -> None:
        """Note that one record went from one state to another."""
        if before != after:
            self.count(trust_domain, kind, before, -1)
            self.count(trust_domain, kind, after, 1)

    def require_room(self, trust_domain: str | None, limits: RegistrationLimits) -> None:
        """Raises: LimitReached (`records_per_trust_domain`) when there is no room for one more live record."""
        if self._usage(trust_domain).live >= limits.records:
            raise LimitReached("records_per_trust_domain", 60)

    def spend_registration(self, trust_domain: str | None, limits: RegistrationLimits, *, now: int) -> None:
        """Take one token out of the bucket. Raises: LimitReached (`registrations_per_second`)."""
        self._usage(trust_domain).spend(limits, now)
        self.touched += 1

    def _usage(self, trust_domain: str | None) -> Usage:
        name = trust_domain or ""
        usage = self._usages.get(name)
        if usage is None:
            live, level, filled_at = self.rows(sql.USAGE, (name, name, name))[0]
            live += sum(
                change for (domain, _, state), change in self._counts.items() if domain == name and state in LIVE
            )
            usage = self._usages[name] = Usage(live, level, filled_at)
        return usage

    def flush(self) -> None:
        """Write what was gathered. Raises: sqlite3.Error, Unavailable."""
        counts = [(*key, change) for key, change in self._counts.items() if change]
        if counts:
            self._connection.executemany(sql.ADD_COUNT, counts)
        for name, usage in self._usages.items():
            if usage.spent:
                self._connection.execute(sql.SET_BUCKET, (name, usage.level, usage.filled_at))
        if self._lines:
            self.tail = self._pen.write(self._connection, self._lines, self.tail)
        self.forget()

    def forget(self) -> None:
        """Drop what was gathered and not written."""
        self._lines, self._counts, self._usages = [], {}, {}
