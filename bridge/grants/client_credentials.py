"""`grant_type=client_credentials` (RFC 6749 section 4.4): a workload's first call here also registers it."""

from __future__ import annotations

from bridge.grants.granter import Granter, IssuedToken
from bridge.model.errors import RegistrationChanged
from bridge.model.evidence import Presented, RequestContext
from bridge.model.terms import Ask
from bridge.registration.refused import Refusals
from bridge.registration.registrar import Registrar

# A revocation between decision and write, or one since the record was last read, makes us decide once
# more. Three in a row are an operator's storm against this very client, and a refusal is the honest answer.
ATTEMPTS = 3


class ClientCredentials:
    """The whole of one token request: authenticate, register, issue."""

    def __init__(self, registrar: Registrar, granter: Granter, refusals: Refusals) -> None:
        self._registrar, self._granter, self._refusals = registrar, granter, refusals

    def grant(self, presented: Presented, ask: Ask, context: RequestContext) -> IssuedToken:
        """A token for whoever `presented` proves to be, or one of the errors of `bridge.model.errors`.

        A refusal of an authenticated identity is in the audit log before this raises (section 8).
        """
        caller = self._registrar.authenticate(presented, now=context.now)
        with self._refusals.watch(caller.identity, ask, context):
            for attempt in range(ATTEMPTS):
                registration = self._registrar.register(caller, ask, context, afresh=attempt > 0)
                try:
                    return self._granter.issue(registration, ask, caller.markers, context)
                except RegistrationChanged:
                    if attempt == ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable: the last attempt returns or raises")
