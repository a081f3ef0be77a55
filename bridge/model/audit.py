"""What the audit log keeps of a decision. No token, assertion or key is ever part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.model.authority import to_audit
from bridge.model.evidence import RequestContext
from bridge.model.identity import VerifiedIdentity
from bridge.model.terms import Ask

NOTHING: Mapping[str, object] = {}


class AuditEventKind(StrEnum):
    """The closed list of events (interface section 3)."""

    REGISTERED = "registered"
    TOKEN_ISSUED = "token_issued"
    REFUSED = "refused"
    UPDATED = "updated"
    REVOKED = "revoked"
    DENIED = "denied"
    APPROVED = "approved"
    EXPIRED = "expired"
    BUNDLE_CHANGED = "bundle_changed"
    POLICY_CHANGED = "policy_changed"
    KEYS_ROTATED = "keys_rotated"
    WEBHOOK_FAILED = "webhook_failed"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row to be. Units: `time` epoch seconds. `id` is the correlation id the client was given.

    `ask` is the whole ask (`grant_type`, `scopes`, `resources`) so that it can be decided again; beside it stand
    `authorities`, those of a trust domain who vouched for who asked, and of a token `expires_at`, the `epoch` of its
    client, and where no scope was named those that were `granted`. `credential` is the hex SHA-256 of what was
    presented; `key_id` its `kid`, or the CA key id that it names; `issued` the hex SHA-256 of what was issued; `count`
    how many equal refusals the row stands for.
    """

    id: str
    time: int
    event: AuditEventKind
    door: str = ""
    source_address: str = ""
    subject: str = ""
    evidence: str = ""
    credential: str = ""
    key_id: str = ""
    ask: Mapping[str, object] = field(default_factory=dict)
    rule: str = ""
    outcome: str = ""
    reason: str = ""
    client_id: str = ""
    jti: str = ""
    issued: str = ""
    policy_version: str = ""
    bundle_sequence: int | None = None
    count: int = 1

    @classmethod
    def about(
        cls,
        identity: VerifiedIdentity,
        context: RequestContext,
        event: AuditEventKind,
        *,
        outcome: str,
        ask: Ask | None = None,
        rule: str = "",
        reason: str = "",
        client_id: str = "",
        jti: str = "",
        issued: str = "",
        policy_version: str = "",
        beside: Mapping[str, object] = NOTHING,
    ) -> AuditEvent:
        """The row for what a request of a verified identity led to. `ask` is kept with the binding methods
        that were proved, which is all that a decision looks at beside the subject; `beside` goes into `ask`, too."""
        asked: dict[str, object] = {}
        if ask is not None:
            asked = {**ask.to_audit(), "proved": sorted(method.value for method in identity.proved), **beside}
        if identity.authorities:
            asked["authorities"] = to_audit(identity.authorities)
        return cls(
            id=context.correlation_id,
            time=context.now,
            event=event,
            door=context.door.value,
            source_address=context.source_address,
            subject=identity.name,
            evidence=identity.subject.evidence.value,
            credential=identity.credential_hash,
            key_id=identity.key_id,
            ask=asked,
            rule=rule,
            outcome=outcome,
            reason=reason,
            client_id=client_id,
            jti=jti,
            issued=issued,
            policy_version=policy_version,
            bundle_sequence=identity.bundle_sequence,
        )


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row as stored: the event, and its place in the chain of the writer that wrote it.

    `mac` is hex HMAC-SHA256 under the audit key over the row before and this one.
    """

    rowid: int
    writer: str
    sequence: int
    mac: str
    event: AuditEvent
