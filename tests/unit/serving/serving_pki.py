"""Certificates for the tests: an authority, what it issues, and TLS clients that trust it."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and the certificates between it and its authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    between: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def chain(self) -> tuple[bytes, ...]:
        return (self.der, *(each.public_bytes(Encoding.DER) for each in self.between))

    def chain_pem(self) -> bytes:
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.between))

    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, folder: Path) -> tuple[Path, Path]:
        """`server.pem` and `server.key` in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "server.pem").write_bytes(self.chain_pem())
        (folder / "server.key").write_bytes(self.key_pem())
        return folder / "server.pem", folder / "server.key"

    def issue(self, name: str, *, authority: bool = False, days: tuple[int, int] = (-1, 1)) -> Issued:
        """A certificate under this one, valid from and until so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        between = () if self.is_root() else (self.certificate, *self.between)
        return Issued(_sign(name, key, self.certificate.subject, self.key, authority, days), key, between)

    def is_root(self) -> bool:
        return self.certificate.subject == self.certificate.issuer


def _sign(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    authority: bool,
    days: tuple[int, int],
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def authority(name: str) -> Issued:
    """A self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Issued(_sign(name, key, None, key, True, (-30, 30)), key)


def client_context(trusted: Issued, identity: Issued | None, folder: Path) -> ssl.SSLContext:
    """A client's TLS context: trusts one authority, shows `identity` when it is asked."""
    context = ssl.create_default_context(cadata=trusted.der)
    if identity is not None:
        name = folder / f"{identity.certificate.serial_number}.pem"
        name.write_bytes(identity.chain_pem() + identity.key_pem())
        context.load_cert_chain(name)
    return context
