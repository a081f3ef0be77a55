"""Certificates as SPIRE issues them, and, by changing one field of a profile, as nobody should.

A `Profile` says everything about a certificate but its keys. The good ones come from `root_profile`,
`intermediate_profile` and `leaf_profile`; the broken ones are made from those by `dataclasses.replace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bridge.model.spiffe_id import SpiffeId

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

# SPIRE backdates by ten seconds, so that a verifier whose clock is a little behind takes a new SVID.
BACKDATE = 10

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_CA_USAGES = frozenset({"key_cert_sign", "crl_sign"})
_LEAF_USAGES = frozenset({"digital_signature", "key_encipherment", "key_agreement"})
# An arc under the example tree: no software knows it, so a verifier must refuse it where it is critical.
UNKNOWN_EXTENSION = x509.ObjectIdentifier("2.999.1")


@dataclass(frozen=True, slots=True)
class Profile:
    """All of a certificate but its keys. Times: epoch seconds.

    `ca` None leaves BasicConstraints out, `usages` None KeyUsage, `extended` None ExtendedKeyUsage. `is_numbered`: the
    certificate's serial number is in the subject too, so that no two have the same name, as SPIRE writes its CAs.
    """

    subject: str
    not_before: int
    not_after: int
    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ca: bool | None = False
    path_length: int | None = None
    usages: frozenset[str] | None = _LEAF_USAGES
    extended: tuple[x509.ObjectIdentifier, ...] | None = (
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    )
    unknown_critical: bool = False
    is_numbered: bool = False


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A certificate and the key that signs for it."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_id(self) -> bytes:
        """The subject key identifier, which its leaves name as their authority's."""
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


@dataclass(frozen=True, slots=True)
class X509Svid:
    """An X.509-SVID with its private key. `chain` is DER, leaf first, without the root; `key` PKCS#8 DER.

    Not checked: that it is a good one. Broken SVIDs come as this type too, and `spiffe_id` is then the
    identity that was asked for, which the certificate may not carry.
    """

    spiffe_id: SpiffeId
    chain: tuple[bytes, ...]
    key: bytes

    @property
    def leaf(self) -> x509.Certificate:
        """The first certificate, parsed."""
        return x509.load_der_x509_certificate(self.chain[0])

    @property
    def not_after(self) -> int:
        """When the leaf ends, epoch seconds."""
        return int(self.leaf.not_valid_after_utc.timestamp())

    @property
    def authority_key_id(self) -> bytes | None:
        """The key identifier of what signed the leaf."""
        return self.leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier

    def chain_pem(self) -> bytes:
        """The chain as PEM, leaf first."""
        certificates = (x509.load_der_x509_certificate(der) for der in self.chain)
        return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)

    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        return private_pem(serialization.load_der_private_key(self.key, None))

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write `svid.pem` (chain) and `svid.key` (0600) into a folder that is made if absent."""
        folder.mkdir(parents=True, exist_ok=True)
        chain, key = folder / "svid.pem", folder / "svid.key"
        chain.write_bytes(self.chain_pem())
        key.touch(mode=0o600)
        key.chmod(0o600)
        key.write_bytes(self.key_pem())
        return chain, key


def pkcs8(key: PrivateKey) -> bytes:
    """The private key as unencrypted PKCS#8 DER, the form the Workload API hands out."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def private_pem(key: PrivateKeyTypes) -> bytes:
    """The private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(text: str) -> x509.Name:
    """A subject from `C=US,O=SPIRE,CN=x`; an empty text is an empty name."""
    oids = {
        "C": NameOID.COUNTRY_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "CN": NameOID.COMMON_NAME,
        "serialNumber": NameOID.SERIAL_NUMBER,
    }
    pairs = (part.split("=", 1) for part in text.split(",") if part)
    return x509.Name([x509.NameAttribute(oids[key], value) for key, value in pairs])


def root_profile(trust_domain_id: str | None, *, not_before: int, not_after: int) -> Profile:
    """A root. SPIRE's self-signed CA carries the trust domain's ID, an upstream root need not."""
    return Profile(
        subject="O=lab,CN=upstream root" if trust_domain_id is None else "C=US,O=SPIFFE",
        not_before=not_before,
        not_after=not_after,
        uris=() if trust_domain_id is None else (trust_domain_id,),
        ca=True,
        usages=_CA_USAGES,
        extended=None,
        is_numbered=trust_domain_id is not None,
    )


def intermediate_profile(trust_domain_id: str, *, not_before: int, not_after: int) -> Profile:
    """A signing certificate below an upstream root: the trust domain's ID, no path length, no EKU."""
    return Profile(
        subject="C=US,O=SPIFFE",
        not_before=not_before,
        not_after=not_after,
        uris=(trust_domain_id,),
        ca=True,
        usages=_CA_USAGES,
        extended=None,
        is_numbered=True,
    )


def leaf_profile(spiffe_id: str, *, dns_names: tuple[str, ...] = (), not_before: int, not_after: int) -> Profile:
    """A workload's leaf as SPIRE 1.15 makes it (X509-SVID sections 2 to 4)."""
    return Profile(
        subject="C=US,O=SPIRE" + (f",CN={dns_names[0]}" if dns_names else ""),
        not_before=not_before,
        not_after=not_after,
        uris=(spiffe_id,),
        dns_names=dns_names,
    )


def certify(issuer: CertificateAuthority | None, key: PrivateKey, profile: Profile) -> x509.Certificate:
    """Sign a certificate for `key`; without an issuer it signs itself.

    Not checked: anything. That is the point: a profile may be as broken as a test needs it.
    """
    number = x509.random_serial_number()
    subject = _name(profile.subject + (f",serialNumber={number}" if profile.is_numbered else ""))
    signer = key if issuer is None else issuer.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(datetime.fromtimestamp(profile.not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(profile.not_after, UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension, critical in _extensions(profile):
        builder = builder.add_extension(extension, critical=critical)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm)


def _extensions(profile: Profile) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if profile.ca is not None:
        found.append((x509.BasicConstraints(ca=profile.ca, path_length=profile.path_length), True))
    if profile.usages is not None:
        flags = {usage: usage in profile.usages for usage in _USAGES}
        found.append((x509.KeyUsage(**flags, encipher_only=False, decipher_only=False), True))
    if profile.extended is not None:
        found.append((x509.ExtendedKeyUsage(profile.extended), False))
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in profile.uris]
    names += [x509.DNSName(name) for name in profile.dns_names]
    names += [x509.IPAddress(ip_address(address)) for address in profile.addresses]
    if names:
        # RFC 5280 4.2.1.6: with an empty subject the alternative name must be critical.
        found.append((x509.SubjectAlternativeName(names), not profile.subject))
    if profile.unknown_critical:
        found.append((x509.UnrecognizedExtension(UNKNOWN_EXTENSION, b"\x05\x00"), True))
    return found
