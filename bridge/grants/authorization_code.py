"""`grant_type=authorization_code` (RFC 6749 section 4.1.3): a code, once, for whoever asked for it."""

from __future__ import annotations

import hmac
from dataclasses import replace

from bridge.grants.form import Form
from bridge.grants.grant_uses import GrantUses, actor_of, at_door
from bridge.grants.granter import Begun, ForUser
from bridge.grants.handles import digest_of, is_secret
from bridge.grants.pkce import check_verifier
from bridge.grants.promise import PromisedToken
from bridge.grants.refreshing import Refreshing
from bridge.model.authorization import Grant, GrantUse
from bridge.model.errors import GrantRejected
from bridge.model.evidence import Presented, RequestContext
from bridge.model.identity import BindingMethod
from bridge.model.reasons import Reason
from bridge.model.terms import Ask
from bridge.registration.authentication import Authenticated, Authentication
from bridge.registration.refused import Refusals
from bridge.store.ports import GrantStore


class AuthorizationCode:
    """The whole of one redemption: find, authenticate, hold against what was agreed, issue."""

    def __init__(
        self,
        *,
        authentication: Authentication,
        refusals: Refusals,
        grants: GrantStore,
        uses: GrantUses,
        refreshing: Refreshing,
    ) -> None:
        self._authentication, self._refusals = authentication, refusals
        self._grants, self._uses, self._refreshing = grants, uses, refreshing

    def grant(self, presented: Presented, form: Form, ask: Ask, context: RequestContext) -> PromisedToken:
        """The token of a code, and a refresh token where policy and client want one; now or from the promise.

        `ask` is what the request names, to narrow what was given. Raises: GrantRejected for a code that is unknown,
        over, used, or another's, and for a verifier, redirect URI or key that is not the one it is bound to, none of
        which consumes it; what `Authentication` and `GrantUses` raise. A refusal of an authenticated identity is in
        the audit log before this raises. Spec: RFC 7636, RFC 9449 section 10; OAS-12 to 14, PCR-16 to 19, ROFU-17.
        """
        code = form.require("code")
        found = self._grants.by_code(digest_of(code)) if is_secret(code) else None
        context = at_door(context, found)
        asked = replace(ask, door=context.door)
        caller = self._authentication.authenticate(presented, context, asked)
        return self._uses.promise(
            found,
            lambda grant, afresh: self._begin(caller, grant, form, asked, context, afresh=afresh),
            lambda: self._refusals.watch(caller.identity, asked, context),
        )

    def _begin(
        self,
        caller: Authenticated,
        grant: Grant | None,
        form: Form,
        asked: Ask,
        context: RequestContext,
        *,
        afresh: bool,
    ) -> Begun:
        if grant is None:
            raise GrantRejected(Reason.GRANT_UNKNOWN, "no such code")
        self._uses.require_owner(caller, grant)
        _require_same_redirect(form, grant)
        check_verifier(form.get("code_verifier"), grant.code_challenge)
        _require_same_key(caller, grant)
        if grant.ended_at is not None:
            raise GrantRejected(Reason.GRANT_ENDED, "the grant is over")
        if grant.code_used_at is not None:
            raise self._uses.end_reused(grant, caller, "code", context)
        if grant.code_expires_at <= context.now:
            raise GrantRejected(Reason.GRANT_ENDED, "the code is too old")
        registration, decided = self._uses.registration(caller, grant, asked, context, afresh=afresh)
        first = self._refreshing.first(registration, caller, grant, context.now)
        use = GrantUse(
            grant_id=grant.grant_id,
            redeems_code=True,
            generation=0,
            next_generation=0 if first is None else first.generation,
            ends_at=context.now if first is None else first.expires_at,
            refresh_expires_at=None if first is None else first.expires_at,
            actor=actor_of(caller),
            epoch=None if grant.epoch is None else registration.epoch,
        )
        user = ForUser(grant, use, None if first is None else first.token)
        return self._uses.begin(registration, decided, caller, context, user)


def _require_same_redirect(form: Form, grant: Grant) -> None:
    """Where it is said again it must be the same string; PKCE says already what it was for (RFC 6749 section 4.1.3,
    draft-ietf-oauth-v2-1 section 4.1.3)."""
    said = form.get("redirect_uri")
    if said is not None and said != grant.redirect_uri:
        raise GrantRejected(Reason.REDIRECT_URI_MISMATCH, "another redirect_uri than that of the request")


def _require_same_key(caller: Authenticated, grant: Grant) -> None:
    """The key that the request named is proved by whoever redeems its code (RFC 9449 section 10, PCR-19)."""
    if grant.dpop_jkt is None:
        return
    proved = caller.identity.key(BindingMethod.JKT)
    if proved is None or not hmac.compare_digest(proved.thumbprint, grant.dpop_jkt):
        words = "the code is bound to a key: send a DPoP proof by that key"
        raise GrantRejected(Reason.GRANT_FOREIGN, "no proof of the key that the code is bound to", public=words)
