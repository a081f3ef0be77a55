"""What each step of an X.509-SVID expects, and what it found, in words: as `jwt_words`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from bridge.doctor.surroundings import Surroundings
from bridge.doctor.words import listed, shown, when
from bridge.verify.x509_leaf import MALFORMED, Leaf, uris_of
from bridge.verify.x509_steps import X509Case
from bridge.verify.x509_svid import MAX_CERTIFICATES, MAX_CHAIN_BYTES

Words = tuple[str, str]

_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth", ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth"}


def _form(case: X509Case, _: Surroundings) -> Words:
    number = len(case.chain)
    expected = f"1 to {MAX_CERTIFICATES} certificates in DER, {MAX_CHAIN_BYTES} bytes at most, the leaf first"
    return expected, f"{number} {'certificate' if number == 1 else 'certificates'}, {sum(map(len, case.chain))} bytes"


def _spiffe_id(case: X509Case, _: Surroundings) -> Words:
    return "one URI name, the SPIFFE ID of a workload", listed(uris_of(case.leaf))


def _basic_constraints(case: X509Case, _: Surroundings) -> Words:
    extension = case.leaf.get(x509.BasicConstraints)
    is_ca = extension is not None and isinstance(extension.value, x509.BasicConstraints) and extension.value.ca
    return "a leaf that is no CA", "a CA" if is_ca else "no CA"


def _key_usage(case: X509Case, _: Surroundings) -> Words:
    expected = "digitalSignature, and neither keyCertSign nor cRLSign"
    extension = case.leaf.get(x509.KeyUsage)
    if extension is None or not isinstance(extension.value, x509.KeyUsage):
        return expected, "no key usage"
    usage = extension.value
    named = {
        "digitalSignature": usage.digital_signature,
        "keyCertSign": usage.key_cert_sign,
        "cRLSign": usage.crl_sign,
    }
    return expected, ", ".join(name for name, is_set in named.items() if is_set) or "none of these"


def names_of_purposes(leaf: Leaf) -> str:
    """The extended key usages of a leaf."""
    extension = leaf.get(x509.ExtendedKeyUsage)
    if extension is None:
        return "none"
    assert isinstance(extension.value, x509.ExtendedKeyUsage)
    critical = " (critical)" if extension.critical else ""
    return ", ".join(_PURPOSES.get(one, one.dotted_string) for one in extension.value) + critical


def _extended_key_usage(case: X509Case, _: Surroundings) -> Words:
    return "clientAuth where any is listed, and not critical", names_of_purposes(case.leaf)


def _subject(case: X509Case, _: Surroundings) -> Words:
    named = bool(list(case.leaf.subject))
    return "a subject, or names that are critical", "a subject" if named else "no subject"


def _critical_extensions(case: X509Case, _: Surroundings) -> Words:
    critical = [extension.oid.dotted_string for extension in case.leaf.extensions if extension.critical]
    return "no critical extension that is not processed here", f"critical: {', '.join(critical) or 'none'}"


def _leaf_key(case: X509Case, _: Surroundings) -> Words:
    try:
        key = case.leaf.certificate.public_key()
    except MALFORMED:
        return "EC P-256, P-384, P-521, or RSA of 2048 bits or more", "a key that cannot be read"
    kind = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    curve = getattr(getattr(key, "curve", None), "name", "")
    bits = getattr(key, "key_size", "")
    return "EC P-256, P-384, P-521, or RSA of 2048 bits or more", " ".join(map(str, filter(None, (kind, curve, bits))))


def _trust_domain(case: X509Case, around: Surroundings) -> Words:
    return f"one that is configured: {around.names}", shown(case.spiffe_id.trust_domain.name)


def _bundle(case: X509Case, around: Surroundings) -> Words:
    domain = around.domains[case.spiffe_id.trust_domain.name]
    return domain.freshness, shown(domain.described(around.now))


def _times(case: X509Case, around: Surroundings) -> Words:
    begin, end = case.leaf.begin, case.leaf.end
    return "a leaf that is valid now, to the second", f"from {when(begin, around.now)} to {when(end, around.now)}"


def _chain(case: X509Case, _: Surroundings) -> Words:
    number = len(case.trust.anchors(case.live).certificates)
    trust_domain = shown(case.spiffe_id.trust_domain.name)
    sent = len(case.certificates) - 1
    expected = f"a path from the leaf to one of the {number} CAs of {trust_domain}'s bundle"
    issuer = shown(case.leaf.issuer.rfc4514_string()) or "(no name)"
    return expected, f"a leaf of issuer {issuer}, and {sent} other {'certificate' if sent == 1 else 'certificates'}"


X509_WORDS: Mapping[str, Callable[[X509Case, Surroundings], Words]] = {
    "form": _form,
    "spiffe-id": _spiffe_id,
    "leaf-basic-constraints": _basic_constraints,
    "leaf-key-usage": _key_usage,
    "leaf-extended-key-usage": _extended_key_usage,
    "leaf-subject": _subject,
    "leaf-critical-extensions": _critical_extensions,
    "leaf-key": _leaf_key,
    "trust-domain": _trust_domain,
    "bundle": _bundle,
    "times": _times,
    "chain": _chain,
}
