"""Who may manage a registration: the digests of registration access tokens (RFC 7592, DCR-33)."""

from __future__ import annotations

from typing import cast

from bridge.model.audit import AuditEvent
from bridge.model.errors import RegistrationChanged
from bridge.model.reasons import Reason
from bridge.store import statements as sql
from bridge.store.connections import Readers
from bridge.store.group_commit import GroupCommit
from bridge.store.ports import Access, Rotation
from bridge.store.transaction import Transaction


class SqliteManagement:
    """See `ports.ManagementStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit) -> None:
        self._readers, self._commit = readers, commit

    def open(self, wanted: Access) -> Access:
        """As the port says. A row that is there is answered from a read alone."""
        row = self._readers.row(sql.ACCESS_OF, (wanted.client_id,))
        if row is not None and row[2] >= wanted.epoch:
            return Access(*row)
        return cast(Access, self._commit.submit(lambda tx: _open(tx, wanted)))

    def by_handle(self, handle: str) -> Access | None:
        """As the port says."""
        row = self._readers.row(sql.ACCESS_BY_HANDLE, (handle,))
        return None if row is None else Access(*row)

    def rotate(self, rotation: Rotation, *, event: AuditEvent) -> Access | None:
        """As the port says."""

        def put(tx: Transaction) -> Access | None:
            renewed = rotate(tx, rotation)
            if renewed is not None:
                tx.audit(event)
            return renewed

        return cast(Access | None, self._commit.submit(put))


def rotate(tx: Transaction, rotation: Rotation) -> Access | None:
    """Put the next generation in force; None when it is not its turn. One statement, so that of two who rotate at
    once one does."""
    current = rotation.current
    values = (rotation.digest, current.client_id, current.epoch, current.generation, current.digest)
    rows = tx.change_returning(sql.ROTATE_ACCESS, values)
    return Access(*rows[0]) if rows else None


def _open(tx: Transaction, wanted: Access) -> Access:
    if tx.row(sql.HAS_LIVE_EPOCH, (wanted.client_id, wanted.epoch)) is None:
        raise RegistrationChanged(Reason.REGISTRATION_CHANGED, f"{wanted.client_id}: not live under {wanted.epoch}")
    values = (wanted.client_id, wanted.handle, wanted.epoch, wanted.generation, wanted.digest)
    tx.change(sql.OPEN_ACCESS, values)
    return Access(*tx.rows(sql.ACCESS_OF, (wanted.client_id,))[0])
