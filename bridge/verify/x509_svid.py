"""X.509-SVIDs: from the DER that a TLS peer sent to a path that ends at an anchor (X509-SVID section 5).

Anchors are the `x509-svid` certificates of the one bundle that the caller chose, and no others: there is
no system trust store here (SCA-17), and any certificate of the bundle ends a path, self-signed or not.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from bridge.jose.key_policy import UnfitKey, check_public_key
from bridge.model.bundle import TrustBundle
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.verify.x509_leaf import MALFORMED, Leaf, validity

MAX_CERTIFICATES = 5
MAX_CHAIN_BYTES = 32 * 1024

# Name constraints of these kinds are processed by the library. It ignores others where they are not
# critical, which would let a CA sign names that its own certificate forbids: those end the path instead.
_CONSTRAINED_NAMES = (x509.DNSName, x509.IPAddress, x509.RFC822Name)


@dataclass(frozen=True, slots=True)
class Anchors:
    """The usable X.509 authorities of one bundle; `store` is None when there are none."""

    certificates: tuple[x509.Certificate, ...]
    store: Store | None


def anchors_of(bundle: TrustBundle) -> Anchors:
    """Parse a bundle's authorities. Those that cannot be read or are too weak are left out."""
    usable = []
    for der in bundle.x509_authorities:
        try:
            certificate = x509.load_der_x509_certificate(der)
        except MALFORMED:
            continue
        if is_fit(certificate):
            usable.append(certificate)
    return Anchors(tuple(usable), Store(usable) if usable else None)


def is_fit(certificate: x509.Certificate) -> bool:
    """Whether the certificate's times can be read and its key passes the key policy."""
    try:
        validity(certificate)
        check_public_key(certificate.public_key())
    except (UnfitKey, *MALFORMED):
        return False
    return True


def check_size(chain: tuple[bytes, ...]) -> None:
    """Caps before anything is parsed: 1 to 5 certificates, 32 KiB in all (T-15). Raises: EvidenceRejected."""
    if not chain:
        raise EvidenceRejected(Reason.CREDENTIAL_MISSING, "no certificate")
    if len(chain) > MAX_CERTIFICATES:
        raise EvidenceRejected(Reason.CREDENTIAL_TOO_LARGE, f"more than {MAX_CERTIFICATES} certificates")
    if sum(map(len, chain)) > MAX_CHAIN_BYTES:
        raise EvidenceRejected(Reason.CREDENTIAL_TOO_LARGE, f"a chain of more than {MAX_CHAIN_BYTES} bytes")


def parse_chain(chain: tuple[bytes, ...]) -> tuple[x509.Certificate, ...]:
    """DER to certificates; each part must be exactly one. Raises: EvidenceRejected. Nothing is trusted yet."""
    try:
        return tuple(map(_parse, chain))
    except MALFORMED as error:
        raise EvidenceRejected(Reason.CREDENTIAL_MALFORMED, "not an X.509 certificate") from error


def _parse(der: bytes) -> x509.Certificate:
    certificate = x509.load_der_x509_certificate(der)
    # The byte before the signature counts the unused bits of its last byte: none, for RSA and ECDSA. The
    # library lets other counts pass, and nothing signs this byte, so one certificate would have several
    # thumbprints.
    if der[-len(certificate.signature) - 1] != 0:
        raise ValueError("the signature has unused bits")
    return certificate


def check_validity(leaf: Leaf, now: int) -> None:
    """The leaf's own times, without leeway: both ends count as valid. Raises: EvidenceRejected."""
    if now < leaf.begin:
        raise EvidenceRejected(Reason.X509_NOT_YET_VALID, f"the leaf is valid in {leaf.begin - now} s")
    if now > leaf.end:
        raise EvidenceRejected(Reason.X509_EXPIRED, f"the leaf expired {now - leaf.end} s ago")


def _authority_key_id(_: Policy, __: x509.Certificate, value: x509.AuthorityKeyIdentifier | None) -> None:
    if value is None:
        return
    if value.key_identifier is None:
        raise ValueError("authorityKeyIdentifier has no keyIdentifier")
    if value.authority_cert_issuer is not None or value.authority_cert_serial_number is not None:
        raise ValueError("authorityKeyIdentifier names an issuer and serial number")


def _name_constraints(_: Policy, __: x509.Certificate, value: x509.NameConstraints | None) -> None:
    if value is None:
        return
    for name in (*(value.permitted_subtrees or ()), *(value.excluded_subtrees or ())):
        if not isinstance(name, _CONSTRAINED_NAMES):
            raise ValueError(f"a name constraint of a kind that is not processed: {type(name).__name__}")


# Signing certificates: the web PKI's rules for CAs (cA and keyCertSign, path length, criticality), and
# three more. Policy constraints cannot be honoured here, critical or not.
_CA_POLICY = (
    ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.NON_CRITICAL, _authority_key_id)
    .may_be_present(x509.NameConstraints, Criticality.AGNOSTIC, _name_constraints)
    .require_not_present(x509.PolicyConstraints)
)
# Leaves: the rules of x509_leaf.py, which know what an SVID is, and no web PKI rules about DNS names.
_LEAF_POLICY = ExtensionPolicy.permit_all()


def _verify(leaf: Leaf, candidates: list[x509.Certificate], store: Store, at: int) -> tuple[x509.Certificate, ...]:
    policy = (
        PolicyBuilder()
        .store(store)
        .time(datetime.datetime.fromtimestamp(at, datetime.UTC))
        .max_chain_depth(MAX_CERTIFICATES - 1)
        .extension_policies(ca_policy=_CA_POLICY, ee_policy=_LEAF_POLICY)
    )
    return tuple(policy.build_client_verifier().verify(leaf.certificate, candidates).chain)


def build_path(
    leaf: Leaf, sent: Iterable[x509.Certificate], anchors: Anchors, now: int
) -> tuple[x509.Certificate, ...]:
    """The path from the leaf to an anchor, leaf first, anchor last (RFC 5280 section 6, SPIFFE-10, 11).

    `sent` are the intermediates of the peer, in any order, useful or not (SCA-18). Held for every
    certificate of the path: signature, validity at `now`, CA rules, path length, name constraints,
    critical extensions, key policy. Raises: EvidenceRejected. Not checked: what the leaf says
    (`x509_leaf.RULES`), and revocation, for which SPIFFE has no profile.
    """
    if anchors.store is None:
        raise EvidenceRejected(Reason.BUNDLE_EMPTY, "the trust domain has no usable X.509 authority")
    everything = list(sent)
    candidates = [certificate for certificate in everything if is_fit(certificate)]
    try:
        path = _verify(leaf, candidates, anchors.store, now)
        if len(path) > 1:
            return path
        # The library takes a leaf that is itself in the store as its own anchor, whatever it says.
        refusal = EvidenceRejected(Reason.X509_PATH, "a leaf is no anchor, not even of itself")
    except VerificationError as error:
        refusal = _explain(leaf, candidates, anchors, now, error)
    except MALFORMED as error:
        raise EvidenceRejected(Reason.CREDENTIAL_MALFORMED, "a certificate of the chain cannot be read") from error
    if refusal.reason is Reason.X509_PATH and len(candidates) < len(everything):
        refusal = EvidenceRejected(Reason.X509_KEY, "no path without an intermediate whose key is unfit")
    raise refusal


def _explain(
    leaf: Leaf, candidates: list[x509.Certificate], anchors: Anchors, now: int, error: VerificationError
) -> EvidenceRejected:
    """Why there is no path: is it only a matter of time? Each question costs one more attempt, two at most."""
    assert anchors.store is not None
    times = [validity(certificate) for certificate in (*candidates, *anchors.certificates)]
    ended = [end for _, end in times if leaf.begin <= end < now]
    to_come = [begin for begin, _ in times if begin > now]
    attempts = [(min(ended), Reason.X509_EXPIRED, "expired")] if ended else []
    attempts += [(max(to_come), Reason.X509_NOT_YET_VALID, "is not yet valid")] if to_come else []
    for moment, reason, words in attempts:
        try:
            _verify(leaf, candidates, anchors.store, moment)
        except (VerificationError, *MALFORMED):
            continue
        return EvidenceRejected(reason, f"an intermediate or anchor of the path {words}")
    # The library's words name the rule that did not hold; what follows them quotes the certificate.
    words = str(error).partition(" (encountered")[0].encode("ascii", "replace").decode("ascii")[:200]
    return EvidenceRejected(Reason.X509_PATH, words)


def thumbprint(der: bytes) -> bytes:
    """SHA-256 over the certificate's DER (RFC 8705 section 3.1)."""
    return hashlib.sha256(der).digest()


def key_id(leaf: Leaf) -> str:
    """Which CA key the leaf says it was signed by, for people: hex of its authority key identifier, or of
    the SHA-256 of its issuer's name."""
    extension = leaf.get(x509.AuthorityKeyIdentifier)
    if extension is not None and isinstance(extension.value, x509.AuthorityKeyIdentifier):
        if extension.value.key_identifier is not None:
            return extension.value.key_identifier.hex()
    return hashlib.sha256(leaf.issuer.public_bytes()).hexdigest()
