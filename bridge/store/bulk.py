"""Many records at once, for benches and for restores: no events, no limits, no policy.

Not for a running service's own use: nothing is decided and nothing is audited here.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from bridge.model.client import ClientRecord, ClientState
from bridge.store import statements as sql
from bridge.store.connections import open_writer, unavailable
from bridge.store.gate import WriterGate
from bridge.store.migrations import require_current
from bridge.store.rows import client_row, quota_of

RECORDS_AT_ONCE = 20_000

_LIVE = (ClientState.ACTIVE, ClientState.PENDING)


def seed_clients(path: Path, records: Iterable[ClientRecord]) -> int:
    """Insert records as they are, and keep the counts right. Returns how many.

    A record that ended is taken as ended at `last_used_at`. Raises: StartRefused (schema), Unavailable;
    also when a `client_id` or a subject is there already. What was inserted by then, in steps of twenty
    thousand, stays.
    """
    require_current(path)
    done = 0
    source = iter(records)
    gate = WriterGate(path)
    try:
        connection = open_writer(path)
        try:
            while part := list(islice(source, RECORDS_AT_ONCE)):
                with gate:
                    _insert(connection, part)
                done += len(part)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise unavailable(error) from error
    finally:
        gate.close()
    return done


def _insert(connection: sqlite3.Connection, records: list[ClientRecord]) -> None:
    counts = Counter((quota_of(record), record.kind.value, record.state.value) for record in records)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(
            sql.INSERT_CLIENT,
            (client_row(record, ended_at=None if record.state in _LIVE else record.last_used_at) for record in records),
        )
        connection.executemany(sql.ADD_COUNT, [(*key, more) for key, more in counts.items()])
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
