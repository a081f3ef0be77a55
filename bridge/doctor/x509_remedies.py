"""The one thing to change about an X.509-SVID: as `jwt_remedies`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bridge.doctor.surroundings import Surroundings
from bridge.doctor.trust_remedies import (
    bundle_remedy,
    foreign_remedy,
    spelling_remedy,
    unknown_trust_domain,
    wrong_bundle_remedy,
)
from bridge.doctor.words import span
from bridge.model.errors import BridgeError
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SCHEME
from bridge.verify.x509_leaf import MALFORMED, uris_of, validity
from bridge.verify.x509_steps import X509Case

_CLOCK_SECONDS = 600
_TOO_LARGE = "Send the leaf and the intermediates of its path alone: five certificates at most."
_WEAK_CA = "Have the CAs use EC P-256 or P-384, or RSA of 2048 bits or more (ca_key_type of the SPIRE server)."


def x509_remedy(case: X509Case, step: str, error: BridgeError, around: Surroundings) -> str | None:
    """What to change so that this error goes away."""
    if step == "spiffe-id":
        return _names(case)
    if step == "leaf-basic-constraints":
        return _ca_first(case)
    if step in _LEAF_REMEDIES:
        return _LEAF_REMEDIES[step]
    if error.reason is Reason.X509_PATH:
        return _path(case, error.detail, around)
    remedy = _REMEDIES.get(error.reason)
    return None if remedy is None else remedy(case, around)


_LEAF_REMEDIES = {
    "leaf-key-usage": "Have it issued with digitalSignature, and without keyCertSign and cRLSign, in its key usage.",
    "leaf-extended-key-usage": "Have it issued with clientAuth among its extended key usages, which are not critical.",
    "leaf-subject": "Have it issued with a subject, or with its alternative names marked as critical.",
    "leaf-critical-extensions": "Have it issued without that critical extension, or with it not critical.",
    "leaf-key": (
        "Use a key that is taken: workload_x509_svid_key_type of the SPIRE agent is ec-p256 or rsa-2048, and so is "
        "what another issuer should use."
    ),
}


def _names(case: X509Case) -> str | None:
    if _is_ca(case.certificates[0]):
        return _ca_first(case)
    uris = uris_of(case.leaf)
    if not uris:
        return "Send the X.509-SVID of the Workload API: a certificate without a URI name is none."
    if len(uris) > 1:
        return "Have it issued with one URI name, its SPIFFE ID: it has more."
    if not uris[0].lower().startswith(SCHEME):
        return "Have it issued with its SPIFFE ID as URI name: the one that it has is none."
    return spelling_remedy(uris[0])


def _ca_first(case: X509Case) -> str:
    if len(case.certificates) > 1:
        return "Put the leaf first: the first certificate that was sent is a CA."
    return "Send the workload's own certificate (svid.pem), not a CA's."


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    return basic.ca


def _expired(case: X509Case, around: Surroundings) -> str:
    ago = around.now - case.leaf.end
    if ago <= 0:
        return "An intermediate or the CA above the leaf has ended: send the chain that the agent holds now."
    if ago < _CLOCK_SECONDS:
        return (
            f"It ended {span(ago)} ago: read the SVID from the agent anew for each connection; if this one is new, set "
            "the clocks (NTP)."
        )
    return f"It ended {span(ago)} ago: the workload keeps an old SVID. Read it from the agent anew for each connection."


def _not_yet_valid(case: X509Case, around: Surroundings) -> str:
    ahead = case.leaf.begin - around.now
    what = f"It begins {span(ahead)} from now" if ahead > 0 else "A certificate above the leaf begins later"
    return f"{what}: set the clock of the SPIRE server or of this machine (NTP)."


def _path(case: X509Case, detail: str, around: Surroundings) -> str:
    own, last = case.spiffe_id.trust_domain.name, case.certificates[-1]
    if any(_is_over(certificate, around.now) for certificate in case.certificates[1:]):
        return "Send the chain that the agent holds now: an intermediate of this one has ended."
    if "path length" in detail:
        return "Have fewer CAs one below the other: a CA of this chain allows no further one (its path length)."
    for name, domain in sorted(around.domains.items()):
        bundle = domain.status.bundle
        if name != own and bundle is not None and any(_is_issuer(der, last) for der in bundle.x509_authorities):
            return foreign_remedy(name, own, what="CA")
    anchors = case.trust.anchors(case.live).certificates
    if any(_is_issuer(anchor.public_bytes(Encoding.DER), last) for anchor in anchors):
        return "Send the chain as the Workload API gives it: its CA is in the bundle, what is below does not hold."
    if len(case.certificates) == 1 and all(anchor.subject != last.issuer for anchor in anchors):
        return "Send the intermediates behind the leaf, in one chain: it came alone, and no CA of the bundle issued it."
    return wrong_bundle_remedy(around.domains[own], own, what="CA")


def _is_over(certificate: x509.Certificate, now: int) -> bool:
    """Whether its times can be read and have ended."""
    try:
        return validity(certificate)[1] < now
    except MALFORMED:
        return False


def _is_issuer(der: bytes, certificate: x509.Certificate) -> bool:
    """Whether this CA is the one that the certificate names as its issuer, by name and by key where it says which."""
    try:
        authority = x509.load_der_x509_certificate(der)
        if authority.subject != certificate.issuer:
            return False
        named = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return True
    except MALFORMED:
        return False
    return named == own


_REMEDIES: Mapping[Reason, Callable[[X509Case, Surroundings], str | None]] = {
    Reason.TRUST_DOMAIN_UNKNOWN: lambda case, around: unknown_trust_domain(case.spiffe_id, around),
    Reason.BUNDLE_UNAVAILABLE: lambda case, around: bundle_remedy(
        around.domains[case.spiffe_id.trust_domain.name], "x509-svid"
    ),
    Reason.BUNDLE_EMPTY: lambda case, around: bundle_remedy(
        around.domains[case.spiffe_id.trust_domain.name], "x509-svid"
    ),
    Reason.CREDENTIAL_TOO_LARGE: lambda case, around: _TOO_LARGE,
    Reason.X509_KEY: lambda case, around: _WEAK_CA,
    Reason.X509_EXPIRED: _expired,
    Reason.X509_NOT_YET_VALID: _not_yet_valid,
}
