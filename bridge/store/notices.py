"""The queue of notices in SQLite. Its tables belong to no other part: without a webhook they stay empty."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from bridge.model.audit import AuditEvent
from bridge.store.connections import Readers, Row
from bridge.store.group_commit import GroupCommit
from bridge.store.ports.notices import Notice, NoticeState, QueuedNotice, QueueStanding
from bridge.store.transaction import Transaction

WAITING, DEAD = NoticeState.WAITING.value, NoticeState.DEAD.value

_COLUMNS = "id, kind, client_id, body, state, queued_at, tries, next_at, error"
_DUE = f"""
SELECT {_COLUMNS} FROM notices AS q
WHERE q.state = '{WAITING}' AND q.next_at <= ?
  AND NOT EXISTS (SELECT 1 FROM notices AS e
                  WHERE e.state = '{WAITING}' AND e.client_id = q.client_id AND e.position < q.position)
ORDER BY q.next_at, q.position LIMIT 1
"""
_DELIVERED = "DELETE FROM notices WHERE id = ?"
_POSTPONE = f"UPDATE notices SET tries = tries + 1, next_at = ?, error = ? WHERE id = ? AND state = '{WAITING}'"
_AMONG = "id IN (SELECT value FROM json_each(?))"
_GIVE_UP = f"""
UPDATE notices SET state = '{DEAD}', error = CASE WHEN ? = '' THEN error ELSE ? END
WHERE {_AMONG} AND state = '{WAITING}'
"""
_OVERDUE = f"SELECT {_COLUMNS} FROM notices WHERE state = '{WAITING}' AND queued_at <= ? ORDER BY position LIMIT ?"
_AGAIN = f"SET state = '{WAITING}', queued_at = ?, next_at = ?, tries = 0"
_RETRY = f"UPDATE notices {_AGAIN} WHERE id = ?"
_RETRY_DEAD = f"UPDATE notices {_AGAIN} WHERE state = '{DEAD}'"
_ROWS = f"""
SELECT {_COLUMNS} FROM notices
WHERE position > COALESCE((SELECT position FROM notices WHERE id = ?), 0) AND (? = '' OR state = ?)
ORDER BY position LIMIT ?
"""
_STANDING = f"""
SELECT COALESCE(SUM(CASE WHEN state = '{WAITING}' THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN state = '{DEAD}' THEN 1 ELSE 0 END), 0),
       MIN(CASE WHEN state = '{WAITING}' THEN queued_at END), (SELECT number FROM notices_dropped WHERE one = 1)
FROM notices
"""
_TIDY = f"DELETE FROM notices WHERE state = '{DEAD}' AND queued_at <= ?"
_BRING_FORWARD = f"UPDATE notices SET next_at = ? WHERE state = '{WAITING}' AND next_at > ?"


class SqliteNotices:
    """See `ports.NoticeStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit) -> None:
        self._readers, self._commit = readers, commit

    def next_due(self, now: int) -> QueuedNotice | None:
        """As the port says."""
        row = self._readers.row(_DUE, (now,))
        return None if row is None else _queued(row)

    def delivered(self, notice_id: str) -> None:
        """As the port says."""
        self._commit.submit(lambda tx: tx.change(_DELIVERED, (notice_id,)))

    def postpone(self, notice_id: str, *, next_at: int, error: str) -> None:
        """As the port says."""
        self._commit.submit(lambda tx: tx.change(_POSTPONE, (next_at, error, notice_id)))

    def give_up(self, notice_ids: Sequence[str], *, error: str, event: AuditEvent) -> int:
        """As the port says."""

        def end(tx: Transaction) -> int:
            ended = tx.change(_GIVE_UP, (error, error, json.dumps(list(notice_ids))))
            if ended:
                tx.audit(event)
            return ended

        return cast(int, self._commit.submit(end))

    def overdue(self, *, queued_before: int, limit: int) -> list[QueuedNotice]:
        """As the port says."""
        return [_queued(row) for row in self._readers.rows(_OVERDUE, (queued_before, limit))]

    def retry(self, notice_id: str | None, *, now: int) -> int:
        """As the port says."""
        statement, named = (_RETRY_DEAD, ()) if notice_id is None else (_RETRY, (notice_id,))
        return cast(int, self._commit.submit(lambda tx: tx.change(statement, (now, now, *named))))

    def rows(self, *, after: str | None, limit: int, state: NoticeState | None = None) -> list[QueuedNotice]:
        """As the port says."""
        wanted = "" if state is None else state.value
        return [_queued(row) for row in self._readers.rows(_ROWS, (after, wanted, wanted, limit))]

    def standing(self) -> QueueStanding:
        """As the port says."""
        return QueueStanding(*self._readers.rows(_STANDING)[0])

    def tidy(self, *, dead_before: int, now: int, due_until: int) -> int:
        """As the port says."""

        def clean(tx: Transaction) -> int:
            tx.change(_BRING_FORWARD, (now, due_until))
            return tx.change(_TIDY, (dead_before,))

        return cast(int, self._commit.submit(clean))


def _queued(row: Row) -> QueuedNotice:
    return QueuedNotice(Notice(*row[:4]), NoticeState(row[4]), *row[5:])
