"""The keys of a bundle in words: what `bridge trust show` lists, for comparing out of band."""

from __future__ import annotations

import json

from cryptography import x509

from bridge.cli.output import timestamp
from bridge.model.bundle import TrustBundle
from bridge.spire.book import fingerprint


def describe_keys(bundle: TrustBundle) -> list[dict[str, str | None]]:
    """One entry for each key: its `use`, its `id` (of a CA the hex SHA-256 of its certificate, of a JWT key its
    `kid`), its `type`, and what a CA's certificate says of itself."""
    keys = [_authority(der) for der in bundle.x509_authorities]
    for authority in bundle.jwt_authorities:
        jwk = json.loads(authority.jwk)
        kind = f"{jwk.get('kty')} {jwk.get('crv', '')}".strip()
        nothing = {"from": None, "until": None, "subject": None}
        keys.append({"use": "jwt-svid", "id": authority.key_id, "type": kind, **nothing})
    return keys


def _authority(der: bytes) -> dict[str, str | None]:
    found: dict[str, str | None] = {"use": "x509-svid", "id": fingerprint(der)}
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        name = type(key).__name__.lower()
        kind = "EC" if "elliptic" in name or "ecp" in name else "RSA" if "rsa" in name else name
        size = getattr(key, "key_size", "")
        since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return {
            **found,
            "type": f"{kind} {size}".strip(),
            "from": timestamp(int(since.timestamp())),
            "until": timestamp(int(until.timestamp())),
            "subject": certificate.subject.rfc4514_string(),
        }
    except ValueError:
        return {**found, "type": "unreadable", "from": None, "until": None, "subject": None}
