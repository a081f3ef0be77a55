"""The small stores: used marks and ended tokens, signing keys, leases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from bridge.model.audit import AuditEvent
from bridge.model.errors import CredentialReplayed
from bridge.model.identity import Marker
from bridge.model.signing_key import SigningKeyRow
from bridge.store import statements as sql
from bridge.store.claims import IS_CLAIMED
from bridge.store.connections import Readers
from bridge.store.group_commit import GroupCommit
from bridge.store.issuing import IssueWrite
from bridge.store.rows import key_of
from bridge.store.transaction import Transaction


class SqliteTokens:
    """See `ports.TokenStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit, *, marker_limit: int) -> None:
        self._readers, self._commit, self._marker_limit = readers, commit, marker_limit

    def claim(self, marker: Marker, *, now: int) -> bool:
        """Raises also: LimitReached (`markers`) when the store holds as many as it may; none is ever
        evicted to make room (T-42)."""
        try:
            self._commit.submit(IssueWrite(None, None, (marker,), now, self._marker_limit))
        except CredentialReplayed:
            return False
        return True

    def is_claimed(self, marker: Marker) -> bool:
        """As the port says."""
        return bool(self._readers.rows(IS_CLAIMED, (marker.kind, marker.digest)))

    def revoke_token(self, jti: str, *, expires_at: int, event: AuditEvent, now: int) -> None:
        """As the port says."""

        def revoke(tx: Transaction) -> None:
            if tx.change_returning(sql.REVOKE_TOKEN, (jti, expires_at)):
                tx.audit(event)

        if not self.is_revoked(jti):
            self._commit.submit(revoke)

    def is_revoked(self, jti: str) -> bool:
        """As the port says."""
        return bool(self._readers.rows(sql.IS_REVOKED, (jti,)))


class SqliteKeys:
    """See `ports.KeyStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit) -> None:
        self._readers, self._commit = readers, commit

    def keys(self) -> list[SigningKeyRow]:
        """As the port says."""
        return [key_of(row) for row in self._readers.rows(sql.KEYS)]

    def add_first(self, rows: Sequence[SigningKeyRow], *, event: AuditEvent) -> bool:
        """As the port says."""

        def add(tx: Transaction) -> bool:
            if tx.rows(sql.HAS_KEY):
                return False
            for row in rows:
                _insert(tx, row)
            tx.audit(event)
            return True

        return cast(bool, self._commit.submit(add))

    def rotate(
        self, *, promote: str, signs_from: int, retire_others_at: int, successor: SigningKeyRow, event: AuditEvent
    ) -> bool:
        """As the port says."""

        def turn(tx: Transaction) -> bool:
            if not tx.change_returning(sql.PROMOTE_KEY, (signs_from, promote)):
                return False
            tx.change(sql.RETIRE_OTHER_KEYS, (retire_others_at, promote))
            _insert(tx, successor)
            tx.audit(event)
            return True

        return cast(bool, self._commit.submit(turn))

    def drop_retired(self, *, now: int) -> int:
        """As the port says."""
        return cast(int, self._commit.submit(lambda tx: len(tx.change_returning(sql.DROP_RETIRED_KEYS, (now,)))))


def _insert(tx: Transaction, row: SigningKeyRow) -> None:
    tx.change(
        sql.INSERT_KEY,
        (row.kid, row.alg, row.public_jwk, row.sealed, row.created_at, row.signs_from, row.retires_at),
    )


class SqliteLeases:
    """See `ports.LeaseStore`."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit

    def take(self, name: str, *, holder: str, now: int, until: int) -> bool:
        """As the port says; one statement, so that two who ask at once cannot both have it."""
        return cast(
            bool, self._commit.submit(lambda tx: bool(tx.change_returning(sql.TAKE_LEASE, (name, holder, until, now))))
        )
