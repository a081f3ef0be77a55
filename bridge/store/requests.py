"""Authorization requests between client and user (RFC 9126; PCR-12, 13, T-32)."""

from __future__ import annotations

from typing import cast

from bridge.model.audit import AuditEvent
from bridge.model.authorization import AuthorizationRequest, Consent, Grant, OpenRequest
from bridge.model.errors import LimitReached
from bridge.store import authorization_statements as sql
from bridge.store.authorization_rows import consent_of, consent_row, grant_row, request_of, request_text
from bridge.store.connections import Readers, Row
from bridge.store.exhausted import Exhausted
from bridge.store.group_commit import GroupCommit
from bridge.store.limits import CLOCK_TOLERANCE, SOME_TIME
from bridge.store.transaction import Transaction

# Of some two kilobytes each. Those who only ask spend their own buckets long before; a store that is full all the
# same refuses new ones (T-42).
REQUEST_LIMIT = 100_000
WAITING = "waiting_requests"
# How many whose time is over make room at once where there is none left.
MADE_ROOM = 50


class SqliteRequests:
    """See `ports.RequestStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit, exhausted: Exhausted, *, limit: int) -> None:
        """`limit` requests may wait."""
        self._readers, self._commit, self._exhausted, self._limit = readers, commit, exhausted, limit

    def push(self, handle: str, request: AuthorizationRequest, *, expires_at: int, now: int) -> None:
        """As the port says. While there is no room, a read finds that out and the writer is left alone."""
        if self._exhausted.was_full(WAITING, ""):
            if not self._has_room() and not self._readers.rows(sql.HAS_OVERDUE_REQUEST, (now - CLOCK_TOLERANCE,)):
                raise LimitReached(WAITING, SOME_TIME)
            self._exhausted.note_room(WAITING, "")
        values = (handle, request.client_id, request_text(request), expires_at, expires_at)
        try:
            self._commit.submit(lambda tx: self._push(tx, values, now))
        except LimitReached:
            self._exhausted.note_full(WAITING, "")
            raise

    def open(self, handle: str, *, client_id: str, browser: str, decide_until: int, now: int) -> OpenRequest | None:
        """As the port says. A browser that comes back is answered from a read alone."""
        known = self._readers.row(sql.OPENED, (handle, browser, now))
        if known is not None:
            return _opened(known) if known[2] == client_id else None
        values = (decide_until, browser, handle, client_id, now, browser, now)
        rows = cast(list[Row], self._commit.submit(lambda tx: tx.change_returning(sql.OPEN, values)))
        return _opened(rows[0]) if rows else None

    def opened(self, handle: str, *, browser: str, now: int) -> OpenRequest | None:
        """As the port says."""
        row = self._readers.row(sql.OPENED, (handle, browser, now))
        return None if row is None else _opened(row)

    def decide(
        self,
        handle: str,
        *,
        browser: str,
        grant: Grant | None,
        consent: Consent | None,
        event: AuditEvent | None,
        now: int,
        rests_on: Consent | None = None,
    ) -> bool:
        """As the port says."""

        def decide(tx: Transaction) -> bool:
            if rests_on is not None and not _stands(tx, rests_on):
                return False
            if not tx.change_returning(sql.CONSUME, (handle, browser, now)):
                return False
            tx.change(sql.ADD_HELD, (-1, "requests"))
            if grant is not None:
                tx.change(sql.INSERT_GRANT, grant_row(grant))
                tx.change(sql.ADD_HELD, (1, "grants"))
            if consent is not None:
                tx.change(sql.PUT_CONSENT, (*consent_row(consent), now))
            if event is not None:
                tx.audit(event)
            return True

        return cast(bool, self._commit.submit(decide))

    def _push(self, tx: Transaction, values: tuple[object, ...], now: int) -> None:
        """Refuses before it changes anything, as every write should (see `session`)."""
        held, overdue = tx.rows(sql.HELD, ("requests",))[0][0], now - CLOCK_TOLERANCE
        if held >= self._limit:
            if not tx.rows(sql.HAS_OVERDUE_REQUEST, (overdue,)):
                raise LimitReached(WAITING, SOME_TIME)
            sweep_requests(tx, overdue, MADE_ROOM)
        tx.change(sql.PUSH, values)
        tx.change(sql.ADD_HELD, (1, "requests"))

    def _has_room(self) -> bool:
        return bool(self._readers.rows(sql.HELD, ("requests",))[0][0] < self._limit)


def sweep_requests(tx: Transaction, overdue: int, batch: int) -> int:
    """Remove at most `batch` of those that were over by then. How many."""
    removed = tx.change(sql.SWEEP_REQUESTS, (overdue, batch))
    if removed:
        tx.change(sql.ADD_HELD, (-removed, "requests"))
    return removed


def _stands(tx: Transaction, consent: Consent) -> bool:
    row = tx.row(sql.CONSENT_OF, (consent.user_id, consent.client_id))
    return row is not None and consent_of(row).fingerprint == consent.fingerprint


def _opened(row: Row) -> OpenRequest:
    return OpenRequest(request_of(row[0]), row[1])
