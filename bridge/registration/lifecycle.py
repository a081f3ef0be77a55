"""What happens without anybody asking: idle records expire, and what has ended is forgotten."""

from __future__ import annotations

from collections.abc import Callable

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientRecord
from bridge.store.ports import ClientStore, GrantStore, Swept, SweptFlow

# So few records at a time that whoever writes meanwhile hardly waits longer than for anybody else's write.
BATCH = 20


class Sweeper:
    """Sweeps in small steps, so that live requests never wait long behind one (T-41). Who calls it rests between
    them."""

    def __init__(
        self, clients: ClientStore, *, keep_ended: int, pending_expiry: int, new_id: Callable[[], str]
    ) -> None:
        """`keep_ended` and `pending_expiry` in seconds."""
        self._clients, self._keep_ended, self._pending_expiry = clients, keep_ended, pending_expiry
        self._new_id = new_id
        self._so_far = Swept(0, 0, 0)

    def step(self, now: int) -> Swept | None:
        """Do a small part of what is due by `now`. None: there may be more; else all that was done since the last
        time that nothing was left. Raises: Unavailable; what was swept until then stays swept.

        Spec: ROFU-23, 25. A record that idled out comes back with the same `client_id` on its next use.
        """
        swept = self._clients.sweep(
            now=now,
            keep_ended=self._keep_ended,
            pending_expiry=self._pending_expiry,
            batch=BATCH,
            event=lambda record: self._expired(record, now),
        )
        so_far = self._so_far
        done = Swept(so_far.expired + swept.expired, so_far.removed + swept.removed, so_far.markers + swept.markers)
        is_more = max(swept.expired, swept.removed, swept.markers) >= BATCH
        self._so_far = done if is_more else Swept(0, 0, 0)
        return None if is_more else done

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


class FlowSweeper:
    """The same for what the code flow leaves behind: requests, grants, sessions, consents (PCR-28)."""

    def __init__(self, grants: GrantStore) -> None:
        self._grants = grants
        self._so_far = SweptFlow(0, 0, 0, 0)

    def step(self, now: int) -> SweptFlow | None:
        """As `Sweeper.step`. Raises: Unavailable."""
        swept, so_far = self._grants.sweep(now=now, batch=BATCH), self._so_far
        done = SweptFlow(
            so_far.requests + swept.requests,
            so_far.grants + swept.grants,
            so_far.sessions + swept.sessions,
            so_far.consents + swept.consents,
        )
        is_more = max(swept.requests, swept.grants, swept.sessions, swept.consents) >= BATCH
        self._so_far = done if is_more else SweptFlow(0, 0, 0, 0)
        return None if is_more else done
