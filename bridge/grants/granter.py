"""From a registration to a token. Phases in one place, so that no grant can forget one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.grants.markers import replayed
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authorization import Grant, GrantUse
from bridge.model.client import ClientKind, Registration
from bridge.model.errors import CredentialReplayed
from bridge.model.evidence import RequestContext
from bridge.model.identity import BindingMethod, KeyBinding, Marker
from bridge.model.pending import PendingWrite
from bridge.model.terms import Ask, Bind, Effect, Replay, Terms
from bridge.observe.tracing import Stage, past, stage
from bridge.registration.admission import assertion_markers
from bridge.registration.composing import CERTIFICATE_BOUND
from bridge.registration.promises import require_promised
from bridge.store.ports import ClientStore, Issue
from bridge.tokens.access_token import AccessTokenClaims, AccessTokens


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token, and what the answer says of it (RFC 6749 section 5.1)."""

    raw: str
    expires_in: int
    scope: tuple[str, ...]
    token_type: str
    refresh_token: str | None = None

    def to_wire(self) -> dict[str, object]:
        """The members of the token response."""
        answer: dict[str, object] = {
            "access_token": self.raw,
            "token_type": self.token_type,
            "expires_in": self.expires_in,
            "scope": " ".join(self.scope),
        }
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        return answer


@dataclass(frozen=True, slots=True)
class ForUser:
    """What makes a token stand for a user: the grant, its use, which is written with the token, and the refresh
    token that goes along, if one does."""

    grant: Grant
    use: GrantUse
    refresh_token: str | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A signed token and the write that stands behind it, begun at `since` (`perf_counter`)."""

    token: IssuedToken
    write: PendingWrite
    since: float


class Granter:
    """Makes a token for a registration and writes the row that stands behind it, or neither."""

    def __init__(
        self,
        *,
        clients: ClientStore,
        tokens: AccessTokens,
        new_id: Callable[[], str],
        idle_expiry: int,
        observe_write: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`new_id` makes unguessable token ids; `idle_expiry` seconds from a use to a record's end."""
        self._clients, self._tokens, self._new_id = clients, tokens, new_id
        self._idle_expiry, self._observe_write = idle_expiry, observe_write

    def begin(
        self,
        registration: Registration,
        ask: Ask,
        markers: tuple[Marker, ...],
        context: RequestContext,
        *,
        user: ForUser | None = None,
    ) -> Begun:
        """Sign, and begin to record. Nobody may have the token before `finish` gave it.

        `user`: the token stands for a user and comes of a grant, whose use is written with it; else it stands for
        the client itself.
        Raises: Unavailable; ProofMissing when the client promised to bind its tokens to a key that this
        request does not prove. Spec: RFC 9068; OAS-18 to 21, 33; section 8 of the contract (no audit row, no
        success).
        """
        terms = registration.decision.terms
        if terms is None:
            raise AssertionError("a registration is only made by a decision with terms")
        require_promised(registration.record, registration.identity)
        binding = _binding(registration, terms)
        ends = context.now + terms.token_ttl
        if binding is not None and binding.not_after is not None:
            ends = min(ends, binding.not_after)
        if registration.ends_at is not None:
            # The token is dead with the lease; its `exp` should not say otherwise.
            ends = min(ends, registration.ends_at)
        claims = _claims(registration, self._new_id(), binding, context.now, ends, user)
        with stage(Stage.SIGN):
            signed = self._tokens.sign(claims, now=context.now)
        once = assertion_markers(registration.identity) if terms.replay is Replay.ONCE else ()
        event = _event(registration, ask, claims, signed.digest, context, user)
        since = time.perf_counter()
        issue = self._issue(registration, event, (*markers, *once), user, ends)
        write = self._clients.begin_issue(issue, now=context.now)
        token_type = "DPoP" if binding is not None and binding.method is BindingMethod.JKT else "Bearer"
        refresh_token = None if user is None else user.refresh_token
        token = IssuedToken(signed.raw, ends - context.now, claims.scope, token_type, refresh_token)
        return Begun(token, write, since)

    def _issue(
        self,
        registration: Registration,
        event: AuditEvent,
        markers: tuple[Marker, ...],
        user: ForUser | None,
        ends: int,
    ) -> Issue:
        """The write: the record as the registration saw it, and the grant, which lasts as long as the token."""
        record, member, authorities = registration.record, registration.member, registration.identity.authorities
        use = None if user is None else user.use
        if use is not None:
            use = replace(use, ends_at=max(use.ends_at, ends), authorities=authorities)
        return Issue(
            client_id=record.client_id,
            epoch=None if record.kind is ClientKind.PUSHED else record.epoch,
            subject=registration.identity.name,
            event=event,
            member=None if member is None else member.spiffe_id,
            member_epoch=None if member is None else member.epoch,
            markers=markers,
            idle_expiry=self._idle_expiry,
            lease_until=registration.lease_until,
            renews=registration.renews,
            use=use,
            authorities=authorities,
        )

    def finish(self, begun: Begun) -> IssuedToken:
        """Wait until the row is durable, and hand out the token.

        Raises: CredentialReplayed, ProofRejected, RegistrationChanged (decide again), GrantSpent (look again),
        Unavailable.
        """
        try:
            begun.write.result()
        except CredentialReplayed as used:
            raise replayed(used.kind) from used
        finally:
            self._observe_write(time.perf_counter() - begun.since)
            past(Stage.COMMIT, begun.since)
        return begun.token


def _binding(registration: Registration, terms: Terms) -> KeyBinding | None:
    """The key the token is bound to. A DPoP proof is sent on purpose, so it goes before a certificate
    where the rule takes either and the client did not promise the certificate. That a demanded key is there,
    policy has already checked."""
    identity = registration.identity
    dpop, certificate = identity.key(BindingMethod.JKT), identity.key(BindingMethod.X5T_S256)
    match terms.bind:
        case Bind.NONE:
            return None
        case Bind.JKT:
            return dpop
        case Bind.X5T_S256:
            return certificate
        case Bind.ANY | Bind.IF_PRESENT:
            return certificate if registration.record.metadata.get(CERTIFICATE_BOUND) else dpop or certificate


def _claims(
    registration: Registration, jti: str, binding: KeyBinding | None, now: int, ends: int, user: ForUser | None
) -> AccessTokenClaims:
    """What the token says. Without a user `sub` is the SPIFFE ID, or the `client_id` of a client that has none
    (interface section 5). A user's id is opaque and can be no client's name (OAS-20); the SPIFFE ID that acts
    for the user stands beside it (OAS-29)."""
    record, decision = registration.record, registration.decision
    spiffe_id = registration.identity.subject.spiffe_id
    claims = AccessTokenClaims(
        jti=jti,
        client_id=record.client_id,
        sub=record.client_id if spiffe_id is None else str(spiffe_id),
        aud=decision.resources,
        scope=decision.scopes,
        issued_at=now,
        expires_at=ends,
        epoch="" if record.kind is ClientKind.PUSHED else registration.epoch,
        binding=binding,
    )
    if user is None:
        return claims
    return replace(
        claims,
        sub=user.grant.user.user_id,
        client_token=False,
        actor=user.use.actor,
        grant=user.grant.grant_id,
        transaction=user.grant.transaction,
    )


def _event(
    registration: Registration,
    ask: Ask,
    claims: AccessTokenClaims,
    digest: str,
    context: RequestContext,
    user: ForUser | None,
) -> AuditEvent:
    """The row: also until when the token lives and under which epoch, so that it can be found while it does. Of a
    user's token it says whose it is and of which grant, and the door is the one where the grant began: there it was
    decided, and there `policy replay` decides it again."""
    identity, decision = registration.identity, registration.decision
    known: dict[str, object] = {"expires_at": claims.expires_at, "epoch": claims.epoch}
    if not ask.scopes:
        known["granted"] = list(claims.scope)
    if user is not None:
        known |= {"user": user.grant.user.user_id, "grant": user.grant.grant_id}
    return AuditEvent.about(
        identity,
        context,
        AuditEventKind.TOKEN_ISSUED,
        outcome=Effect.ALLOW.value,
        ask=ask,
        rule=decision.rule or "",
        client_id=claims.client_id,
        jti=claims.jti,
        issued=digest,
        policy_version=decision.policy_version,
        beside=known,
    )
