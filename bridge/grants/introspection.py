"""Questions about tokens, and ending one: RFC 7662 and RFC 7009, for authenticated clients only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bridge.grants.grant_questions import GrantQuestions, foreign
from bridge.grants.markers import claim_all
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientState
from bridge.model.errors import EvidenceRejected
from bridge.model.evidence import NoEvidence, Presented, RequestContext
from bridge.model.identity import BindingMethod
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask
from bridge.registration.authentication import Authenticated, Authentication
from bridge.registration.refused import Refusals
from bridge.registration.registrar import Registrar
from bridge.store.ports import ClientStore, TokenStore
from bridge.tokens.access_token import AccessTokenClaims, AccessTokens

INACTIVE: dict[str, object] = {"active": False}


class MayIntrospect(Protocol):
    """Whether the catalogue lets this identity introspect tokens of this resource (`introspect_by`)."""

    def __call__(self, resource: str, spiffe_id: SpiffeId) -> bool: ...


class TokenQuestions:
    """Introspection and revocation. Neither makes a record for the caller."""

    def __init__(
        self,
        *,
        authentication: Authentication,
        registrar: Registrar,
        tokens: AccessTokens,
        clients: ClientStore,
        revoked: TokenStore,
        refusals: Refusals,
        may_introspect: Callable[[], MayIntrospect],
        issuer: str,
        grants: GrantQuestions,
    ) -> None:
        self._authentication, self._registrar = authentication, registrar
        self._tokens, self._clients = tokens, clients
        self._revoked, self._refusals = revoked, refusals
        self._may_introspect, self._issuer = may_introspect, issuer
        self._grants = grants

    def introspect(self, presented: Presented, token: str, context: RequestContext) -> dict[str, object]:
        """What the caller may know of a token: all of it, or `{"active": false}` and nothing else.

        Raises: EvidenceRejected and its kin for the caller, also for a public client: it may end its own tokens,
        and ask nothing. Spec: OAS-21 to 23, T-39.
        """
        if isinstance(presented.evidence, NoEvidence):
            raise EvidenceRejected(Reason.CREDENTIAL_MISSING, "introspection needs a credential")
        caller, client_id = self._authenticate(presented, context)
        refresh_token = self._grants.read(token)
        if refresh_token is not None:
            return self._grants.describe(refresh_token, caller, client_id, context.now) or INACTIVE
        claims = self._tokens.read(token, now=context.now)
        if claims is None or not self._visible(claims, caller, client_id):
            return INACTIVE
        if not self._alive(claims, context.now):
            return INACTIVE
        return {**self._described(claims), **self._grants.beside(claims)}

    def _described(self, claims: AccessTokenClaims) -> dict[str, object]:
        """What the token itself says."""
        bound_by_dpop = claims.binding is not None and claims.binding.method is BindingMethod.JKT
        answer: dict[str, object] = {
            "active": True,
            "iss": self._issuer,
            "sub": claims.sub,
            "aud": claims.aud[0] if len(claims.aud) == 1 else list(claims.aud),
            "client_id": claims.client_id,
            "scope": " ".join(claims.scope),
            "token_type": "DPoP" if bound_by_dpop else "Bearer",
            "jti": claims.jti,
            "iat": claims.issued_at,
            "nbf": claims.issued_at,
            "exp": claims.expires_at,
        }
        if claims.client_token:
            answer["client_token"] = True
        if claims.confirmation is not None:
            answer["cnf"] = claims.confirmation
        return answer

    def revoke(self, presented: Presented, token: str, context: RequestContext) -> None:
        """End one token of the caller's own client; with a refresh token its whole grant, and every access token of
        that. Unknown, expired and broken tokens are no error.

        Raises: ForeignToken when it belongs to another client; it stays alive. Spec: OAS-24, 25.
        """
        caller, client_id = self._authenticate(presented, context)
        refresh_token = self._grants.read(token)
        if refresh_token is not None:
            self._grants.revoke(refresh_token, caller, client_id, context)
            return
        claims = self._tokens.read(token, now=context.now)
        if claims is None:
            return
        if claims.client_id != client_id:
            raise foreign(caller)
        self._revoked.revoke_token(
            claims.jti,
            expires_at=claims.expires_at,
            event=AuditEvent.about(
                caller.identity,
                context,
                AuditEventKind.REVOKED,
                outcome="token_revoked",
                client_id=claims.client_id,
                jti=claims.jti,
            ),
            now=context.now,
        )

    def _authenticate(self, presented: Presented, context: RequestContext) -> tuple[Authenticated, str]:
        caller = self._authentication.authenticate(presented, context)
        with self._refusals.watch(caller.identity, Ask(context.door, ""), context):
            client_id, markers = self._registrar.resolve(caller)
            claim_all(self._revoked, markers, now=context.now)
        return caller, client_id

    def _visible(self, claims: AccessTokenClaims, caller: Authenticated, client_id: str) -> bool:
        if claims.client_id == client_id:
            return True
        spiffe_id = caller.identity.subject.spiffe_id
        allowed = self._may_introspect()
        return spiffe_id is not None and any(allowed(resource, spiffe_id) for resource in claims.aud)

    def _alive(self, claims: AccessTokenClaims, now: int) -> bool:
        """Whether token, grant, member and client all still stand as they did at issue."""
        if claims.grant is not None and not self._grants.is_live(claims.grant):
            return False
        return self._client_stands(claims, now) and not self._revoked.is_revoked(claims.jti)

    def _client_stands(self, claims: AccessTokenClaims, now: int) -> bool:
        # Of a user's token it is the SPIFFE ID beside the user that can be denied and revoked, or the client alone.
        acting = claims.sub if claims.client_token else claims.actor or claims.client_id
        member = acting if "." in claims.epoch else None
        found = self._clients.find(claims.client_id, subject=acting, member=member)
        if found.denied:
            return False
        if not claims.epoch:
            # A pushed client has no record. It lives as long as its grant.
            return claims.grant is not None
        record = found.record
        if record is None or record.state_at(now) is not ClientState.ACTIVE:
            return False
        epoch = str(record.epoch)
        if member is not None:
            if found.member is None or found.member.state_at(now) is not ClientState.ACTIVE:
                return False
            epoch = f"{record.epoch}.{found.member.epoch}"
        return epoch == claims.epoch
