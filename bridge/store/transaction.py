"""One transaction of the writer, and what its writes share until it ends.

Audit rows, notices, counts and buckets are gathered here and written once per commit (`flush`), however many
writes asked for them. Rows that decide something are written at once, so that a later write of the same
transaction sees them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from bridge.model.audit import AuditEvent
from bridge.model.client import ClientState
from bridge.model.record_change import RecordChange
from bridge.store import noticing
from bridge.store import statements as sql
from bridge.store.audit_chain import Line, Tail, line_of
from bridge.store.audit_pen import AuditPen
from bridge.store.connections import Row
from bridge.store.limits import Bucket, Rate, Room
from bridge.store.ports.notices import Notice, Outbox

PENDING = ClientState.PENDING.value
LIVE = frozenset({ClientState.ACTIVE.value, PENDING})


class Transaction:
    """The handle that writes get. `touched` moves with every change, so that a refusal that changed
    nothing can be told from one that came too late."""

    def __init__(
        self, connection: sqlite3.Connection, pen: AuditPen, tail: Tail | None, outbox: Outbox | None = None
    ) -> None:
        """`outbox` says which changes of records somebody is told of; None: nobody is told of any."""
        self._connection, self._pen, self._outbox = connection, pen, outbox
        self.tail = tail
        self.touched = 0
        self._lines: list[Line] = []
        self._notices: list[tuple[Notice, int]] = []
        self._counts: dict[tuple[str, str, str], int] = {}
        self._rooms: dict[str, Room] = {}
        self._buckets: dict[tuple[str, str], Bucket] = {}

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

    @property
    def has_listener(self) -> bool:
        """Whether anybody is told of changes at all."""
        return self._outbox is not None

    def audit_change(self, event: AuditEvent, state: ClientState) -> None:
        """Write this row of a record, which is in `state` now, and the notice of the change where one is wanted."""
        self.audit(event)
        if self._outbox is not None:
            self.tell(RecordChange.of(event, state))

    def tell(self, change: RecordChange) -> None:
        """Queue the notice of a change with the commit, if anybody wants it."""
        notice = None if self._outbox is None else self._outbox.notice(change)
        if notice is not None:
            self.touched += 1
            self._notices.append((notice, change.time))

    def audit_line(self, line: Line) -> None:
        """Write this row, made ready before, with the commit."""
        self.touched += 1
        self._lines.append(line)

    def count(self, quota: str, kind: str, state: str, change: int) -> None:
        """Note that there are more or fewer records of this kind and state. `quota`: see `rows.quota_of`."""
        self.touched += 1
        key = (quota, kind, state)
        self._counts[key] = self._counts.get(key, 0) + change
        room = self._rooms.get(quota)
        if room is not None:
            _add(room, state, change)

    def move(self, quota: str, kind: str, before: str, after: str) -> None:
        """Note that one record went from one state to another."""
        if before != after:
            self.count(quota, kind, before, -1)
            self.count(quota, kind, after, 1)

    def room(self, quota: str) -> Room:
        """How many live records there are, what this transaction changed included."""
        room = self._rooms.get(quota)
        if room is None:
            room = self._rooms[quota] = Room(*self.rows(sql.ROOM, (quota,))[0])
            for (whose, _, state), change in self._counts.items():
                if whose == quota:
                    _add(room, state, change)
        return room

    def bucket(self, rate: Rate) -> Bucket:
        """The bucket, as it stands in this transaction."""
        key = (rate.limit, rate.key)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(*(self.row(sql.BUCKET, key) or ()))
        return bucket

    def spend(self, rate: Rate, *, now: int) -> None:
        """Take one token. Raises: LimitReached, and nothing is changed then."""
        self.bucket(rate).take(rate, now)
        self.touched += 1

    def flush(self) -> None:
        """Write what was gathered. Raises: sqlite3.Error, Unavailable."""
        counts = [(*key, change) for key, change in self._counts.items() if change]
        if counts:
            self._connection.executemany(sql.ADD_COUNT, counts)
        for (kind, key), bucket in self._buckets.items():
            if bucket.rate is not None:
                terms = (bucket.rate.per_minute, bucket.rate.burst, bucket.full_at)
                self._connection.execute(sql.SET_BUCKET, (kind, key, bucket.level, bucket.filled_at, *terms))
        if self._lines:
            self.tail = self._pen.write(self._connection, self._lines, self.tail)
        if self._outbox is not None and self._notices:
            noticing.write(self._connection, self._notices, self._outbox.limit)
        self.forget()

    def forget(self) -> None:
        """Drop what was gathered and not written."""
        self._lines, self._notices, self._counts, self._rooms, self._buckets = [], [], {}, {}, {}


def _add(room: Room, state: str, change: int) -> None:
    if state in LIVE:
        room.live += change
    if state == PENDING:
        room.pending += change
