"""The keys of a bundle in words, and all of them in one short digest: for comparing out of band."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from bridge.jose import base64url
from bridge.model.bundle import TrustBundle
from bridge.model.times import rfc3339
from bridge.spire.book import fingerprint

_DIGEST_DIGITS = 32
# A subject is the other side's text and may be as long as a bundle; so much of it is shown.
_MAX_SUBJECT_SHOWN = 200
# What thumbprints are over, of both types of keys (RFC 7638 section 3.2); a bundle that was read has no others there.
_REQUIRED_MEMBERS = ("crv", "e", "kty", "n", "x", "y")


def describe_keys(bundle: TrustBundle) -> list[dict[str, str | None]]:
    """One entry for each key: its `use`, its `id` (of a CA the hex SHA-256 of its certificate, of a JWT key its
    `kid`), its `type`, what a CA's certificate says of itself, of a CA the `key_id`, which is SPIRE's authority id, and
    of a JWT key the `thumbprint` (RFC 7638), since anybody can give a key any name."""
    keys = [_authority(der) for der in bundle.x509_authorities]
    for authority in bundle.jwt_authorities:
        jwk = json.loads(authority.jwk)
        kind = f"{jwk.get('kty')} {jwk.get('crv', '')}".strip()
        nothing = {"from": None, "until": None, "subject": None}
        entry = {"use": "jwt-svid", "id": authority.key_id, "key_id": None, "type": kind, **nothing}
        keys.append({**entry, "thumbprint": _thumbprint(jwk)})
    return keys


def x509_until(bundle: TrustBundle) -> int | None:
    """Until when the last of its X.509 authorities holds (epoch seconds). None: there is none that can be read."""
    last = last_x509(bundle)
    return None if last is None else last[0]


def last_x509(bundle: TrustBundle) -> tuple[int, int] | None:
    """When the X.509 authority ends that ends last (epoch seconds), and how long it lives altogether (seconds)."""
    ends = []
    for der in bundle.x509_authorities:
        try:
            certificate = x509.load_der_x509_certificate(der)
            since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            ends.append((int(until.timestamp()), int((until - since).total_seconds())))
        except ValueError:
            continue
    return max(ends, default=None)


def digest_of(bundle: TrustBundle) -> str:
    """All keys of a bundle in 128 bits, to be read over the phone: hex digits in groups of four.

    The first half of the SHA-256 over one line for each key, sorted, each with its newline: `x509-svid` and the hex
    SHA-256 of the certificate, or `jwt-svid`, the thumbprint (RFC 7638) and the `kid` as a JSON string. The order of
    the keys, the sequence and the refresh hint do not matter. Whoever wants another bundle to have the same digest
    has to try 2^128 of them.
    """
    lines = {f"x509-svid {fingerprint(der)}\n" for der in bundle.x509_authorities}
    for key in bundle.jwt_authorities:
        lines.add(f"jwt-svid {_thumbprint(json.loads(key.jwk))} {json.dumps(key.key_id)}\n")
    digits = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()[:_DIGEST_DIGITS]
    return "-".join(digits[at : at + 4] for at in range(0, _DIGEST_DIGITS, 4))


def read_digest(text: str) -> str | None:
    """A digest as somebody typed it, in the spelling of `digest_of`: groups and case as they like. None: it is none,
    or not a whole one."""
    digits = re.sub(r"[\s:-]", "", text).lower()
    if re.fullmatch(rf"[0-9a-f]{{{_DIGEST_DIGITS}}}", digits) is None:
        return None
    return "-".join(digits[at : at + 4] for at in range(0, _DIGEST_DIGITS, 4))


def _thumbprint(jwk: Mapping[str, object]) -> str:
    """RFC 7638. Of a key that lacks a member, over those that it has."""
    members = {name: jwk[name] for name in _REQUIRED_MEMBERS if name in jwk}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64url.encode(hashlib.sha256(text.encode()).digest())


def _authority(der: bytes) -> dict[str, str | None]:
    found: dict[str, str | None] = {"use": "x509-svid", "id": fingerprint(der), "key_id": None, "thumbprint": None}
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        name = type(key).__name__.lower()
        kind = "EC" if "elliptic" in name or "ecp" in name else "RSA" if "rsa" in name else name
        size = getattr(key, "key_size", "")
        since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return {
            **found,
            "key_id": x509.SubjectKeyIdentifier.from_public_key(key).digest.hex(),
            "type": f"{kind} {size}".strip(),
            "from": rfc3339(int(since.timestamp())),
            "until": rfc3339(int(until.timestamp())),
            "subject": _shortened(certificate.subject.rfc4514_string()),
        }
    except (ValueError, UnsupportedAlgorithm):
        return {**found, "type": "unreadable", "from": None, "until": None, "subject": None}


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SUBJECT_SHOWN else f"{text[:_MAX_SUBJECT_SHOWN]}..."
