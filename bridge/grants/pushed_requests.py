"""`/par`: a client says over the back channel what it will ask its user for (RFC 9126).

A workload's first call here registers it as one at `/token` does (ROFU-18), and whoever has no registration at all
pushes it along (draft-richer-oauth-pushed-client-registration-00).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.grants.authorization_parameters import (
    Parameters,
    read_parameters,
    read_redirect_uri,
    require_random_state,
)
from bridge.grants.form import Form
from bridge.grants.handles import REQUEST_SECONDS, digest_of, request_uri_of
from bridge.grants.markers import claim_all
from bridge.grants.requesting import AuthorizationRequests
from bridge.model.authorization import AuthorizationRequest
from bridge.model.errors import InvalidRequest
from bridge.model.evidence import Door, Presented, RequestContext
from bridge.model.identity import Source
from bridge.model.reasons import Reason
from bridge.registration.authentication import Authenticated, Authentication
from bridge.registration.refused import Refusals
from bridge.registration.registrar import Registrar
from bridge.store.ports import RequestStore, TokenStore
from bridge.verify.pushed_clients import check_redirect, read_registration

CLIENT_REGISTRATION = "client_registration"


class SpendOfAddress(Protocol):
    """Pays for keeping a request by which nobody is vouched for, by its source address. Raises: LimitReached,
    Unavailable."""

    def __call__(self, source_address: str, now: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class PushedRequest:
    """What the client takes to its user's browser (RFC 9126 section 2.2). `expires_in` in seconds."""

    request_uri: str
    expires_in: int

    def to_wire(self) -> dict[str, object]:
        """The members of the answer."""
        return {"request_uri": self.request_uri, "expires_in": self.expires_in}


class PushedRequests:
    """The whole of one request to `/par`: authenticate, check, register, keep."""

    def __init__(
        self,
        *,
        authentication: Authentication,
        registrar: Registrar,
        refusals: Refusals,
        requests: RequestStore,
        tokens: TokenStore,
        spend: SpendOfAddress,
        new_secret: Callable[[], str],
        new_id: Callable[[], str],
    ) -> None:
        """`new_secret` gives 32 random bytes as base64url, `new_id` an unguessable id."""
        self._authentication, self._making, self._refusals = authentication, AuthorizationRequests(registrar), refusals
        self._requests, self._tokens, self._spend = requests, tokens, spend
        self._new_secret, self._new_id = new_secret, new_id

    def push(self, presented: Presented, form: Form, context: RequestContext) -> PushedRequest:
        """A `request_uri` for this request, good for 60 s, for the client that pushed it, and once.

        Nothing is consumed, no proof and no limit, before all of it is found good. Raises: all that `Authentication`
        and `AuthorizationRequests` raise; InvalidRequest and its kin for parameters (PCR-3 to 5, 11),
        InvalidClientMetadata for a pushed client's metadata (PCR-6, 7), RedirectUriRejected (PCR-8, 26, ROFU-14, 15);
        CredentialReplayed, ProofRejected for what was used before; LimitReached (PCR-30, T-42), Unavailable. A
        refusal of an authenticated identity is in the audit log before this raises (section 8).
        """
        parameters, redirect_uri = read_parameters(form, Door.PAR), read_redirect_uri(form)
        caller = self._authentication.authenticate(presented, context, parameters.ask)
        with self._refusals.watch(caller.identity, parameters.ask, context):
            if caller.identity.subject.source is Source.PUSHED:
                request = self._make_pushed(caller, redirect_uri, parameters, form, context)
            else:
                request = self._make(caller, redirect_uri, parameters, form, context)
            request_uri = request_uri_of(self._new_secret())
            self._requests.push(
                digest_of(request_uri), request, expires_at=context.now + REQUEST_SECONDS, now=context.now
            )
        return PushedRequest(request_uri, REQUEST_SECONDS)

    def _make(
        self, caller: Authenticated, redirect_uri: str, parameters: Parameters, form: Form, context: RequestContext
    ) -> AuthorizationRequest:
        if form.get(CLIENT_REGISTRATION) is not None:
            # Whoever is somebody has said elsewhere who; two words about one client would have to be weighed.
            words = f"{CLIENT_REGISTRATION} is for pushed clients alone"
            raise InvalidRequest(Reason.MALFORMED_REQUEST, words, public=words)
        made = self._making.make(caller, redirect_uri, parameters, context)
        if caller.identity.is_public:
            # Anybody can push in the name of a public client, and what is kept for them is room for everybody.
            self._spend(context.source_address, context.now)
        claim_all(self._tokens, made.markers, now=context.now)
        return made.request

    def _make_pushed(
        self, caller: Authenticated, redirect_uri: str, parameters: Parameters, form: Form, context: RequestContext
    ) -> AuthorizationRequest:
        require_random_state(parameters)
        check_redirect(redirect_uri)
        metadata = read_registration(form.get(CLIENT_REGISTRATION))
        made = self._making.make(caller, redirect_uri, parameters, context, transaction=self._new_id(), pushed=metadata)
        self._spend(context.source_address, context.now)
        claim_all(self._tokens, made.markers, now=context.now)
        return made.request
