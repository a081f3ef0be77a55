"""`grant_type=refresh_token` (RFC 6749 section 6): a user's grant used again, never for more than was given."""

from __future__ import annotations

from dataclasses import replace

from bridge.grants.form import Form
from bridge.grants.grant_uses import GrantUses, actor_of, at_door
from bridge.grants.granter import Begun, ForUser
from bridge.grants.promise import PromisedToken
from bridge.grants.refresh_tokens import RefreshToken, RefreshTokens
from bridge.grants.refreshing import Refreshing
from bridge.model.authorization import Grant, GrantUse
from bridge.model.client import Registration
from bridge.model.errors import GrantRejected, ProofMissing
from bridge.model.evidence import Presented, RequestContext
from bridge.model.identity import BindingMethod
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, Bind
from bridge.registration.authentication import Authenticated, Authentication
from bridge.registration.refused import Refusals
from bridge.store.ports import GrantStore


class Refresh:
    """The whole of one refresh: find, authenticate, hold against what is in force, issue."""

    def __init__(
        self,
        *,
        authentication: Authentication,
        refusals: Refusals,
        grants: GrantStore,
        uses: GrantUses,
        tokens: RefreshTokens,
        refreshing: Refreshing,
    ) -> None:
        self._authentication, self._refusals = authentication, refusals
        self._grants, self._uses = grants, uses
        self._tokens, self._refreshing = tokens, refreshing

    def grant(self, presented: Presented, form: Form, ask: Ask, context: RequestContext) -> PromisedToken:
        """A new token of a user's grant, and the refresh token in force after it; now or from the promise.

        `ask` is what the request names, to narrow what was given. Raises: GrantRejected for a token that is none of
        ours, over, another's, bound to a key that is not proved, or, which ends its grant, used before; what
        `Authentication` and `GrantUses` raise; ProofMissing for no key at all where the grant began with one. A refusal
        consumes nothing, and that of an authenticated identity is in the audit log before this raises. Spec: OAS-15,
        16, PCR-12, 20, 21; T-23, T-33.
        """
        raw = form.require("refresh_token")
        token = self._tokens.read(raw)
        found = None if token is None else self._grants.get(token.grant_id)
        context = at_door(context, found)
        asked = replace(ask, door=context.door)
        caller = self._authentication.authenticate(presented, context, asked)
        return self._uses.promise(
            found,
            lambda grant, afresh: self._begin(caller, token, grant, asked, context, afresh=afresh),
            lambda: self._refusals.watch(caller.identity, asked, context),
        )

    def _begin(
        self,
        caller: Authenticated,
        token: RefreshToken | None,
        grant: Grant | None,
        asked: Ask,
        context: RequestContext,
        *,
        afresh: bool,
    ) -> Begun:
        if grant is None or token is None:
            raise GrantRejected(Reason.GRANT_UNKNOWN, "no refresh token of ours")
        self._uses.require_owner(caller, grant)
        _require_its_key(caller, token)
        if grant.actor != actor_of(caller):
            raise GrantRejected(Reason.GRANT_FOREIGN, f"the grant is for {grant.actor or 'nobody with an SVID'}")
        if grant.ended_at is not None:
            raise GrantRejected(Reason.GRANT_ENDED, "the grant is over")
        if token.generation < grant.generation:
            raise self._uses.end_reused(grant, caller, "refresh_token", context)
        if token.generation != grant.generation:
            # A store that was put back to an earlier state: nobody stole anything.
            raise GrantRejected(Reason.GRANT_UNKNOWN, "a generation that never was")
        if grant.refresh_expires_at is None or grant.refresh_expires_at <= context.now:
            raise GrantRejected(Reason.GRANT_ENDED, "the refresh token was not used for too long")
        registration, decided = self._uses.registration(caller, grant, asked, context, afresh=afresh)
        _require_some_key(caller, grant, registration)
        following = self._refreshing.after(registration, caller, grant, token, context.now)
        use = GrantUse(
            grant_id=grant.grant_id,
            redeems_code=False,
            generation=token.generation,
            next_generation=following.generation,
            ends_at=following.expires_at,
            refresh_expires_at=following.expires_at,
            actor=grant.actor,
        )
        return self._uses.begin(registration, decided, caller, context, ForUser(grant, use, following.token))


def _require_some_key(caller: Authenticated, grant: Grant, registration: Registration) -> None:
    """That what began with a key is never given without any: the user was told that a copy is useless. A client that
    authenticates may come with another key (RFC 9449 section 5). Raises: ProofMissing."""
    terms = registration.decision.terms
    is_up_to_us = terms is not None and terms.bind is Bind.IF_PRESENT
    if grant.dpop_jkt is not None and is_up_to_us and not caller.identity.proved:
        words = "the user agreed to tokens that are bound to a key: send a DPoP proof"
        raise ProofMissing(Reason.POLICY_PROOF, "the grant began with a key", public=words)


def _require_its_key(caller: Authenticated, token: RefreshToken) -> None:
    """That the key is proved to which the token is bound (RFC 9449 section 5, PCR-20). Raises: GrantRejected."""
    if token.jkt is None:
        return
    proved = caller.identity.key(BindingMethod.JKT)
    if proved is None or proved.thumbprint != token.jkt:
        words = "the refresh token is bound to a key: send a DPoP proof by that key"
        raise GrantRejected(Reason.GRANT_FOREIGN, "no proof of the key that the token is bound to", public=words)
