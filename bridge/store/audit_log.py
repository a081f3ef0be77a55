"""The audit store over SQLite: appended through the group commit, read in the order of writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

from bridge.model.audit import AuditEvent, AuditEventKind, AuditRow
from bridge.model.errors import Unavailable
from bridge.model.pending import PendingWrite
from bridge.model.reasons import Reason
from bridge.store import audit_notes, audit_pages, audit_prune, audit_reading, audit_verify
from bridge.store import statements as sql
from bridge.store.audit_chain import ChainKey, line_of
from bridge.store.connections import Readers, Row, open_reader, unavailable
from bridge.store.group_commit import GroupCommit
from bridge.store.issuing import IssueWrite
from bridge.store.ports import (
    AskRow,
    AuditFilter,
    AuditPage,
    ChainFault,
    ChainHead,
    CheckedRows,
    IssuedRow,
    ReadPlace,
    RuleUse,
)
from bridge.store.rows import audit_row_of

# Rows are written in the order of their times but for small differences between threads and nodes.
TIME_DISORDER = 3600


class SqliteAudit:
    """See `ports.AuditStore`."""

    def __init__(self, path: Path, readers: Readers, commit: GroupCommit, key: ChainKey) -> None:
        self._path, self._readers, self._commit, self._key = path, readers, commit, key

    def append(self, event: AuditEvent) -> None:
        """As the port says."""
        self.begin_append(event).result()

    def note_policies(self, version: str, event: Callable[[str], AuditEvent | None]) -> bool:
        """As the port says. `event` is called by the writer's thread, inside the transaction."""
        return cast(bool, self._commit.submit(lambda tx: audit_notes.note_policies(tx, version, event)))

    def begin_append(self, event: AuditEvent) -> PendingWrite:
        """As the port says."""
        return self._commit.begin(IssueWrite(None, line_of(event), (), event.time, 0))

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
        """Not seen with `since`: a row written more than an hour before others of its time."""
        if since is not None:
            after = max(after, self.span(since=since)[0])
        statement, values = _question(since, correlation_id, events, after, limit, newest_first=newest_first)
        return [_read(row) for row in self._readers.rows(statement, values)]

    def span(self, *, since: int | None = None) -> tuple[int, int]:
        """As the port says. Not seen: a row written more than an hour before others of its time."""
        last = self._readers.row(sql.LAST_AUDIT_ROW)
        end = 0 if last is None or last[0] is None else int(last[0])
        if since is None:
            first = self._readers.row(sql.FIRST_AUDIT_ROW)
            return (0 if first is None or first[0] is None else int(first[0]) - 1), end
        first = self._readers.row(sql.FIRST_SINCE, (since - TIME_DISORDER,))
        return (end if first is None else int(first[0]) - 1), end

    def asks(self, after: int, until: int) -> list[AskRow]:
        """As the port says. Each call is one short read of its own."""
        try:
            return [AskRow._make(row) for row in self._readers.rows(sql.ASKS, (after, until))]
        except Unavailable as error:
            raise _unreadable(after, until, error) from error

    def rule_uses(self, after: int, until: int) -> list[RuleUse]:
        """As the port says. Each call is one short read of its own."""
        try:
            return [RuleUse._make(row) for row in self._readers.rows(audit_pages.RULE_USES, (after, until))]
        except Unavailable as error:
            raise _unreadable(after, until, error) from error

    def page(self, where: AuditFilter, *, before: int | None, limit: int, scan: int) -> AuditPage:
        """As the port says."""
        rows, further = audit_pages.page(self._readers.rows, where, before=before, limit=limit, scan=scan)
        return AuditPage([_read(row) for row in rows], further)

    def issued(self, after: int, until: int) -> list[IssuedRow]:
        """As the port says. Each call is one short read of its own."""
        try:
            return [IssuedRow._make(row) for row in self._readers.rows(audit_pages.ISSUED, (after, until))]
        except Unavailable as error:
            raise _unreadable(after, until, error) from error

    def heads(self) -> list[ChainHead]:
        """As the port says; in the order in which the writers joined."""
        return [
            ChainHead(writer, sequence, mac.hex())
            for writer, _, _, _, sequence, mac, _ in self._readers.rows(sql.WRITERS)
        ]

    def verify(self, *, progress: Callable[[int], None] | None = None) -> Iterator[ChainFault]:
        """As the port says. Reads one snapshot, on a connection of its own, until the iterator ends."""
        try:
            connection = open_reader(self._path)
            try:
                connection.execute("BEGIN")
                yield from audit_verify.verify(connection, self._key, progress)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def read_on(self, place: ReadPlace, *, limit: int) -> CheckedRows:
        """As the port says. Each call reads one snapshot, on a connection of its own."""
        try:
            connection = open_reader(self._path)
            try:
                connection.execute("BEGIN")
                return audit_reading.read_on(connection, self._key, place, limit)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def prune(self, *, before: int, now: int, batch: int) -> int:
        """As the port says."""
        return cast(
            int,
            self._commit.submit(
                lambda tx: audit_prune.prune_step(tx, self._key, before=before, now=now, batch=batch),
            ),
        )


def _question(
    since: int | None,
    correlation_id: str | None,
    events: Sequence[AuditEventKind],
    after: int,
    limit: int,
    *,
    newest_first: bool,
) -> tuple[str, list[object]]:
    terms, values = ["rowid > ?"], cast(list[object], [after])
    if since is not None:
        # The plus keeps SQLite on the order of writing, instead of sorting all rows since then.
        terms.append("+time >= ?")
        values.append(since)
    if correlation_id is not None:
        terms.append("id = ?")
        values.append(correlation_id)
    if events:
        terms.append(f"event IN ({', '.join('?' * len(events))})")
        values += [event.value for event in events]
        if AuditEventKind.TOKEN_ISSUED not in events:
            # The very words of the partial index, so that it is used: nearly all rows are issues.
            terms.append("event <> 'token_issued'")
    order = "DESC" if newest_first else "ASC"
    values.append(limit)
    return f"SELECT {sql.AUDIT} FROM audit WHERE {' AND '.join(terms)} ORDER BY rowid {order} LIMIT ?", values


def _unreadable(after: int, until: int, error: Unavailable) -> Unavailable:
    words = f"audit rows {after + 1} to {until} cannot be read ({error.detail}); run `bridge audit verify`"
    return Unavailable(Reason.STORE_UNAVAILABLE, words)


def _read(row: Row) -> AuditRow:
    try:
        return audit_row_of(row)
    except (KeyError, ValueError, RecursionError) as error:
        raise Unavailable(
            Reason.STORE_UNAVAILABLE, f"audit row {row[0]} cannot be read ({error}); run `bridge audit verify`"
        ) from error
