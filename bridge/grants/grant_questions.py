"""What may be asked of grants, and the end of one: refresh tokens at `/introspect` and `/revoke`, and what stands
beside the access tokens of a grant."""

from __future__ import annotations

from bridge.grants.consent import shown
from bridge.grants.refresh_tokens import RefreshToken, RefreshTokens
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authorization import Grant
from bridge.model.errors import ForeignToken
from bridge.model.evidence import RequestContext
from bridge.model.reasons import Reason
from bridge.registration.authentication import Authenticated
from bridge.store.ports import GrantStore
from bridge.tokens.access_token import AccessTokenClaims


class GrantQuestions:
    """Grants, as far as tokens of them are asked about."""

    def __init__(self, grants: GrantStore, tokens: RefreshTokens) -> None:
        self._grants, self._tokens = grants, tokens

    def read(self, raw: str) -> RefreshToken | None:
        """The refresh token, if that is what it is and we made it."""
        return self._tokens.read(raw)

    def is_live(self, grant_id: str) -> bool:
        """Whether tokens of the grant can be alive. Raises: Unavailable."""
        return self._grants.is_live(grant_id)

    def beside(self, claims: AccessTokenClaims) -> dict[str, object]:
        """What a resource server is told of a user's token beside what every token says: who acts, and of a pushed
        client, which is known to nobody, what it says of itself: its own word. Raises: Unavailable."""
        answer: dict[str, object] = {}
        if claims.actor is not None:
            answer["act"] = {"sub": claims.actor}
        if claims.transaction is not None and claims.grant is not None:
            answer["client_transaction"] = claims.transaction
            grant = self._grants.get(claims.grant)
            answer["client_metadata"] = {} if grant is None else shown(grant.metadata)
        return answer

    def describe(
        self, token: RefreshToken, caller: Authenticated, client_id: str, now: int
    ) -> dict[str, object] | None:
        """What a client may know of its own refresh token; None for another's, and for one that is not in force."""
        grant = self._grants.get(token.grant_id)
        if grant is None or not _is_its_own(grant, caller, client_id) or not _is_in_force(grant, token, now):
            return None
        return {
            "active": True,
            "client_id": grant.client_id,
            "sub": grant.user.user_id,
            "scope": " ".join(grant.scopes),
            "exp": grant.refresh_expires_at,
            "token_type": "refresh_token",
        }

    def revoke(self, token: RefreshToken, caller: Authenticated, client_id: str, context: RequestContext) -> None:
        """End the grant behind a refresh token, with all of its tokens (OAS-25). An old generation will do as well:
        whoever has one may end what came of it. Raises: ForeignToken, Unavailable."""
        grant = self._grants.get(token.grant_id)
        if grant is None:
            return
        if not _is_its_own(grant, caller, client_id):
            raise foreign(caller)
        event = AuditEvent.about(
            caller.identity,
            context,
            AuditEventKind.REVOKED,
            outcome="grant_revoked",
            client_id=grant.client_id,
            jti=grant.grant_id,
        )
        self._grants.end(grant.grant_id, event=event, now=context.now)


def foreign(caller: Authenticated) -> ForeignToken:
    """The refusal of a client that would end another's token."""
    return ForeignToken(Reason.TOKEN_FOREIGN, f"{caller.identity.name} asked to revoke another client's token")


def _is_its_own(grant: Grant, caller: Authenticated, client_id: str) -> bool:
    """Of a client that many share, a member's grant is that member's alone."""
    acting = caller.identity.subject.spiffe_id
    return grant.client_id == client_id and grant.actor in (None, None if acting is None else str(acting))


def _is_in_force(grant: Grant, token: RefreshToken, now: int) -> bool:
    alive = grant.ended_at is None and grant.refresh_expires_at is not None and grant.refresh_expires_at > now
    return alive and grant.generation == token.generation
