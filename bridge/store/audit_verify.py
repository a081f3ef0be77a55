"""Checks every audit chain in one walk over the log, in the order of writing.

Streams: memory is a few words per writer, however long the log is.
"""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bridge.store import statements as sql
from bridge.store.audit_chain import MAC_BYTES, ChainKey, Checkpoint, Tail, line_of_columns
from bridge.store.connections import Row
from bridge.store.ports import ChainFault

ROWS_AT_ONCE = 2000


@dataclass(slots=True)
class Chain:
    """How far one writer's chain was followed: the sequence of its last row, and the MACs that the next
    row may be bound to. There are two after a faulty row, the stored one and the right one, so that one
    change is one fault; none is known behind a gap."""

    sequence: int
    macs: tuple[bytes, ...]


class ChainWalk:
    """Follows rows one by one and says what is wrong with each."""

    def __init__(self, key: ChainKey) -> None:
        self._key = key
        self.chains: dict[str, Chain] = {}
        self._unknown: set[str] = set()

    def start(self, writer: str, tail: Tail) -> None:
        """A writer's chain continues behind `tail`."""
        self.chains[writer] = Chain(tail.sequence, (tail.mac,))

    def follow(self, row: Row) -> Iterator[ChainFault]:
        """One row of `AUDIT_FROM`."""
        rowid, writer, sequence, mac = row[:4]
        if not _is_written_by_us(row):
            yield ChainFault(
                str(writer), sequence if isinstance(sequence, int) else 0, "changed", f"row {rowid} was changed"
            )
            return
        chain = self.chains.get(writer)
        if chain is None:
            if writer not in self._unknown:
                self._unknown.add(writer)
                yield ChainFault(writer, sequence, "writer_missing", f"row {rowid}: its writer is not in the roster")
            return
        if sequence <= chain.sequence:
            yield ChainFault(
                writer, sequence, "changed", f"row {rowid}: sequence {sequence} comes a second time or late"
            )
            return
        macs = chain.macs
        if sequence > chain.sequence + 1:
            gap = f"{chain.sequence + 1} to {sequence - 1}"
            yield ChainFault(writer, chain.sequence + 1, "missing", f"rows {gap} are gone before row {rowid}")
            macs = ()
        message = line_of_columns(row[4:]).message
        right = [self._key.row(writer, sequence, before, message) for before in macs]
        if right and not any(hmac.compare_digest(mac, expected) for expected in right):
            yield ChainFault(writer, sequence, "changed", f"row {rowid} (time {row[4]}, id {row[5]}) was changed")
            chain.macs = (mac, *right)
        else:
            chain.macs = (mac,)
        chain.sequence = sequence


def _is_written_by_us(row: Row) -> bool:
    """Whether every column has a type that we store; SQLite lets others in, for who goes about it."""
    _, writer, sequence, mac, *columns = row
    sound = isinstance(writer, str) and isinstance(sequence, int) and isinstance(mac, bytes)
    return sound and all(value is None or isinstance(value, str | int) for value in columns)


def verify(
    connection: sqlite3.Connection, key: ChainKey, progress: Callable[[int], None] | None
) -> Iterator[ChainFault]:
    """All faults of the log. `connection` must hold one snapshot for the whole walk.

    `progress` is told the number of rows done. Raises: sqlite3.Error.
    """
    # Text that is no UTF-8 is a change to report, not a reason to stop.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    walk = ChainWalk(key)
    heads: dict[str, tuple[Tail, bytes]] = {}
    yield from roster(connection, key, walk, heads)
    yield from checkpoints(connection, key, walk)
    done = last = 0
    while rows := connection.execute(sql.AUDIT_FROM, (last, ROWS_AT_ONCE)).fetchall():
        for row in rows:
            yield from walk.follow(row)
        last, done = rows[-1][0], done + len(rows)
        if progress is not None:
            progress(done)
    for writer, (head, seal) in heads.items():
        yield from head_faults(key, writer, head, seal, walk.chains[writer])


def roster(
    connection: sqlite3.Connection, key: ChainKey, walk: ChainWalk, heads: dict[str, tuple[Tail, bytes]]
) -> Iterator[ChainFault]:
    """Whether the writers are those that joined, none more and none less."""
    link, expected = bytes(MAC_BYTES), 0
    for writer, position, started_at, stored, sequence, mac, seal in connection.execute(sql.WRITERS).fetchall():
        heads[writer] = (Tail(sequence, mac), seal)
        walk.start(writer, Tail(0, key.genesis(writer, started_at)))
        expected += 1
        if position != expected:
            yield ChainFault("", 0, "writer_missing", f"writers {expected} to {position - 1} of the roster are gone")
            expected = position
        elif not hmac.compare_digest(key.link(link, position, writer, started_at), stored):
            yield ChainFault(writer, 0, "writer_missing", f"writer {position} of the roster was changed or put in")
        link = stored
    row = connection.execute(sql.ROSTER).fetchone()
    if row is None:
        if heads:
            yield ChainFault("", 0, "writer_missing", "the roster's seal is gone")
        elif connection.execute(sql.ANYTHING_AUDITED).fetchone()[0]:
            yield ChainFault("", 0, "writer_missing", "the whole log is gone: there are records, but no writer")
        return
    writers, last, seal = row
    if not hmac.compare_digest(key.roster(writers, last), seal):
        yield ChainFault("", 0, "writer_missing", "the roster's seal was changed, or is not of this audit key")
    elif writers > expected:
        yield ChainFault("", 0, "writer_missing", f"writers {expected + 1} to {writers} of the roster are gone")
    elif writers < expected or not hmac.compare_digest(last, link):
        yield ChainFault("", 0, "writer_missing", "the roster does not end where its seal says")


def checkpoints(connection: sqlite3.Connection, key: ChainKey, walk: ChainWalk) -> Iterator[ChainFault]:
    """Where chains start that were pruned."""
    for *fields, seal in connection.execute(sql.CHECKPOINTS).fetchall():
        point = Checkpoint(*fields)
        if not hmac.compare_digest(key.checkpoint(point), seal):
            yield ChainFault(point.writer, point.sequence, "checkpoint", "the checkpoint is forged or was changed")
            continue
        if point.faults:
            yield ChainFault(
                point.writer, point.sequence, "checkpoint", f"{point.faults} of the pruned rows did not verify"
            )
        if point.writer in walk.chains:
            walk.start(point.writer, Tail(point.sequence, point.mac))


def head_faults(key: ChainKey, writer: str, head: Tail, seal: bytes, chain: Chain) -> Iterator[ChainFault]:
    """Whether a chain ends where its head says."""
    if not hmac.compare_digest(key.head(writer, head), seal):
        yield ChainFault(writer, head.sequence, "cut", "the head was changed; rows behind it may be gone")
    elif chain.sequence < head.sequence:
        gone = f"{chain.sequence + 1} to {head.sequence}"
        yield ChainFault(writer, chain.sequence + 1, "cut", f"the chain was cut: rows {gone} are gone")
    elif chain.sequence > head.sequence:
        yield ChainFault(writer, head.sequence + 1, "changed", "there are rows behind the head")
