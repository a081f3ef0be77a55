"""What a client promised of its own requests when it registered is held against each of them."""

from __future__ import annotations

from bridge.model.client import ClientRecord
from bridge.model.errors import ProofMissing
from bridge.model.identity import BindingMethod, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.registration.composing import CERTIFICATE_BOUND, DPOP_BOUND

_PROOFS = (
    (DPOP_BOUND, BindingMethod.JKT, "this client registered for DPoP-bound tokens: send a DPoP proof"),
    (
        CERTIFICATE_BOUND,
        BindingMethod.X5T_S256,
        "this client registered for certificate-bound tokens: authenticate with an X.509-SVID over mutual TLS",
    ),
)


def require_promised(record: ClientRecord, identity: VerifiedIdentity) -> None:
    """The request proves the key that the client said all of its tokens are bound to.

    Raises: ProofMissing. Spec: RFC 9449 section 5.2, RFC 8705 section 3.4. Not checked: that the rule's `bind`
    then binds to it, which is looked at when the client registers.
    """
    require_kept(record, identity.proved)


def require_kept(record: ClientRecord, proved: frozenset[BindingMethod]) -> None:
    """The same of the keys that somebody would prove. Raises: ProofMissing."""
    for member, method, words in _PROOFS:
        if record.metadata.get(member) and method not in proved:
            raise ProofMissing(Reason.POLICY_PROOF, f"{record.client_id} promised {member}", public=words)
