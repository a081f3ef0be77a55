"""Between stored rows and the nouns of the model. The column lists here are the order of the fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.model.audit import AuditEvent, AuditEventKind, AuditRow
from bridge.model.client import ClientKind, ClientRecord, ClientState, Member, ProposedClient
from bridge.model.signing_key import SigningKeyRow
from bridge.store.audit_chain import EVENT_COLUMNS
from bridge.store.connections import Row

CLIENT_FIELDS = (
    "client_id", "kind", "subject", "trust_domain", "state", "rule", "epoch", "created_at", "last_used_at",
    "expires_at", "parent", "identities", "metadata",
)  # fmt: skip
MEMBER_FIELDS = ("client_id", "spiffe_id", "state", "epoch", "first_seen_at", "last_used_at", "expires_at")
KEY_FIELDS = ("kid", "alg", "public_jwk", "sealed", "created_at", "signs_from", "retires_at")
AUDIT_FIELDS = ("rowid", "writer", "sequence", "mac", *EVENT_COLUMNS)

_KINDS = {kind.value: kind for kind in ClientKind}
_STATES = {state.value: state for state in ClientState}
_EVENTS = {event.value: event for event in AuditEventKind}


def columns(fields: tuple[str, ...], table: str = "") -> str:
    """The fields as a select list."""
    return ", ".join(f"{table}.{field}" if table else field for field in fields)


def client_of(row: Row, start: int = 0) -> ClientRecord | None:
    """The record in the thirteen columns from `start`; None where a join found none."""
    if row[start] is None:
        return None
    (
        client_id,
        kind,
        subject,
        trust_domain,
        state,
        rule,
        epoch,
        created,
        used,
        expires,
        parent,
        identities,
        metadata,
    ) = row[start : start + 13]
    return ClientRecord(
        client_id,
        _KINDS[kind],
        subject,
        trust_domain,
        _STATES[state],
        rule,
        epoch,
        created,
        used,
        expires,
        parent,
        identities,
        json.loads(metadata),
    )


def member_of(row: Row, start: int = 0) -> Member | None:
    """The member in the seven columns from `start`; None where a join found none."""
    if row[start] is None:
        return None
    client_id, spiffe_id, state, epoch, first_seen, used, end = row[start : start + 7]
    return Member(client_id, spiffe_id, _STATES[state], epoch, first_seen, used, end)


def record_of(proposed: ProposedClient, *, epoch: int, now: int, expires_at: int | None) -> ClientRecord:
    """The new record that a proposal becomes."""
    # A trust domain means that the subject is, or stands for, one SPIFFE ID; a shared client and a
    # document have seen none but the member that came with the proposal.
    seen = proposed.member is not None or (proposed.trust_domain is not None and proposed.kind is not ClientKind.SHARED)
    return ClientRecord(
        proposed.client_id,
        proposed.kind,
        proposed.subject,
        proposed.trust_domain,
        proposed.state,
        proposed.rule,
        epoch,
        now,
        now,
        expires_at,
        proposed.parent,
        1 if seen else 0,
        proposed.metadata,
    )


def client_row(record: ClientRecord, *, ended_at: int | None = None) -> tuple[Any, ...]:
    """The columns of a record, `ended_at` last."""
    return (
        record.client_id,
        record.kind.value,
        record.subject,
        record.trust_domain,
        record.state.value,
        record.rule,
        record.epoch,
        record.created_at,
        record.last_used_at,
        record.expires_at,
        record.parent,
        record.identities,
        metadata_text(record.metadata),
        ended_at,
    )


def metadata_text(metadata: Mapping[str, object]) -> str:
    """Metadata as it is stored."""
    return json.dumps(dict(metadata), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def key_of(row: Row) -> SigningKeyRow:
    """A signing key."""
    return SigningKeyRow(*row)


def audit_row_of(row: Row) -> AuditRow:
    """A row of the audit log. Raises: KeyError, ValueError when somebody wrote nonsense into the table."""
    rowid, writer, sequence, mac = row[:4]
    values = dict(zip(EVENT_COLUMNS, row[4:], strict=True))
    values["event"], values["ask"] = _EVENTS[values["event"]], json.loads(values["ask"])
    return AuditRow(rowid, writer, sequence, mac.hex(), AuditEvent(**values))
