"""What rests on an authority, over SQLite. The audit log has no index for it: an authority is asked for on bad days
alone, and every token would pay for the index. The part of the log in which tokens may live is walked instead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import cast

from bridge.model.audit import AuditEvent
from bridge.model.authority import of_audit, of_text, text_of
from bridge.model.client import ClientState
from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason
from bridge.store import authorization_statements as flow_sql
from bridge.store import statements as sql
from bridge.store.audit_log import TIME_DISORDER
from bridge.store.connections import Readers, Row
from bridge.store.group_commit import GroupCommit
from bridge.store.ports import RestingGrant, RestingLease, RestingToken, TokenPage
from bridge.store.transaction import Transaction

# Rows of the log that are looked at with one read.
ROWS_AT_ONCE = 5000
ACTIVE, REVOKED = ClientState.ACTIVE.value, ClientState.REVOKED.value

ISSUED = """
SELECT rowid, time, subject, evidence, key_id, ask, client_id, jti FROM audit
WHERE rowid > ? AND rowid <= ? AND event = 'token_issued' AND subject >= ? AND subject < ? ORDER BY rowid
"""
# Asked: an array of [client_id, subject, jti, grant]. Answer: one array of arrays, in that order.
STANDING = """
SELECT json_group_array(json_array(
    c.state, c.epoch, c.expires_at, m.state, m.epoch, m.expires_at,
    EXISTS (SELECT 1 FROM tombstones AS t WHERE t.subject IN (asked.subject, asked.client_id, c.parent)),
    EXISTS (SELECT 1 FROM revoked_tokens AS r WHERE r.jti = asked.jti),
    asked.grant_id IS NULL
    OR EXISTS (SELECT 1 FROM grants AS g WHERE g.grant_id = asked.grant_id AND g.ended_at IS NULL)))
FROM (SELECT json_extract(value, '$[0]') AS client_id, json_extract(value, '$[1]') AS subject,
             json_extract(value, '$[2]') AS jti, json_extract(value, '$[3]') AS grant_id
      FROM json_each(?)) AS asked
LEFT JOIN clients AS c ON c.client_id = asked.client_id
LEFT JOIN members AS m ON m.client_id = asked.client_id AND m.spiffe_id = asked.subject
"""
LEASES = f"""
SELECT client_id, parent, epoch, last_used_at, expires_at, authorities FROM clients
WHERE trust_domain = ? AND client_id > ? AND kind = 'instance' AND {sql.LIVE} AND expires_at > ?
ORDER BY client_id LIMIT ?
"""
# A grant is over once its registration is another, whatever its own row says (T-23).
GRANTS = """
SELECT g.grant_id, g.client_id, g.actor, MAX(g.code_expires_at, COALESCE(g.refresh_expires_at, 0)), g.authorities
FROM grants AS g
LEFT JOIN clients AS c ON c.client_id = g.client_id
LEFT JOIN members AS m ON m.client_id = g.client_id AND m.spiffe_id = g.actor
WHERE g.grant_id > ? AND g.actor >= ? AND g.actor < ? AND g.ended_at IS NULL
  AND (g.refresh_expires_at > ? OR (g.code_used_at IS NULL AND g.code_expires_at > ?))
  AND (g.epoch IS NULL OR (c.state = 'active' AND (g.epoch = CAST(c.epoch AS TEXT) OR (
       m.state = 'active' AND g.epoch = CAST(c.epoch AS TEXT) || '.' || CAST(m.epoch AS TEXT)))))
ORDER BY g.grant_id LIMIT ?
"""
LEASE_AS_SEEN = f"""
SELECT kind, {sql.QUOTA}, state FROM clients WHERE client_id = ? AND epoch = ? AND authorities = ? AND {sql.LIVE}
"""
END_GRANT_AS_SEEN = """
UPDATE grants SET ended_at = ? WHERE grant_id = ? AND authorities = ? AND ended_at IS NULL RETURNING grant_id
"""


class SqliteResting:
    """See `ports.RestingStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit) -> None:
        self._readers, self._commit = readers, commit

    def tokens(self, trust_domain: str, *, since: int, longest: int, now: int, after: int | None = None) -> TokenPage:
        """As the port says. Not seen: a row written more than an hour before others of its time."""
        if after is None:
            first = self._readers.row(sql.FIRST_SINCE, (since - TIME_DISORDER,))
            if first is None:
                return TokenPage((), None, 0)
            after = first[0] - 1
        last = self._readers.rows(sql.LAST_AUDIT_ROW)[0][0] or 0
        until = min(after + ROWS_AT_ONCE, last)
        rows = self._readers.rows(ISSUED, (after, until, *_identities_of(trust_domain)))
        found = (_token_of(row, longest) for row in rows)
        tokens = [token for token in found if token.expires_at > now]
        return TokenPage(tokens, until if until < last else None, max(0, until - after))

    def alive(self, tokens: Sequence[RestingToken], *, now: int) -> list[RestingToken]:
        """As the port says."""
        if not tokens:
            return []
        asked = [(token.client_id, token.subject, token.jti, token.grant_id) for token in tokens]
        seen = json.loads(self._readers.rows(STANDING, (json.dumps(asked),))[0][0])
        return [token for token, row in zip(tokens, seen, strict=True) if _stands(token, row, now)]

    def leases(self, trust_domain: str, *, now: int, limit: int, after: str = "") -> list[RestingLease]:
        """As the port says."""
        rows = self._readers.rows(LEASES, (trust_domain, after, now, limit))
        return [
            RestingLease(client_id, subject, epoch, used_at, ends_at, of_text(authorities))
            for client_id, subject, epoch, used_at, ends_at, authorities in rows
        ]

    def grants(self, trust_domain: str, *, now: int, limit: int, after: str = "") -> list[RestingGrant]:
        """As the port says."""
        rows = self._readers.rows(GRANTS, (after, *_identities_of(trust_domain), now, now, limit))
        return [
            RestingGrant(grant_id, client_id, subject, ends_at, of_text(authorities))
            for grant_id, client_id, subject, ends_at, authorities in rows
        ]

    def end_tokens(self, ending: Sequence[tuple[RestingToken, AuditEvent]], *, now: int) -> int:
        """As the port says."""

        def end(tx: Transaction) -> int:
            return _audited(tx, ((event, _end_token(tx, one)) for one, event in ending))

        return cast(int, self._commit.submit(end))

    def end_leases(self, ending: Sequence[tuple[RestingLease, AuditEvent]], *, now: int) -> int:
        """As the port says."""

        def end(tx: Transaction) -> int:
            ended = [event for one, event in ending if _end_lease(tx, one, now)]
            for event in ended:
                tx.audit_change(event, ClientState.REVOKED)
            return len(ended)

        return cast(int, self._commit.submit(end))

    def end_grants(self, ending: Sequence[tuple[RestingGrant, AuditEvent]], *, now: int) -> int:
        """As the port says."""

        def end(tx: Transaction) -> int:
            ended = _audited(tx, ((event, _end_grant(tx, one, now)) for one, event in ending))
            if ended:
                tx.change(flow_sql.ADD_HELD, (-ended, "grants"))
            return ended

        return cast(int, self._commit.submit(end))


def _audited(tx: Transaction, outcomes: Iterable[tuple[AuditEvent, bool]]) -> int:
    """Write the events of what was ended, and say how many."""
    ended = 0
    for event, was_ended in outcomes:
        if was_ended:
            tx.audit(event)
            ended += 1
    return ended


def _end_token(tx: Transaction, token: RestingToken) -> bool:
    return bool(tx.change_returning(sql.REVOKE_TOKEN, (token.jti, token.expires_at)))


def _end_lease(tx: Transaction, lease: RestingLease, now: int) -> bool:
    row = tx.row(LEASE_AS_SEEN, (lease.client_id, lease.epoch, text_of(lease.authorities)))
    if row is None:
        return False
    kind, quota, state = row
    tx.change(sql.END_CLIENT, (REVOKED, now, now, now, lease.client_id))
    tx.change(sql.DROP_APPROVALS, (lease.client_id,))
    tx.move(quota, kind, state, REVOKED)
    return True


def _end_grant(tx: Transaction, grant: RestingGrant, now: int) -> bool:
    return bool(tx.change_returning(END_GRANT_AS_SEEN, (now, grant.grant_id, text_of(grant.authorities))))


def _identities_of(trust_domain: str) -> tuple[str, str]:
    """From where up to where, byte by byte, SPIFFE IDs of a trust domain stand; `0` comes behind the slash."""
    return f"spiffe://{trust_domain}/", f"spiffe://{trust_domain}0"


def _token_of(row: Row, longest: int) -> RestingToken:
    rowid, time, subject, evidence, key_id, ask, client_id, jti = row
    try:
        said = json.loads(ask)
        authorities = of_audit(said["authorities"]) if "authorities" in said else None
        expires_at = int(said.get("expires_at", time + longest))
        epoch, grant_id = said.get("epoch"), said.get("grant")
    except (AttributeError, TypeError, ValueError) as error:
        raise Unavailable(
            Reason.STORE_UNAVAILABLE, f"audit row {rowid} cannot be read ({error}); run `bridge audit verify`"
        ) from error
    return RestingToken(jti, client_id, subject, time, expires_at, epoch, grant_id, evidence, key_id, authorities)


def _stands(token: RestingToken, row: Sequence[object], now: int) -> bool:
    """What introspection makes of it; a token whose epoch is not known is taken for one of the record's present."""
    state, epoch, ends_at, member_state, member_epoch, member_ends_at, is_denied, is_revoked, has_grant = row
    if is_denied or is_revoked or not has_grant or not _is_active(state, ends_at, now):
        return False
    if token.epoch is None or "." not in token.epoch:
        return token.epoch in (None, str(epoch))
    return _is_active(member_state, member_ends_at, now) and token.epoch == f"{epoch}.{member_epoch}"


def _is_active(state: object, ends_at: object, now: int) -> bool:
    return state == ACTIVE and not (isinstance(ends_at, int) and ends_at <= now)
