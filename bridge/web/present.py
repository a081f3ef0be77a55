"""From a request to the one credential it presents. Believes nothing; only refuses what is ambiguous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.grants.form import Form
from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.errors import EvidenceRejected, InvalidRequest, ProofRejected
from bridge.model.evidence import (
    DpopEvidence,
    JwtEvidence,
    NoEvidence,
    Presented,
    PresentedStatement,
    X509Evidence,
    names_document,
)
from bridge.model.reasons import Reason
from bridge.web.forwarded_certificate import forwarded_chain, states_certificate
from bridge.web.known_sender import require_believed

JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def present(environ: Mapping[str, Any], form: Form, *, url: str) -> Presented:
    """The credential and the DPoP proof of this request (PEP 3333). `url` is the endpoint as clients know it.

    Clients that may be public come without a credential: those known by a URL, and pushed ones.
    Raises: InvalidRequest for half an assertion pair or two credentials (SCA-1, SCA-31, OAS-5);
    EvidenceRejected when there is none or one of an unknown type (SCA-2); ProofRejected for two proofs.
    Spec: interface sections 4 and 9. A certificate header is read where a trusted proxy sent it alone (SCA-19).
    """
    assertion, assertion_type = form.get("client_assertion"), form.get("client_assertion_type")
    chain = peer_chain(environ)
    if (assertion is None) != (assertion_type is None):
        raise InvalidRequest(
            Reason.ASSERTION_PAIR,
            "client_assertion and client_assertion_type come together",
            public="client_assertion and client_assertion_type come together",
        )
    basic_or_secret = "HTTP_AUTHORIZATION" in environ or form.get("client_secret") is not None
    if [assertion is not None, bool(chain), basic_or_secret].count(True) > 1:
        raise InvalidRequest(
            Reason.CREDENTIALS_MIXED, "two credentials in one request", public="present exactly one credential"
        )
    dpop = _dpop(environ, url)
    client_id = form.get("client_id")
    if assertion is not None:
        # Clients of today send an SVID under the general type too; the SVID's own rules judge it all the same.
        if assertion_type not in (JWT_SPIFFE, JWT_BEARER):
            raise EvidenceRejected(Reason.CREDENTIAL_UNSUPPORTED, "unknown client_assertion_type")
        return Presented(JwtEvidence(assertion, client_id, general=assertion_type == JWT_BEARER), dpop)
    if chain:
        return Presented(X509Evidence(chain, client_id), dpop)
    if basic_or_secret:
        raise EvidenceRejected(Reason.CREDENTIAL_UNSUPPORTED, "client secrets are not used here")
    if client_id is not None and (client_id == PUSHED_CLIENT_ID or names_document(client_id)):
        return Presented(NoEvidence(client_id), dpop)
    raise EvidenceRejected(Reason.CREDENTIAL_MISSING)


def present_statement(environ: Mapping[str, Any], statement: str | None, *, url: str) -> PresentedStatement:
    """What a registration presents about whom it is for. `url` is the endpoint as clients know it.

    A certificate may stand beside a statement: whether both are of one identity is not looked at here.
    Raises: ProofRejected for two DPoP proofs.
    """
    return PresentedStatement(statement, peer_chain(environ), _dpop(environ, url))


def peer_chain(environ: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The certificate chain of the client, DER, leaf first; empty without one: that of the connection, or the
    one that a trusted proxy states. Raises: EvidenceRejected for a header that is not sound, and with Unavailable for
    a proxy whose own certificate does not hold; InvalidRequest when there are both, from a proxy that is known by its
    address alone: the certificate of the connection says nothing of its clients."""
    require_believed(environ)
    chain: tuple[bytes, ...] = environ.get("bridge.peer_chain", ())
    forwarded = forwarded_chain(environ)
    if chain and forwarded:
        raise InvalidRequest(
            Reason.CREDENTIALS_MIXED,
            "a certificate in the handshake and one in a header",
            public="present exactly one credential",
        )
    return chain or forwarded


def listener_asked(environ: Mapping[str, Any]) -> str:
    """Whose addresses this client has used: those of the listener that it came in by. A client whose
    certificate a proxy states has been where certificates are asked for (RFC 8705 section 5)."""
    if states_certificate(environ):
        return "mtls"
    listener: str = environ.get("bridge.listener", "plain")
    return listener


def _dpop(environ: Mapping[str, Any], url: str) -> DpopEvidence | None:
    """The one DPoP proof (RFC 9449 section 4.3, check 1). The server joins repeated fields with a comma."""
    proof: str | None = environ.get("HTTP_DPOP")
    if proof is None:
        return None
    if "," in proof:
        raise ProofRejected(Reason.DPOP_MALFORMED, "more than one DPoP header")
    return DpopEvidence(proof, environ["REQUEST_METHOD"], url)
