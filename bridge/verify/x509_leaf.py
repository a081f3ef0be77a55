"""What a leaf certificate must say to be an X.509-SVID (X509-SVID sections 2 to 5, SCA-16).

Path validation knows none of this: a CA may have signed a leaf that is no identity document. Each rule is
a function of its own, named in `RULES`, so that a command can tell which one a certificate breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from bridge.jose.key_policy import UnfitKey, check_public_key
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId

# Everything the library raises for a certificate whose inside is not what it should be. It parses late, so
# reading any attribute for the first time can raise one of these, and four of them are no ValueError.
MALFORMED = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)

_UNDERSTOOD = frozenset({ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.KEY_USAGE, ExtensionOID.BASIC_CONSTRAINTS})


def validity(certificate: x509.Certificate) -> tuple[int, int]:
    """The first and the last second (epoch) of a certificate. Raises: MALFORMED."""
    return int(certificate.not_valid_before_utc.timestamp()), int(certificate.not_valid_after_utc.timestamp())


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the rules look at in a leaf certificate, parsed and not trusted. `begin` and `end` are the
    first and the last second (epoch) at which it is valid (RFC 5280 section 4.1.2.5)."""

    certificate: x509.Certificate
    extensions: x509.Extensions
    subject: x509.Name
    issuer: x509.Name
    begin: int
    end: int

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Leaf:
        """Read everything now that the rules will need. Raises: EvidenceRejected."""
        try:
            begin, end = validity(certificate)
            return cls(certificate, certificate.extensions, certificate.subject, certificate.issuer, begin, end)
        except MALFORMED as error:
            raise EvidenceRejected(Reason.CREDENTIAL_MALFORMED, "the leaf cannot be read") from error

    def get(self, kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType] | None:
        """The extension of that kind, if the leaf has it. A leaf never has two."""
        try:
            return self.extensions.get_extension_for_class(kind)
        except x509.ExtensionNotFound:
            return None


def _refuse(detail: str) -> EvidenceRejected:
    return EvidenceRejected(Reason.X509_LEAF, detail)


def uris_of(leaf: Leaf) -> list[str]:
    """The URIs among the leaf's names, as raw text."""
    extension = leaf.get(x509.SubjectAlternativeName)
    names = extension.value if extension is not None else ()
    assert isinstance(names, (x509.SubjectAlternativeName, tuple))
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]


def spiffe_id_of(leaf: Leaf) -> SpiffeId:
    """The one URI among the leaf's names, as SPIFFE ID of a workload, from its raw text.

    Other kinds of name may stand beside it (SPIFFE-5). Raises: EvidenceRejected for none or several URIs
    (SPIFFE-4, SCA-16) and for a URI that is not a workload's SPIFFE ID (SPIFFE-7).
    """
    uris = uris_of(leaf)
    if len(uris) != 1:
        raise _refuse(f"the leaf has {len(uris)} URI names; an SVID has exactly one")
    try:
        return SpiffeId.parse_workload(uris[0])
    except InvalidSpiffeId as error:
        raise EvidenceRejected(Reason.SPIFFE_ID_INVALID, str(error)) from error


def is_no_ca(leaf: Leaf) -> None:
    """Basic constraints, where present, say that the leaf signs nothing (SPIFFE-6)."""
    extension = leaf.get(x509.BasicConstraints)
    if extension is not None and isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
        raise _refuse("the leaf is a CA certificate")


def may_sign_only_data(leaf: Leaf) -> None:
    """Key usage is present, has `digitalSignature`, and neither `keyCertSign` nor `cRLSign` (SPIFFE-6, 8).

    Not checked: that the extension is marked critical, which is a rule for who issues.
    """
    extension = leaf.get(x509.KeyUsage)
    if extension is None or not isinstance(extension.value, x509.KeyUsage):
        raise _refuse("the leaf has no key usage")
    if not extension.value.digital_signature:
        raise _refuse("the leaf's key usage lacks digitalSignature")
    if extension.value.key_cert_sign or extension.value.crl_sign:
        raise _refuse("the leaf's key usage has keyCertSign or cRLSign")


def may_be_a_client(leaf: Leaf) -> None:
    """Extended key usage, where present, holds `clientAuth` by name (SPIFFE-9) and is not critical."""
    extension = leaf.get(x509.ExtendedKeyUsage)
    if extension is None:
        return
    assert isinstance(extension.value, x509.ExtendedKeyUsage)
    if ExtendedKeyUsageOID.CLIENT_AUTH not in extension.value:
        raise _refuse("the leaf's extended key usage lacks clientAuth")
    if extension.critical:
        raise _refuse("the leaf's extended key usage is critical")


def has_a_name(leaf: Leaf) -> None:
    """A leaf with an empty subject marks its names as critical (RFC 5280 section 4.2.1.6)."""
    extension = leaf.get(x509.SubjectAlternativeName)
    if not list(leaf.subject) and (extension is None or not extension.critical):
        raise _refuse("the leaf's subject is empty and its names are not critical")


def asks_nothing_unknown(leaf: Leaf) -> None:
    """Every critical extension is one that these rules process (RFC 5280 section 4.2)."""
    for extension in leaf.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD and extension.oid != ExtensionOID.EXTENDED_KEY_USAGE:
            raise _refuse(f"the leaf has a critical extension that is not processed: {extension.oid.dotted_string}")


def has_a_fit_key(leaf: Leaf) -> None:
    """The leaf's key passes the key policy (T-16)."""
    try:
        check_public_key(leaf.certificate.public_key())
    except UnfitKey as error:
        raise EvidenceRejected(Reason.X509_KEY, f"the leaf: {error}") from error
    except MALFORMED as error:
        raise EvidenceRejected(Reason.X509_KEY, "the leaf's key cannot be read") from error


RULES: tuple[tuple[str, Callable[[Leaf], None]], ...] = (
    ("basic-constraints", is_no_ca),
    ("key-usage", may_sign_only_data),
    ("extended-key-usage", may_be_a_client),
    ("subject", has_a_name),
    ("critical-extensions", asks_nothing_unknown),
    ("key", has_a_fit_key),
)
