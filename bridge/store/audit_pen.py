"""Writes audit rows: this process's chain, its place in the roster, and its head."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason
from bridge.store import statements as sql
from bridge.store.audit_chain import MAC_BYTES, ChainKey, Line, Tail

# Rows of one INSERT; more rows take more of them.
ROWS_AT_ONCE = 64


class AuditPen:
    """One writer of audit rows. Joins the roster with its first row, so that a process that writes
    nothing leaves no trace. Used by one thread, inside its transactions."""

    def __init__(self, key: ChainKey, writer: str, clock: Callable[[], int]) -> None:
        """`writer` is unique for ever; the contract of `ChainKey.row` forbids a newline in it."""
        if not writer.isalnum():
            raise ValueError("the name of a writer has only letters and digits")
        self.writer = writer
        self._key, self._clock = key, clock

    def tail(self, connection: sqlite3.Connection) -> Tail | None:
        """Where the stored chain ends; None when this writer has not joined. Raises: sqlite3.Error."""
        row = connection.execute(sql.WRITER_TAIL, (self.writer,)).fetchone()
        return None if row is None else Tail(*row)

    def write(self, connection: sqlite3.Connection, lines: Sequence[Line], tail: Tail | None) -> Tail:
        """Append the lines behind `tail` and move the head. Returns the new tail.

        Raises: sqlite3.Error; Unavailable when somebody removed this writer from the roster.
        """
        if tail is None:
            tail = self._join(connection)
        sequence, mac = tail.sequence, tail.mac
        for start in range(0, len(lines), ROWS_AT_ONCE):
            part = lines[start : start + ROWS_AT_ONCE]
            values: list[object] = []
            for line in part:
                sequence += 1
                mac = self._key.row(self.writer, sequence, mac, line.message)
                values += line.columns
                values += (self.writer, sequence, mac)
            connection.execute(sql.insert_audit_rows(len(part)), values)
        tail = Tail(sequence, mac)
        moved = connection.execute(
            sql.SET_HEAD, (sequence, mac, self._key.head(self.writer, tail), self.writer)
        ).fetchall()
        if not moved:
            raise Unavailable(Reason.STORE_UNAVAILABLE, f"audit writer {self.writer} was removed from the roster")
        return tail

    def _join(self, connection: sqlite3.Connection) -> Tail:
        """Add this writer behind those before it. The stored link is taken as it is: checking it here
        would stop the service; a link that somebody changed stays visible to `verify`."""
        row = connection.execute(sql.ROSTER).fetchone()
        writers, link = (0, bytes(MAC_BYTES)) if row is None else row[:2]
        started_at, position = self._clock(), writers + 1
        link = self._key.link(link, position, self.writer, started_at)
        tail = Tail(0, self._key.genesis(self.writer, started_at))
        connection.execute(
            sql.ADD_WRITER,
            (self.writer, position, started_at, link, tail.sequence, tail.mac, self._key.head(self.writer, tail)),
        )
        connection.execute(sql.SET_ROSTER, (position, link, self._key.roster(position, link))).fetchall()
        return tail
