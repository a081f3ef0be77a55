"""What happened to a client record, for whoever asked to be told of it (the webhook)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientState
from bridge.model.evidence import Door


class ChangeKind(StrEnum):
    """The closed list of what a receiver can be told. PENDING: terms began to wait for an operator, under a new record
    or one that is active; the others are the audit log's events of the same names, where they are about a record."""

    PENDING = "client.pending"
    REGISTERED = "client.registered"
    APPROVED = "client.approved"
    UPDATED = "client.updated"
    REVOKED = "client.revoked"
    DENIED = "client.denied"
    EXPIRED = "client.expired"


_KINDS = {
    AuditEventKind.REGISTERED: ChangeKind.REGISTERED,
    AuditEventKind.APPROVED: ChangeKind.APPROVED,
    AuditEventKind.UPDATED: ChangeKind.UPDATED,
    AuditEventKind.REVOKED: ChangeKind.REVOKED,
    AuditEventKind.DENIED: ChangeKind.DENIED,
    AuditEventKind.EXPIRED: ChangeKind.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One change. Units: `time` epoch seconds.

    `client_id` is the record, or what an operator named: a SPIFFE ID stands for its record, its instances and its
    place under shared clients. `subject` is whose change it is, an identity under a shared client too; `state` is the
    state that this one has now. `id` is the correlation id of its audit row; `operator` who decided, empty for all that
    no operator did; `outcome` says in one word what was done, `reason` is an operator's note, or why it ended. No
    credential, token or key is part of it.
    """

    kind: ChangeKind
    time: int
    client_id: str
    subject: str
    state: ClientState
    rule: str = ""
    outcome: str = ""
    reason: str = ""
    door: str = ""
    id: str = ""
    operator: str = ""
    policy_version: str = ""

    @classmethod
    def of(cls, event: AuditEvent, state: ClientState) -> RecordChange:
        """The change that an audit row is written for. The row must be one of a record."""
        return cls(
            kind=_KINDS[event.event],
            time=event.time,
            client_id=event.client_id or event.subject,
            subject=event.subject or event.client_id,
            state=state,
            rule=event.rule,
            outcome=event.outcome,
            reason=event.reason,
            door=event.door,
            id=event.id,
            operator=event.source_address if event.door == Door.OPERATOR.value else "",
            policy_version=event.policy_version,
        )
