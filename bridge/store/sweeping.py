"""What time does to records: idle ones expire, ended ones are forgotten, stale marks go.

Each sweep is a small transaction that looks and changes under the same lock, so that it can never end a
record that was used in between (T-41).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.model.audit import AuditEvent
from bridge.model.client import ClientRecord, ClientState
from bridge.store import statements as sql
from bridge.store.limits import CLOCK_TOLERANCE
from bridge.store.ports import Swept
from bridge.store.rows import client_of
from bridge.store.transaction import Transaction

# Marks and buckets are a few small columns; a sweep takes more of them than of records.
MARKERS_PER_RECORD = 10
# A revoked token stays known long after its `exp`, in case that the clock is set back.
REVOKED_TOKEN_SLACK = 86_400

EXPIRED = ClientState.EXPIRED.value


@dataclass(frozen=True, slots=True)
class Sweeping:
    """One call of `sweep`. Ages in seconds, `now` epoch seconds."""

    now: int
    keep_ended: int
    pending_expiry: int
    batch: int
    event: Callable[[ClientRecord], AuditEvent]


def sweep(tx: Transaction, call: Sweeping) -> Swept:
    """Do a part of what is due: at most `batch` of each kind. ROFU-23, 25."""
    expired = _expire_records(tx, call)
    expired += _expire_members(tx, call, call.batch - expired)
    removed = _remove_records(tx, call)
    removed += _remove_members(tx, call, call.batch - removed)
    markers = _sweep_markers(tx, call)
    _sweep_buckets(tx, call)
    tx.change(sql.SWEEP_REVOKED_TOKENS, (call.now - REVOKED_TOKEN_SLACK, call.batch * MARKERS_PER_RECORD))
    return Swept(expired, removed, markers)


def _expire_records(tx: Transaction, call: Sweeping) -> int:
    rows = tx.rows(sql.IDLE, (call.now, call.batch))
    if len(rows) < call.batch:
        seen = {row[0] for row in rows}
        late = tx.rows(sql.PENDING_TOO_LONG, (call.now - call.pending_expiry, call.batch - len(rows)))
        rows += [row for row in late if row[0] not in seen]
    ended = []
    for row in rows:
        record = client_of(row)
        if record is None:
            continue
        ended.append(record.client_id)
        tx.move(row[-1], record.kind.value, record.state.value, EXPIRED)
        tx.audit_change(call.event(record), ClientState.EXPIRED)
    if ended:
        among = json.dumps(ended)
        tx.change(sql.END_CLIENTS, (EXPIRED, call.now, call.now, call.now, among))
        tx.change(sql.DROP_APPROVALS_OF, (among,))
    return len(rows)


def _expire_members(tx: Transaction, call: Sweeping, batch: int) -> int:
    rows = tx.rows(sql.IDLE_MEMBERS, (call.now, batch))
    for client_id, spiffe_id in rows:
        tx.change(sql.EXPIRE_MEMBER, (call.now, call.now, call.now, client_id, spiffe_id))
        found = tx.row(sql.GET, (client_id,))
        record = client_of(found) if found is not None else None
        if record is not None:
            tx.audit_change(replace(call.event(record), subject=spiffe_id), ClientState.EXPIRED)
    return len(rows)


def _remove_records(tx: Transaction, call: Sweeping) -> int:
    rows = tx.rows(sql.FORGETTABLE, (call.now - call.keep_ended, call.now, call.batch))
    for _, kind, quota, state in rows:
        tx.count(quota, kind, state, -1)
    if rows:
        among = json.dumps([row[0] for row in rows])
        for remove in (sql.REMOVE_CLIENTS, sql.REMOVE_MEMBERS_OF, sql.DROP_APPROVALS_OF, sql.REMOVE_ACCESS_OF):
            tx.change(remove, (among,))
    return len(rows)


def _remove_members(tx: Transaction, call: Sweeping, batch: int) -> int:
    rows = tx.rows(sql.FORGETTABLE_MEMBERS, (call.now - call.keep_ended, call.now, batch))
    if rows:
        tx.change_many(sql.REMOVE_MEMBER, rows)
    for client_id, fewer in Counter(row[0] for row in rows).items():
        tx.change(sql.SEE_MEMBER, (-fewer, client_id))
    return len(rows)


def _sweep_markers(tx: Transaction, call: Sweeping) -> int:
    """Remove stale marks and note up to which end. A mark that ends before that is refused from then on:
    it may have been made and swept, and a clock that is set back must not revive it."""
    until = call.now - CLOCK_TOLERANCE
    removed = tx.change(sql.SWEEP_MARKERS, (until, call.batch * MARKERS_PER_RECORD))
    if removed:
        tx.change(sql.SWEPT_MARKERS, (removed, until, until))
    return removed


def _sweep_buckets(tx: Transaction, call: Sweeping) -> None:
    """Remove buckets that are full: one that is not there is full, too. A clock that is a little behind must
    not find one gone that it would have found short of a token."""
    kind = ""
    while (row := tx.row(sql.NEXT_KIND_OF_BUCKET, (kind,))) is not None:
        kind = row[0]
        tx.change(sql.SWEEP_BUCKETS, (kind, call.now - CLOCK_TOLERANCE, call.batch * MARKERS_PER_RECORD))
