"""What stands behind a code, and the audit rows of a user's yes and no (interface section 8)."""

from __future__ import annotations

from bridge.grants.handles import CODE_SECONDS
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authorization import AuthorizationRequest, Grant, User
from bridge.model.errors import BridgeError
from bridge.model.evidence import RequestContext
from bridge.model.terms import Ask, Decision, Effect


def new_grant(
    request: AuthorizationRequest, decision: Decision, user: User, *, grant_id: str, code_digest: str, now: int
) -> Grant:
    """The grant of a yes to `request`, as far as `decision` goes. Its code lives for 60 s (OAS-14, PCR-17)."""
    spiffe_id = request.subject.spiffe_id
    return Grant(
        grant_id=grant_id,
        code_digest=code_digest,
        user=user,
        client_id=request.client_id,
        kind=request.kind,
        evidence=request.subject.evidence,
        door=request.ask.door,
        scopes=decision.scopes,
        resources=decision.resources,
        redirect_uri=request.redirect_uri,
        code_challenge=request.code_challenge,
        created_at=now,
        code_expires_at=now + CODE_SECONDS,
        ends_at=now + CODE_SECONDS,
        actor=None if spiffe_id is None else str(spiffe_id),
        epoch=request.epoch,
        dpop_jkt=request.dpop_jkt,
        fingerprint=request.fingerprint,
        transaction=request.transaction,
        metadata=request.metadata,
        authorities=request.authorities,
    )


def consent_event(
    grant: Grant, request: AuthorizationRequest, decision: Decision, context: RequestContext, *, was_asked: bool
) -> AuditEvent:
    """The row of a yes. `ask` is what was given, and says who gave it; `jti` is the grant that later rows name.
    `was_asked`: the user said it now, and not once before."""
    ask = Ask(grant.door, request.ask.grant_type, grant.scopes, grant.resources)
    return AuditEvent(
        id=context.correlation_id,
        time=context.now,
        event=AuditEventKind.APPROVED,
        door=grant.door.value,
        source_address=context.source_address,
        subject=request.subject.actor,
        evidence=grant.evidence.value,
        ask={**ask.to_audit(), "proved": [], "user": grant.user.user_id},
        rule=decision.rule or "",
        outcome="consent" if was_asked else "consent_remembered",
        client_id=grant.client_id,
        jti=grant.grant_id,
        issued=grant.code_digest,
        policy_version=decision.policy_version,
    )


def refusal_event(request: AuthorizationRequest, user: User, error: BridgeError, context: RequestContext) -> AuditEvent:
    """The row of a no, the user's or policy's."""
    return AuditEvent(
        id=context.correlation_id,
        time=context.now,
        event=AuditEventKind.REFUSED,
        door=request.ask.door.value,
        source_address=context.source_address,
        subject=request.subject.actor,
        evidence=request.subject.evidence.value,
        ask={**request.ask.to_audit(), "proved": [], "user": user.user_id},
        rule=error.rule,
        outcome=Effect.DENY.value,
        reason=error.reason.value,
        client_id=request.client_id,
        policy_version=error.policy_version,
    )
