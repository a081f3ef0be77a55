"""Makes SVIDs and CAs for tests, sound ones by default and broken ones on demand.

Everything is made with `cryptography` and `joserfc` alone, and nothing here imports `bridge`: what the
service reads was written by somebody else. Keys are made once a process, since only their kind matters.

    root = CertificateAuthority.root("example.org")
    leaf = root.issue(leaf_spec("spiffe://example.org/ns/a/sa/b"))
    leaf.chain            # DER, leaf first
    signer = JwtAuthoritySigner.make("k1")
    signer.svid(sub="spiffe://example.org/ns/a/sa/b", aud="https://as.example", exp=now + 300)
"""

from __future__ import annotations

import base64
import datetime
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

NOW = 1_800_000_000  # 15 January 2027; the tests' clock
HOUR = 3600
DAY = 24 * HOUR

_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P-192": ec.SECP192R1,
    "P-224": ec.SECP224R1,
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}


@functools.cache
def key_pair(kind: str = "P-256", name: str = "") -> CertificateIssuerPrivateKeyTypes:
    """A private key of a kind: a curve, `RSA-<bits>` or `Ed25519`. Equal arguments give the same key."""
    if kind.startswith("RSA-"):
        return rsa.generate_private_key(65537, int(kind[4:]))
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[kind]())


def at(epoch: int) -> datetime.datetime:
    """Epoch seconds as the library wants them."""
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC)


def name(common_name: str | None) -> x509.Name:
    """A subject; None makes the empty one."""
    if common_name is None:
        return x509.Name([])
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SPIRE"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def key_usage(*bits: str) -> x509.KeyUsage:
    """A key usage with exactly these bits set."""
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    assert set(bits) <= set(every)
    return x509.KeyUsage(**{bit: bit in bits for bit in every})


def uri(*values: str) -> list[x509.GeneralName]:
    """URI names, taken as they are: the library's own check of them is passed by."""
    return [x509.UniformResourceIdentifier._init_without_validation(value) for value in values]


Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True)
class CertificateSpec:
    """What a certificate is to say. `extensions` are pairs of value and criticality, in order.

    Change one thing with `without`, `replacing` or `dataclasses.replace`: tests of refusals differ
    from their accepted twin in one line.
    """

    common_name: str | None = "leaf"
    key: CertificateIssuerPrivateKeyTypes = field(default_factory=lambda: key_pair("P-256", "leaf"))
    not_before: int = NOW - HOUR
    not_after: int = NOW + HOUR
    extensions: tuple[Extension, ...] = ()
    hash_algorithm: hashes.HashAlgorithm | None = field(default_factory=hashes.SHA256)
    key_identifiers: bool = True

    def without(self, *kinds: type[x509.ExtensionType]) -> CertificateSpec:
        """The same without extensions of these kinds."""
        return replace(self, extensions=tuple(e for e in self.extensions if not isinstance(e[0], kinds)))

    def replacing(self, extension: x509.ExtensionType, critical: bool) -> CertificateSpec:
        """The same with this extension instead of the one of its kind, or added."""
        kept = self.without(type(extension))
        return replace(kept, extensions=(*kept.extensions, (extension, critical)))

    def adding(self, extension: x509.ExtensionType, critical: bool = False) -> CertificateSpec:
        """The same with one more extension."""
        return replace(self, extensions=(*self.extensions, (extension, critical)))


def leaf_spec(spiffe_id: str, *more_names: x509.GeneralName, **changes: Any) -> CertificateSpec:
    """A sound X.509-SVID as SPIRE makes them."""
    spec = CertificateSpec(
        extensions=(
            (key_usage("digital_signature", "key_encipherment", "key_agreement"), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectAlternativeName([*uri(spiffe_id), *more_names]), False),
        )
    )
    return replace(spec, **changes)


def ca_spec(trust_domain: str, **changes: Any) -> CertificateSpec:
    """A sound CA certificate as SPIRE makes them, with the trust domain's own ID."""
    spec = CertificateSpec(
        common_name=f"CA of {trust_domain}",
        key=key_pair("P-256", f"ca {trust_domain}"),
        not_before=NOW - DAY,
        not_after=NOW + DAY,
        extensions=(
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (key_usage("key_cert_sign", "crl_sign"), True),
            (x509.SubjectAlternativeName(uri(f"spiffe://{trust_domain}")), False),
        ),
    )
    return replace(spec, **changes)


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and the intermediates that lead towards the root (not the root)."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate's DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER, leaf first, as a TLS peer sends it."""
        return (self.der, *(c.public_bytes(serialization.Encoding.DER) for c in self.intermediates))

    @property
    def chain_pem(self) -> bytes:
        """The chain as PEM."""
        certificates = (self.certificate, *self.intermediates)
        return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS#8 PEM, without a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def sign(spec: CertificateSpec, issuer: CertificateAuthority | None) -> x509.Certificate:
    """Make the certificate; without an issuer it signs itself."""
    signer = spec.key if issuer is None else issuer.key
    issuer_name = name(spec.common_name) if issuer is None else issuer.certificate.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(spec.common_name))
        .issuer_name(issuer_name)
        .public_key(spec.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at(spec.not_before))
        .not_valid_after(at(spec.not_after))
    )
    for extension, critical in spec.extensions:
        builder = builder.add_extension(extension, critical)
    if spec.key_identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(spec.key.public_key()), False)
        if issuer is not None:
            authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
            builder = builder.add_extension(authority, False)
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else spec.hash_algorithm
    return builder.sign(signer, digest)


@dataclass(frozen=True)
class CertificateAuthority(Issued):
    """A CA: a certificate that signs others."""

    @classmethod
    def root(cls, trust_domain: str, spec: CertificateSpec | None = None) -> CertificateAuthority:
        """A self-signed CA."""
        spec = spec or ca_spec(trust_domain)
        return cls(sign(spec, None), spec.key)

    def intermediate(self, trust_domain: str, spec: CertificateSpec | None = None) -> CertificateAuthority:
        """A CA under this one. Its leaves carry it, and those between it and the root, in their chain."""
        depth = len(self._above()) + 1
        spec = spec or ca_spec(
            trust_domain,
            common_name=f"Intermediate {depth} of {trust_domain}",
            key=key_pair("P-256", f"intermediate {depth} {trust_domain}"),
        )
        certificate = sign(spec, self)
        return CertificateAuthority(certificate, spec.key, self._above())

    def issue(self, spec: CertificateSpec) -> Issued:
        """Sign a leaf."""
        return Issued(sign(spec, self), spec.key, self._above())

    def _above(self) -> tuple[x509.Certificate, ...]:
        if self.certificate.issuer == self.certificate.subject and not self.intermediates:
            return ()
        return (self.certificate, *self.intermediates)


def b64url(value: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def compact(header: object, payload: object, signature: bytes = b"signature") -> str:
    """Any three segments, joined: objects become JSON, bytes stay as they are."""
    segments = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join(b64url(part) for part in (*segments, signature))


@functools.cache
def jose_key(kind: str = "P-256", name: str = "") -> ECKey | RSAKey:
    """A private JOSE key of a kind: a curve or `RSA-<bits>`. Equal arguments give the same key."""
    if kind.startswith("RSA-"):
        return RSAKey.generate_key(int(kind[4:]))
    return ECKey.generate_key(kind)


_DEFAULT_ALG = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_ANY = jws.JWSRegistry(
    algorithms=["HS256", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"],
    strict_check_header=False,
)


def sign_compact(header: Mapping[str, object], payload: bytes, key: ECKey | RSAKey, alg: str) -> str:
    """A JWS whose header and payload are taken as they are: signed with `alg` whatever the header says."""
    signed = f"{b64url(json.dumps(dict(header)).encode())}.{b64url(payload)}"
    return f"{signed}.{b64url(_ANY.get_alg(alg).sign(signed.encode(), key))}"


@dataclass(frozen=True)
class JwtAuthoritySigner:
    """A key that signs JWT-SVIDs, and its place in a bundle."""

    kid: str
    key: ECKey | RSAKey
    alg: str

    @classmethod
    def make(cls, kid: str, kind: str = "P-256", alg: str | None = None) -> JwtAuthoritySigner:
        """A key by that name. Another `kid` gives another key."""
        return cls(kid, jose_key(kind, kid), alg or _DEFAULT_ALG.get(kind, "RS256"))

    def jwk(self, **members: object) -> dict[str, object]:
        """The public JWK as a bundle has it; None leaves a member out."""
        public: dict[str, object] = {**self.key.as_dict(private=False), "kid": self.kid, "use": "jwt-svid", **members}
        return {member: value for member, value in public.items() if value is not None}

    def svid(self, *, header: Mapping[str, object] | None = None, alg: str | None = None, **claims: object) -> str:
        """A JWT over these claims; None leaves a claim out. `header` members replace the sound ones."""
        alg = alg or self.alg
        full: dict[str, object] = {"alg": alg, "kid": self.kid, "typ": "JWT", **(header or {})}
        full = {member: value for member, value in full.items() if value is not None}
        said = {claim: value for claim, value in claims.items() if value is not None}
        return sign_compact(full, json.dumps(said).encode(), self.key, alg)


def bundle_document(
    x509_authorities: Iterable[Issued] = (),
    jwt_authorities: Sequence[JwtAuthoritySigner] = (),
    *,
    sequence: int | None = 1,
    refresh_hint: int | None = None,
) -> str:
    """A SPIFFE bundle as JSON text (Trust Domain and Bundle, section 4)."""
    keys: list[dict[str, object]] = []
    for authority in x509_authorities:
        public = authority.key.public_key()
        key_type = ECKey if isinstance(public, ec.EllipticCurvePublicKey) else RSAKey
        jwk: dict[str, object] = dict(key_type.import_key(public).as_dict(private=False))
        keys.append({**jwk, "use": "x509-svid", "x5c": [base64.b64encode(authority.der).decode()]})
    keys += [signer.jwk() for signer in jwt_authorities]
    document: dict[str, object] = {"keys": keys}
    if sequence is not None:
        document["spiffe_sequence"] = sequence
    if refresh_hint is not None:
        document["spiffe_refresh_hint"] = refresh_hint
    return json.dumps(document)
