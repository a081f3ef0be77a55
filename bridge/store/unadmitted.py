"""Records that an operator's program found unfit: each ends only as the program saw it.

Between its look and this write a client may have been revoked, have idled out, or have come back. Then its
epoch is another one, and it is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.client import ClientState
from bridge.store import statements as sql
from bridge.store.ports import Stale
from bridge.store.transaction import Transaction

REVOKED = ClientState.REVOKED.value


def end_as_seen(tx: Transaction, stale: Sequence[Stale], *, now: int) -> tuple[Stale, ...]:
    """End those that are live under the epoch that was seen, with an audit row each. Approvals end with them."""
    return tuple(one for one in stale if _end(tx, one, now))


def _end(tx: Transaction, stale: Stale, now: int) -> bool:
    if stale.member is not None:
        if not tx.change(sql.END_MEMBER_AS_SEEN, (now, now, now, stale.client_id, stale.member, stale.epoch)):
            return False
        tx.audit_change(stale.event, ClientState.REVOKED)
        return True
    row = tx.row(sql.LIVE_AS_SEEN, (stale.client_id, stale.epoch))
    if row is None:
        return False
    kind, quota, state = row
    tx.change(sql.END_CLIENT, (REVOKED, now, now, now, stale.client_id))
    tx.change(sql.DROP_APPROVALS, (stale.client_id,))
    tx.move(quota, kind, state, REVOKED)
    tx.audit_change(stale.event, ClientState.REVOKED)
    return True
