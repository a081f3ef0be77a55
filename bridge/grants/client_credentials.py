"""`grant_type=client_credentials` (RFC 6749 section 4.4): a workload's first call here also registers it."""

from __future__ import annotations

from bridge.grants.granter import Begun, Granter
from bridge.grants.promise import PromisedToken, promise
from bridge.model.errors import GrantNotAllowed
from bridge.model.evidence import Presented, RequestContext
from bridge.model.reasons import Reason
from bridge.model.terms import Ask
from bridge.registration.authentication import Authenticated, Authentication
from bridge.registration.refused import Refusals
from bridge.registration.registrar import Registrar


class ClientCredentials:
    """The whole of one token request: authenticate, register, issue."""

    def __init__(
        self, authentication: Authentication, registrar: Registrar, granter: Granter, refusals: Refusals
    ) -> None:
        self._authentication, self._registrar = authentication, registrar
        self._granter, self._refusals = granter, refusals

    def grant(self, presented: Presented, ask: Ask, context: RequestContext) -> PromisedToken:
        """A token for whoever `presented` proves to be, or one of the errors of `bridge.model.errors`, now or
        from the promise.

        A refusal of an authenticated identity is in the audit log before this raises (section 8).
        """
        caller = self._authentication.authenticate(presented, context, ask)
        return promise(
            self._granter,
            lambda afresh: self._begin(caller, ask, context, afresh),
            lambda: self._refusals.watch(caller.identity, ask, context),
        )

    def _begin(self, caller: Authenticated, ask: Ask, context: RequestContext, afresh: bool) -> Begun:
        if caller.identity.is_public:
            # Anybody could have it (RFC 6749 section 4.4, CIMD-22).
            raise GrantNotAllowed(Reason.POLICY_GRANT_TYPE, f"{caller.identity.name} is a public client")
        registration = self._registrar.register(caller, ask, context, afresh=afresh)
        return self._granter.begin(registration, ask, caller.markers, context)
