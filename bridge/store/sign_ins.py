"""Browsers in which somebody is signed in."""

from __future__ import annotations

from typing import cast

from bridge.model.authorization import Session
from bridge.store import authorization_statements as sql
from bridge.store.authorization_rows import session_of, session_row
from bridge.store.connections import Readers, Row
from bridge.store.group_commit import GroupCommit
from bridge.store.transaction import Transaction


class SqliteSessions:
    """See `ports.SessionStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit) -> None:
        self._readers, self._commit = readers, commit

    def begin(self, session: Session) -> None:
        """As the port says. What the user once agreed to is remembered anew: somebody has seen the user."""
        seen = (session.signed_in_at, session.user.user_id, session.signed_in_at)

        def begin(tx: Transaction) -> None:
            tx.change(sql.BEGIN_SESSION, session_row(session))
            tx.change(sql.ADD_HELD, (1, "sessions"))
            tx.change(sql.SEE_USER, seen)

        self._commit.submit(begin)

    def get(self, digest: str, *, now: int) -> Session | None:
        """As the port says."""
        row = self._readers.row(sql.GET_SESSION, (digest, now))
        return None if row is None else session_of(row)

    def end(self, digest: str) -> Session | None:
        """As the port says; of two who sign out at once one is told what it was."""

        def end(tx: Transaction) -> Row | None:
            rows = tx.change_returning(sql.END_SESSION, (digest,))
            if rows:
                tx.change(sql.ADD_HELD, (-1, "sessions"))
            return rows[0] if rows else None

        row = cast(Row | None, self._commit.submit(end))
        return None if row is None else session_of(row)
