"""What happens to records without anybody asking: idle ones expire, ended ones are forgotten."""

from __future__ import annotations

from collections.abc import Callable

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientRecord
from bridge.store.ports import ClientStore, Swept

BATCH = 500
MAX_BATCHES = 200


class Sweeper:
    """Runs sweeps in small transactions, so that live requests never wait long behind one (T-41)."""

    def __init__(
        self, clients: ClientStore, *, keep_ended: int, pending_expiry: int, new_id: Callable[[], str]
    ) -> None:
        """`keep_ended` and `pending_expiry` in seconds."""
        self._clients, self._keep_ended, self._pending_expiry = clients, keep_ended, pending_expiry
        self._new_id = new_id

    def sweep(self, now: int) -> Swept:
        """Everything that is due by `now`. Raises: Unavailable; what was swept until then stays swept.

        Spec: ROFU-23, 25. A record that idled out comes back with the same `client_id` on its next use.
        """
        expired = removed = markers = 0
        for _ in range(MAX_BATCHES):
            swept = self._clients.sweep(
                now=now,
                keep_ended=self._keep_ended,
                pending_expiry=self._pending_expiry,
                batch=BATCH,
                event=lambda record: self._expired(record, now),
            )
            expired, removed, markers = expired + swept.expired, removed + swept.removed, markers + swept.markers
            if max(swept.expired, swept.removed, swept.markers) < BATCH:
                break
        return Swept(expired, removed, markers)

    def _expired(self, record: ClientRecord, now: int) -> AuditEvent:
        return AuditEvent(
            id=self._new_id(),
            time=now,
            event=AuditEventKind.EXPIRED,
            subject=record.subject,
            rule=record.rule,
            outcome=record.state.value,
            client_id=record.client_id,
        )
