"""From an authenticated caller and its parameters to an authorization request that passed every check.

The one way to make one, at `/par` and at `/authorize`: decide, hold the redirect URI against who vouched for it, and
only then register whoever comes for the first time (ROFU-9, 18).
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.grants.authorization_parameters import AUTHORIZATION_CODE, Parameters
from bridge.grants.consent import fingerprint, shown
from bridge.metadata.redirect_matching import is_listed
from bridge.model.authorization import AuthorizationRequest
from bridge.model.errors import InvalidRequest, ProofRejected
from bridge.model.evidence import Door, RequestContext
from bridge.model.identity import BindingMethod, Marker
from bridge.model.metadata import ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, Replay
from bridge.registration.admission import Admission, assertion_markers
from bridge.registration.authentication import Authenticated
from bridge.registration.composing import PAR_ONLY
from bridge.registration.redirects import Description, of_document, of_pushed, of_record
from bridge.registration.registrar import Registrar

_ANY_KEY = frozenset(BindingMethod)


@dataclass(frozen=True, slots=True)
class Made:
    """A request, and the marks (proofs, assertions) to claim together with it."""

    request: AuthorizationRequest
    markers: tuple[Marker, ...]


class AuthorizationRequests:
    """Makes authorization requests."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    def make(
        self,
        caller: Authenticated,
        redirect_uri: str,
        parameters: Parameters,
        context: RequestContext,
        *,
        transaction: str | None = None,
        pushed: ClientMetadata | None = None,
    ) -> Made:
        """The request, its client registered by then. `transaction` and `pushed` are a pushed client's: the public
        name of what it is there for, and what it says of itself.

        What is to be granted stands in the request by name from here on, so that a later policy can take away
        from it and never add.
        Raises: RedirectUriRejected; PolicyDenied and its kin, ApprovalPending, LimitReached, Unavailable;
        ProofRejected when the header and `dpop_jkt` are of two keys. Nothing is written unless all is well, but
        for a record that waits for an operator. Not checked: `bind`, which the token request has to meet, except
        of pushed clients, which are nothing but their key.
        """
        dpop_jkt = _one_key(caller, parameters)
        admission = self._registrar.admit(caller, parameters.ask, proved=_provable(caller, dpop_jkt, pushed))
        epoch = None
        if pushed is not None:
            description = of_pushed(pushed, redirect_uri, admission.terms)
            description.require_redirect(redirect_uri)
        else:
            description = self._described(admission, caller, redirect_uri, context)
            _require_pushed(admission, description, parameters.ask.door)
            # Afresh: no token's write comes with it that would find out that the record ended meanwhile.
            epoch = self._registrar.settle(admission, caller, context, afresh=True).epoch
        decision, once = admission.decision, admission.terms.replay is Replay.ONCE
        request = AuthorizationRequest(
            client_id=admission.name.client_id,
            kind=admission.name.kind,
            subject=caller.identity.subject,
            ask=Ask(parameters.ask.door, AUTHORIZATION_CODE, decision.scopes, decision.resources),
            redirect_uri=redirect_uri,
            code_challenge=parameters.code_challenge,
            state=parameters.state,
            dpop_jkt=dpop_jkt,
            epoch=epoch,
            fingerprint=fingerprint(description.metadata, description.listed),
            transaction=transaction,
            metadata=_kept(description, is_pushed=pushed is not None),
            authorities=caller.identity.authorities,
        )
        return Made(request, caller.markers + (assertion_markers(caller.identity) if once else ()))

    def may_answer(self, caller: Authenticated, redirect_uri: str, door: Door) -> bool:
        """Whether a refusal may be told to the client by way of this redirect URI: some rule that gives the caller
        anything lets it be answered there."""
        if caller.document is None:
            return False
        offers = self._registrar.offers(caller.identity.subject, door, AUTHORIZATION_CODE)
        metadata = caller.document.value.metadata
        return any(
            offer.terms is not None and is_listed(redirect_uri, of_document(metadata, offer.terms).redirect_uris)
            for offer in offers
        )

    def _described(
        self, admission: Admission, caller: Authenticated, redirect_uri: str, context: RequestContext
    ) -> Description:
        """What is said of the client, once it is clear that it may be answered there."""
        if caller.document is not None:
            description = of_document(caller.document.value.metadata, admission.terms)
        else:
            _, live = self._registrar.look(admission, caller, context)
            description = of_record(None if live is None else live.record, admission.terms)
        description.require_redirect(redirect_uri)
        description.require_grant_type(AUTHORIZATION_CODE)
        return description


def _kept(description: Description, *, is_pushed: bool) -> dict[str, object]:
    """What stays with the request of what the client says: what others may be told, and, of a client that has no
    record, which grants it uses."""
    kept = shown(description.metadata)
    if is_pushed and description.grant_types is not None:
        kept["grant_types"] = list(description.grant_types)
    return kept


def _require_pushed(admission: Admission, description: Description, door: Door) -> None:
    """That a request in plain parameters is of a client that neither its rule nor its own word holds to `/par`
    (RFC 9126 sections 5 and 6). Raises: InvalidRequest."""
    if door is Door.AUTHORIZE and (admission.terms.require_par or description.metadata.get(PAR_ONLY)):
        words = "this client has to push its request first (RFC 9126)"
        raise InvalidRequest(Reason.PAR_REQUIRED, f"{admission.name.client_id}: plain parameters", public=words)


def _one_key(caller: Authenticated, parameters: Parameters) -> str | None:
    """The key that the code will be bound to. A proof at `/par` says the same as the parameter does (RFC 9449
    section 10.1). Raises: ProofRejected when they say different things (PCR-18)."""
    proved = caller.identity.key(BindingMethod.JKT)
    if proved is None:
        return parameters.dpop_jkt
    if parameters.dpop_jkt not in (None, proved.thumbprint):
        raise ProofRejected(Reason.DPOP_MISMATCH, "dpop_jkt is another key than that of the proof")
    return proved.thumbprint


def _provable(caller: Authenticated, dpop_jkt: str | None, pushed: ClientMetadata | None) -> frozenset[BindingMethod]:
    """The keys that count as shown. No token is given yet, so whoever can come back with a key later may; a pushed
    client has to name the key that its transaction hangs on now."""
    if pushed is None:
        return _ANY_KEY
    return caller.identity.proved if dpop_jkt is None else caller.identity.proved | {BindingMethod.JKT}
