"""Removes old audit rows and signs how far: retention that cannot be mistaken for tampering.

Rows go in the order in which they were written, up to the first that is still young. What is removed is
verified on the way, and the number of rows that did not verify is part of what is signed: pruning must
not wash a changed row away.
"""

from __future__ import annotations

from bridge.store import statements as sql
from bridge.store.audit_chain import ChainKey, Checkpoint, Tail
from bridge.store.audit_verify import ChainWalk
from bridge.store.connections import Row
from bridge.store.transaction import Transaction

_TIME = 4


def prune_step(tx: Transaction, key: ChainKey, *, before: int, now: int, batch: int) -> int:
    """Remove up to `batch` of the oldest rows, if older than `before`, and say how many. Times: epoch seconds.

    The last row of the log stays, whatever its age, so that row ids never start over.
    """
    last = tx.rows(sql.LAST_AUDIT_ROW)[0][0]
    old: list[Row] = []
    for row in tx.rows(sql.AUDIT_FROM, (0, batch)):
        if row[_TIME] >= before or row[0] == last:
            break
        old.append(row)
    if not old:
        return 0
    for point in _checkpoints(tx, key, old, before=before, now=now):
        tx.change(sql.SET_CHECKPOINT, (*_fields(point), key.checkpoint(point)))
    tx.change(sql.PRUNE_AUDIT, (old[-1][0],))
    return len(old)


def _checkpoints(tx: Transaction, key: ChainKey, old: list[Row], *, before: int, now: int) -> list[Checkpoint]:
    walk, earlier = ChainWalk(key), _earlier(tx)
    for writer, _, started_at, *_ in tx.rows(sql.WRITERS):
        walk.start(writer, Tail(0, key.genesis(writer, started_at)))
    forged = set()
    for point, seal in earlier.values():
        if point.writer in walk.chains:
            walk.start(point.writer, Tail(point.sequence, point.mac))
        if key.checkpoint(point) != seal:
            forged.add(point.writer)
    removed: dict[str, int] = {}
    faults: dict[str, int] = {}
    for row in old:
        writer = row[1]
        removed[writer] = removed.get(writer, 0) + 1
        # Rows of a writer that is not in the roster are each a fault, though only the first is named.
        wrong = len(list(walk.follow(row))) if writer in walk.chains else 1
        faults[writer] = faults.get(writer, 0) + wrong
    return [
        _extended(row, earlier.get(row[1]), removed[row[1]], faults[row[1]] + (row[1] in forged), before, now)
        for row in {row[1]: row for row in old}.values()
    ]


def _extended(
    last: Row, known: tuple[Checkpoint, bytes] | None, removed: int, faults: int, before: int, now: int
) -> Checkpoint:
    """The checkpoint behind the row `last`, counting on from the one before."""
    if known is not None:
        removed, faults = removed + known[0].removed, faults + known[0].faults
    return Checkpoint(last[1], last[2], last[3], removed, faults, before, now)


def _earlier(tx: Transaction) -> dict[str, tuple[Checkpoint, bytes]]:
    return {row[0]: (Checkpoint(*row[:-1]), row[-1]) for row in tx.rows(sql.CHECKPOINTS)}


def _fields(point: Checkpoint) -> tuple[object, ...]:
    return (
        point.writer,
        point.sequence,
        point.mac,
        point.removed,
        point.faults,
        point.pruned_before,
        point.pruned_at,
    )
