"""Reads the audit log from a place on, row by row, and follows the chains on the way.

Where `audit_verify` walks the whole log, this begins anywhere and goes on later, in another process, from what it keeps
of the chains: whoever carries rows elsewhere sees a change before the rows are gone from here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from bridge.store import statements as sql
from bridge.store.audit_chain import ChainKey, Tail
from bridge.store.audit_verify import Chain, ChainWalk, checkpoints, head_faults, roster
from bridge.store.connections import Row
from bridge.store.ports import ChainFault, ChainTail, CheckedRows, ReadPlace
from bridge.store.rows import audit_row_of

ROW = "SELECT mac FROM audit WHERE rowid = ?"
BEFORE = "SELECT sequence, mac FROM audit WHERE rowid <= ? AND writer = ? ORDER BY rowid DESC LIMIT 1"


def read_on(connection: sqlite3.Connection, key: ChainKey, place: ReadPlace, limit: int) -> CheckedRows:
    """The next rows behind `place`, at most `limit`. `connection` must hold one snapshot. Raises: sqlite3.Error."""
    # Text that is no UTF-8 is a change to report, not a reason to stop.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    gone = _gone(connection, place)
    if gone is not None:
        return CheckedRows([], (), place, True, gone)
    walk = ChainWalk(key)
    heads: dict[str, tuple[Tail, bytes]] = {}
    faults = [*roster(connection, key, walk, heads), *checkpoints(connection, key, walk)]
    known = _resume(walk, place)
    found = connection.execute(sql.AUDIT_FROM, (place.row, limit)).fetchall()
    if found:
        faults += _pruned(place, found[0])
    rows = []
    for row in found:
        writer = row[1]
        if isinstance(writer, str) and writer not in known:
            known.add(writer)
            if not place.is_whole:
                _start_before(connection, walk, place.row, row)
        faults += walk.follow(row)
        try:
            rows.append(audit_row_of(row))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            faults.append(ChainFault(str(writer), 0, "unreadable", f"row {row[0]} cannot be read: {error}"))
    if len(found) < limit:
        ends = heads if place.is_whole else heads.keys() & known
        for writer in ends:
            faults += head_faults(key, writer, *heads[writer], walk.chains[writer])
    return CheckedRows(rows, tuple(faults), _place_after(place, found, walk, known), len(found) < limit)


def _gone(connection: sqlite3.Connection, place: ReadPlace) -> str | None:
    """Why the log is not the one that was read up to `place`; None when it is, or the row was pruned since."""
    if not place.mac:
        return None
    row = connection.execute(ROW, (place.row,)).fetchone()
    if row is not None:
        same = isinstance(row[0], bytes) and row[0].hex() == place.mac
        return None if same else f"row {place.row} is another one than was read before"
    first, last = connection.execute("SELECT MIN(rowid), MAX(rowid) FROM audit").fetchone()
    if last is None or last < place.row:
        return f"the log ends at row {last or 0}, and row {place.row} was read before"
    return None if first > place.row else f"row {place.row}, which was read before, is gone"


def _resume(walk: ChainWalk, place: ReadPlace) -> set[str]:
    """Let chains go on where they were read up to, unless they were pruned further; whose these are."""
    for writer, tail in place.chains.items():
        chain = walk.chains.get(writer)
        if chain is not None and chain.sequence <= tail.sequence:
            walk.chains[writer] = Chain(tail.sequence, tuple(bytes.fromhex(mac) for mac in tail.macs))
    return set(place.chains)


def _start_before(connection: sqlite3.Connection, walk: ChainWalk, after: int, row: Row) -> None:
    """Let a chain that is met in its middle go on from its row before, which nobody asked for."""
    writer, sequence = row[1], row[2]
    chain = walk.chains.get(writer)
    if chain is None or not isinstance(sequence, int) or sequence <= chain.sequence + 1:
        return
    before = connection.execute(BEFORE, (after, writer)).fetchone()
    if before is not None and isinstance(before[0], int) and isinstance(before[1], bytes):
        walk.chains[writer] = Chain(before[0], (before[1],))


def _pruned(place: ReadPlace, first: Row) -> Iterator[ChainFault]:
    """Rows that were pruned before anybody had read them."""
    if place.mac and first[0] > place.row + 1:
        gone = f"{place.row + 1} to {first[0] - 1}"
        yield ChainFault("", 0, "pruned", f"rows {gone} were pruned before they were read: read more often")


def _place_after(place: ReadPlace, found: list[Row], walk: ChainWalk, known: set[str]) -> ReadPlace:
    if not found:
        return place
    chains: Mapping[str, ChainTail] = {
        writer: ChainTail(chain.sequence, tuple(mac.hex() for mac in chain.macs))
        for writer in sorted(known)
        if (chain := walk.chains.get(writer)) is not None
    }
    mac = found[-1][3]
    return ReadPlace(found[-1][0], mac.hex() if isinstance(mac, bytes) else "", place.is_whole, chains)
