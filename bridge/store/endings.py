"""What an operator does to clients: revoke, deny, undeny, approve. Each is one transaction.

A target is a `client_id` or a SPIFFE ID. It reaches the record of that name, the instances whose parent
it is, and, under shared clients, the one member of that name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from bridge.model.audit import AuditEvent
from bridge.model.client import ClientState, ProposedClient
from bridge.store import statements as sql
from bridge.store.connections import Row
from bridge.store.ports import Changed
from bridge.store.rows import client_row, quota_of
from bridge.store.rows import record_of as new_record
from bridge.store.transaction import Transaction

# An instance that waited has so many seconds to come back with a fresh SVID, which begins its lease.
APPROVED_LEASE = 3600

DENIED, REVOKED, ACTIVE = ClientState.DENIED.value, ClientState.REVOKED.value, ClientState.ACTIVE.value


def revoke(tx: Transaction, target: str, *, event: AuditEvent, now: int) -> Changed:
    """End the tokens of the target under new epochs; what is denied stays denied (ROFU-25)."""
    changed = _end(tx, target, REVOKED, now)
    if changed:
        tx.audit_change(event, ClientState.REVOKED)
    return changed


@dataclass(frozen=True, slots=True)
class Approving:
    """What `approve` is told; see `ClientStore.approve`."""

    target: str
    note: str
    event: AuditEvent
    now: int
    terms: Collection[tuple[str, str]] | None = None


def deny(
    tx: Transaction, target: str, *, absent: ProposedClient | None, event: AuditEvent, now: int, once: bool
) -> Changed:
    """End the tokens and put a tombstone, which every later write of the identity meets (ROFU-24)."""
    known = tx.row(sql.HAS_TOMBSTONE, (target,)) is not None
    if known and once:
        return Changed()
    changed = _end(tx, target, DENIED, now)
    if not changed and not known:
        if absent is None:
            return changed
        changed = _make_denied(tx, absent, now)
    tx.change(sql.PUT_TOMBSTONE, (target, now))
    tx.audit_change(event, ClientState.DENIED)
    return changed or Changed(client_ids=(target,))


def undeny(tx: Transaction, target: str, *, event: AuditEvent, now: int) -> Changed:
    """Take the tombstone away. Records become REVOKED unless another tombstone covers them."""
    lifted = tx.change_returning(sql.TAKE_TOMBSTONE, (target,))
    clients = []
    for client_id, kind, quota, state in tx.rows(sql.UNDENIABLE, (target, target)):
        tx.change(sql.END_CLIENT, (REVOKED, now, now, now, client_id))
        tx.move(quota, kind, state, REVOKED)
        clients.append(client_id)
    members = [(row[0], target) for row in tx.change_returning(sql.UNDENY_MEMBERS, (target,))]
    changed = Changed(tuple(clients), tuple(sorted(members)))
    if lifted and not changed:
        changed = Changed(client_ids=(target,))
    if changed:
        tx.audit_change(event, ClientState.REVOKED)
    return changed


def approve(tx: Transaction, call: Approving) -> Changed:
    """Approve what waits for live records; an ended one has to ask again (ROFU-12).

    The audit row names the rule whose terms were approved; where several waited, its `ask` lists them.
    """
    clients, rules = [], set[str]()
    for client_id, kind, quota, state in tx.rows(sql.APPROVABLE, (call.target, call.target, call.now)):
        approved = _approved(tx, call, client_id)
        if approved is None:
            continue
        if state == ClientState.PENDING.value:
            tx.change(sql.ACTIVATE, (call.now + APPROVED_LEASE, client_id))
            tx.move(quota, kind, state, ACTIVE)
        elif not approved:
            continue
        clients.append(client_id)
        rules.update(row[0] for row in approved)
    changed = Changed(client_ids=tuple(clients))
    if changed:
        event, several = call.event, {"rules": sorted(rules)} if len(rules) > 1 else {}
        named = replace(event, rule="" if several else next(iter(rules), ""), ask={**event.ask, **several})
        tx.audit_change(named, ClientState.ACTIVE)
    return changed


def _approved(tx: Transaction, call: Approving, client_id: str) -> list[Row] | None:
    """The rules of one client whose terms are approved now; None: this client is not meant."""
    if call.terms is None:
        return tx.change_returning(sql.APPROVE, (call.now, call.note, client_id))
    if client_id != call.target:
        return None
    said = (call.now, call.note, client_id)
    return [row for one in call.terms for row in tx.change_returning(sql.APPROVE_THESE, (*said, *one))] or None


def _end(tx: Transaction, target: str, state: str, now: int) -> Changed:
    clients = []
    for client_id, kind, quota, before in tx.rows(sql.TOUCHED, (target, target)):
        after = DENIED if before == DENIED else state
        tx.change(sql.END_CLIENT, (after, now, now, now, client_id))
        tx.change(sql.DROP_APPROVALS, (client_id,))
        tx.move(quota, kind, before, after)
        clients.append(client_id)
    members = tx.change_returning(sql.END_MEMBERS, (state, now, now, now, target))
    return Changed(tuple(clients), tuple(sorted((row[0], target) for row in members)))


def _make_denied(tx: Transaction, absent: ProposedClient, now: int) -> Changed:
    """The record of an identity that is denied before it was ever seen. It spends no limit."""
    record = new_record(replace(absent, state=ClientState.DENIED), epoch=now, now=now, expires_at=None)
    tx.change(sql.INSERT_CLIENT, client_row(record, ended_at=now))
    tx.count(quota_of(record), record.kind.value, DENIED, 1)
    return Changed(client_ids=(record.client_id,))
