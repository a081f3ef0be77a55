"""A private web CA: TLS server certificates for the demo, the tests and the lab's bundle endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from bridge.lab.x509 import BACKDATE, CertificateAuthority, Profile, certify, private_pem, root_profile

_LIFE = 30 * 24 * 3600


class WebCa:
    """A CA of thirty days from `now` (epoch seconds). It has nothing to do with any trust domain."""

    def __init__(self, *, now: int) -> None:
        self._now = now
        key = ec.generate_private_key(ec.SECP256R1())
        profile = root_profile(None, not_before=now - BACKDATE, not_after=now + _LIFE)
        self._ca = CertificateAuthority(certify(None, key, profile), key)

    @property
    def certificate_pem(self) -> bytes:
        """What clients must trust (`curl --cacert`, `ca_file`)."""
        return self._ca.pem

    def issue(self, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        """A server's certificate and private key, PEM, for these host names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        profile = Profile(
            subject=f"CN={hosts[0]}",
            not_before=self._now - BACKDATE,
            not_after=self._now + _LIFE,
            dns_names=tuple(host for host in hosts if not _is_address(host)),
            addresses=tuple(host for host in hosts if _is_address(host)),
            usages=frozenset({"digital_signature"}),
            extended=(ExtendedKeyUsageOID.SERVER_AUTH,),
        )
        return CertificateAuthority(certify(self._ca, key, profile), key).pem, private_pem(key)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
