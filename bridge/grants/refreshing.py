"""Which refresh token goes along with a token, and what becomes of the one that was used (OAS-15, PCR-20, 21).

A confidential client proves who it is each time, so its token stays what it is. A public client's is bound to its
DPoP key and stays; one without a key is used once, and gives the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.grants.refresh_tokens import RefreshToken, RefreshTokens
from bridge.model.authorization import Grant
from bridge.model.client import ClientKind, Registration
from bridge.model.identity import BindingMethod
from bridge.model.terms import Ask
from bridge.registration.authentication import Authenticated
from bridge.registration.composing import REFRESH_TOKEN
from bridge.registration.redirects import of_document, of_record
from bridge.registration.registrar import Registrar

# How long a refresh token may lie unused where its rule says nothing: as long as a client may.
DEFAULT_TTL = 30 * 86_400


@dataclass(frozen=True, slots=True)
class NextToken:
    """The refresh token that is in force after this answer. `expires_at` (epoch seconds) moves with each use."""

    token: str
    generation: int
    expires_at: int


class Refreshing:
    """Decides about refresh tokens."""

    def __init__(self, tokens: RefreshTokens, registrar: Registrar) -> None:
        self._tokens, self._registrar = tokens, registrar

    def first(self, registration: Registration, caller: Authenticated, grant: Grant, now: int) -> NextToken | None:
        """The refresh token of a code. None where the rule, or what the client says of itself, has no use for one,
        and for a pushed client without a key: nothing would tell a thief from it (PCR-21)."""
        key = bound_key(caller)
        if grant.kind is ClientKind.PUSHED and key is None:
            return None
        ask = Ask(grant.door, REFRESH_TOKEN, grant.scopes, grant.resources)
        if not _is_wanted(registration, caller, grant):
            return None
        if not self._registrar.covers(caller.identity.subject, ask):
            return None
        return self._next(registration, grant, 1, key, now)

    def after(
        self, registration: Registration, caller: Authenticated, grant: Grant, used: RefreshToken, now: int
    ) -> NextToken:
        """The one that follows the token that was `used`: itself, or the next generation."""
        rotates = caller.identity.is_public and used.jkt is None
        key = bound_key(caller) if rotates else used.jkt
        return self._next(registration, grant, used.generation + int(rotates), key, now)

    def _next(self, registration: Registration, grant: Grant, generation: int, key: str | None, now: int) -> NextToken:
        terms = registration.decision.terms
        assert terms is not None, "a registration is only made by a decision with terms"
        token = self._tokens.make(RefreshToken(grant.grant_id, generation, key))
        return NextToken(token, generation, now + (terms.refresh_ttl or DEFAULT_TTL))


def bound_key(caller: Authenticated) -> str | None:
    """The key to which this caller's refresh tokens are bound: the one that a public client proved. Whoever
    authenticates is bound by that (RFC 9449 section 5)."""
    if not caller.identity.is_public:
        return None
    proved = caller.identity.key(BindingMethod.JKT)
    return None if proved is None else proved.thumbprint


def _is_wanted(registration: Registration, caller: Authenticated, grant: Grant) -> bool:
    """Whether the rule gives refresh tokens, and the client did not say that it uses none."""
    terms = registration.decision.terms
    assert terms is not None, "a registration is only made by a decision with terms"
    if caller.document is not None:
        said = of_document(caller.document.value.metadata, terms).grant_types
    elif grant.kind is ClientKind.PUSHED:
        stated = grant.metadata.get("grant_types")
        said = tuple(stated) if isinstance(stated, list | tuple) else None
    else:
        said = of_record(registration.record, terms).grant_types
    return REFRESH_TOKEN in terms.grant_types and (said is None or REFRESH_TOKEN in said)
