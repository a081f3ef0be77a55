"""What users gave to clients, and what they agreed to. Uses of a grant are written in `redeeming`."""

from __future__ import annotations

from typing import cast

from bridge.model.audit import AuditEvent
from bridge.model.authorization import Consent, Grant
from bridge.store import authorization_statements as sql
from bridge.store.authorization_rows import consent_of, grant_of
from bridge.store.connections import Readers
from bridge.store.group_commit import GroupCommit
from bridge.store.limits import CLOCK_TOLERANCE
from bridge.store.ports import LATEST, SweptFlow
from bridge.store.requests import sweep_requests
from bridge.store.transaction import Transaction

# What a user agreed to is forgotten when nobody has seen that user for so long: a year.
CONSENT_SECONDS = 365 * 86_400


class SqliteGrants:
    """See `ports.GrantStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit) -> None:
        self._readers, self._commit = readers, commit

    def by_code(self, code_digest: str) -> Grant | None:
        """As the port says."""
        row = self._readers.row(sql.GRANT_BY_CODE, (code_digest,))
        return None if row is None else grant_of(row)

    def get(self, grant_id: str) -> Grant | None:
        """As the port says."""
        row = self._readers.row(sql.GRANT_BY_ID, (grant_id,))
        return None if row is None else grant_of(row)

    def is_live(self, grant_id: str) -> bool:
        """As the port says."""
        return bool(self._readers.rows(sql.IS_LIVE, (grant_id,)))

    def end(self, grant_id: str, *, event: AuditEvent | None, now: int) -> bool:
        """As the port says; one statement, so that of two who end it one does."""

        def end(tx: Transaction) -> bool:
            if not tx.change_returning(sql.END_GRANT, (now, grant_id)):
                return False
            tx.change(sql.ADD_HELD, (-1, "grants"))
            if event is not None:
                tx.audit(event)
            return True

        return cast(bool, self._commit.submit(end))

    def of_client(self, client_id: str, *, before: tuple[int, str] = LATEST, limit: int, now: int) -> list[Grant]:
        """As the port says."""
        return [grant_of(row) for row in self._readers.rows(sql.GRANTS_OF_CLIENT, (client_id, now, *before, limit))]

    def consents_to(self, client_id: str, *, before: tuple[int, str] = LATEST, limit: int) -> list[Consent]:
        """As the port says."""
        return [consent_of(row) for row in self._readers.rows(sql.CONSENTS_OF_CLIENT, (client_id, *before, limit))]

    def of_user(self, user_id: str, *, limit: int, now: int) -> list[Grant]:
        """As the port says."""
        return [grant_of(row) for row in self._readers.rows(sql.GRANTS_OF_USER, (user_id, now, limit))]

    def end_of_user(self, user_id: str, client_id: str, *, event: AuditEvent, now: int) -> int:
        """As the port says."""

        def end(tx: Transaction) -> int:
            ended = len(tx.change_returning(sql.END_GRANTS_OF_USER, (now, user_id, client_id)))
            if ended:
                tx.change(sql.ADD_HELD, (-ended, "grants"))
            forgotten = tx.change_returning(sql.FORGET_CONSENT, (user_id, client_id))
            if ended or forgotten:
                tx.audit(event)
            return ended

        return cast(int, self._commit.submit(end))

    def consent(self, user_id: str, client_id: str) -> Consent | None:
        """As the port says."""
        row = self._readers.row(sql.CONSENT_OF, (user_id, client_id))
        return None if row is None else consent_of(row)

    def consents_of(self, user_id: str, *, limit: int) -> list[Consent]:
        """As the port says."""
        return [consent_of(row) for row in self._readers.rows(sql.CONSENTS_OF_USER, (user_id, limit))]

    def counts(self) -> dict[str, int]:
        """As the port says, from counts that are kept with every change."""
        return dict(self._readers.rows(sql.COUNTS))

    def sweep(self, *, now: int, batch: int) -> SweptFlow:
        """As the port says. What ended less than a minute ago stays: clocks of several nodes differ by less."""
        return cast(SweptFlow, self._commit.submit(lambda tx: _sweep(tx, now, batch)))


def _sweep(tx: Transaction, now: int, batch: int) -> SweptFlow:
    overdue = now - CLOCK_TOLERANCE
    requests = sweep_requests(tx, overdue, batch)
    grants = tx.change_returning(sql.SWEEP_GRANTS, (overdue, batch))
    counted = sum(ended_at is None for (ended_at,) in grants)
    if counted:
        tx.change(sql.ADD_HELD, (-counted, "grants"))
    sessions = tx.change(sql.SWEEP_SESSIONS, (overdue, batch))
    if sessions:
        tx.change(sql.ADD_HELD, (-sessions, "sessions"))
    consents = tx.change(sql.SWEEP_CONSENTS, (now - CONSENT_SECONDS, batch))
    return SweptFlow(requests, len(grants), sessions, consents)
