"""From a registration to a token. Phases in one place, so that no grant can forget one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import Registration
from bridge.model.errors import CredentialReplayed, ProofRejected
from bridge.model.evidence import RequestContext
from bridge.model.identity import DPOP_MARKER, BindingMethod, KeyBinding, Marker
from bridge.model.pending import PendingWrite
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, Bind, Effect, Replay, Terms
from bridge.registration.composing import CERTIFICATE_BOUND
from bridge.registration.promises import require_promised
from bridge.registration.registrar import assertion_markers
from bridge.store.ports import ClientStore, Issue
from bridge.tokens.access_token import AccessTokenClaims, AccessTokens


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token, and what the answer says of it (RFC 6749 section 5.1)."""

    raw: str
    expires_in: int
    scope: tuple[str, ...]
    token_type: str

    def to_wire(self) -> dict[str, object]:
        """The members of the token response."""
        return {
            "access_token": self.raw,
            "token_type": self.token_type,
            "expires_in": self.expires_in,
            "scope": " ".join(self.scope),
        }


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
        self, registration: Registration, ask: Ask, markers: tuple[Marker, ...], context: RequestContext
    ) -> Begun:
        """Sign, and begin to record. Nobody may have the token before `finish` gave it.

        Raises: Unavailable; ProofMissing when the client promised to bind its tokens to a key that this
        request does not prove. Spec: RFC 9068; OAS-18 to 21, 33; section 8 of the contract (no audit row, no
        success).
        """
        decision, terms = registration.decision, registration.decision.terms
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
        claims = AccessTokenClaims(
            jti=self._new_id(),
            client_id=registration.record.client_id,
            sub=registration.identity.name,
            aud=decision.resources,
            scope=decision.scopes,
            issued_at=context.now,
            expires_at=ends,
            epoch=registration.epoch,
            binding=binding,
        )
        signed = self._tokens.sign(claims, now=context.now)
        since = time.perf_counter()
        write = self._clients.begin_issue(
            Issue(
                client_id=claims.client_id,
                epoch=registration.record.epoch,
                subject=registration.identity.name,
                event=_event(registration, ask, claims, signed.digest, context),
                member=registration.member.spiffe_id if registration.member is not None else None,
                member_epoch=registration.member.epoch if registration.member is not None else None,
                markers=markers + (assertion_markers(registration.identity) if terms.replay is Replay.ONCE else ()),
                idle_expiry=self._idle_expiry,
                lease_until=registration.lease_until,
                renews=registration.renews,
            ),
            now=context.now,
        )
        token_type = "DPoP" if binding is not None and binding.method is BindingMethod.JKT else "Bearer"
        token = IssuedToken(signed.raw, ends - context.now, decision.scopes, token_type)
        return Begun(token, write, since)

    def finish(self, begun: Begun) -> IssuedToken:
        """Wait until the row is durable, and hand out the token.

        Raises: CredentialReplayed, ProofRejected, RegistrationChanged (decide again), Unavailable.
        """
        try:
            begun.write.result()
        except CredentialReplayed as replayed:
            if replayed.kind != DPOP_MARKER:
                raise
            raise ProofRejected(Reason.DPOP_REPLAYED, "the DPoP proof was used before") from replayed
        finally:
            self._observe_write(time.perf_counter() - begun.since)
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


def _event(
    registration: Registration, ask: Ask, claims: AccessTokenClaims, digest: str, context: RequestContext
) -> AuditEvent:
    identity, decision = registration.identity, registration.decision
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
    )
