"""Puts notices into their queue, in the transaction of the changes that they tell of."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from bridge.store.ports.notices import Notice, NoticeState

_HELD = "SELECT COUNT(*) FROM notices"
_PUT_OUT = f"""
DELETE FROM notices WHERE position IN (
    SELECT position FROM notices WHERE state = '{NoticeState.DEAD.value}' ORDER BY position LIMIT ?)
"""
_INSERT = f"""
INSERT INTO notices (id, kind, client_id, body, state, queued_at, tries, next_at, error)
VALUES (?, ?, ?, ?, '{NoticeState.WAITING.value}', ?, 0, ?, '')
"""
_DROPPED = "UPDATE notices_dropped SET number = number + ? WHERE one = 1"


def write(connection: sqlite3.Connection, notices: Sequence[tuple[Notice, int]], limit: int) -> None:
    """Queue notices, each with the time of its change. A full queue lets the oldest dead ones go; where all of them
    wait, those that come are dropped and counted: no change of a record fails because nobody takes its notice.

    Raises: sqlite3.Error.
    """
    over = connection.execute(_HELD).fetchone()[0] + len(notices) - limit
    if over > 0:
        over -= connection.execute(_PUT_OUT, (over,)).rowcount
    kept = notices[: len(notices) - max(0, over)]
    values = [(notice.id, notice.kind, notice.client_id, notice.body, at, at) for notice, at in kept]
    if values:
        connection.executemany(_INSERT, values)
    if len(kept) < len(notices):
        connection.execute(_DROPPED, (len(notices) - len(kept),))
