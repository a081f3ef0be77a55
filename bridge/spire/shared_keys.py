"""Which trust domains hold one and the same key: a key that vouches for two of them keeps neither apart.

Compared is key material, whatever it is used for and whatever stands around it: the public key of a CA's
certificate, and a JWT key, by their RFC 7638 thumbprints. One certificate made anew over an old key, one key under
two `kid`s, and a CA key that signs another trust domain's JWT-SVIDs are all the same key.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bridge.jose import base64url
from bridge.model.bundle import JwtAuthority, SharedKey, TrustBundle
from bridge.model.spiffe_id import TrustDomain

_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
# A `kid` is the other side's text and may be of any length; so much of it is shown.
_MAX_KID_SHOWN = 64


def thumbprints(bundle: TrustBundle) -> dict[str, str]:
    """A bundle's keys by RFC 7638 SHA-256 thumbprint, each with what `bridge trust show` calls it.

    Keys of other types than EC and RSA go by a hash of their SubjectPublicKeyInfo, and what cannot be read by a hash
    of its bytes. JWT keys are taken as they are spelled: another spelling of a key's numbers than the canonical one
    verifies nothing anywhere, so it shares nothing. Not looked at: whether one trust domain's CA signed another's.
    """
    found: dict[str, str] = {}
    for der in bundle.x509_authorities:
        found.setdefault(_of_certificate(der), x509_name(hashlib.sha256(der).hexdigest()))
    for key in bundle.jwt_authorities:
        found.setdefault(_of_jwk(key), jwt_name(key.key_id))
    return found


def x509_name(fingerprint: str) -> str:
    """What a CA's key is called: by the hex SHA-256 of its certificate."""
    return f"x509 {fingerprint}"


def jwt_name(key_id: str) -> str:
    """What a JWT key is called: by its `kid`, or the beginning of it, in printable characters."""
    return f"jwt {json.dumps(key_id[:_MAX_KID_SHOWN])}"


def _of_certificate(der: bytes) -> str:
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return _hash(der)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        point, size = key.public_numbers(), (key.key_size + 7) // 8
        coordinates = {"x": point.x.to_bytes(size, "big"), "y": point.y.to_bytes(size, "big")}
        return _of_members({"kty": "EC", "crv": _CURVES[key.curve.name], **_encoded(coordinates)})
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return _of_members({"kty": "RSA", **_encoded({"n": _octets(numbers.n), "e": _octets(numbers.e)})})
    return _hash(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _of_jwk(key: JwtAuthority) -> str:
    jwk = json.loads(key.jwk)
    members = _MEMBERS.get(str(jwk.get("kty")))
    if members is None or not all(isinstance(jwk.get(name), str) for name in members):
        return _hash(key.jwk.encode())
    return _of_members({name: jwk[name] for name in members})


def _of_members(members: dict[str, str]) -> str:
    return _hash(json.dumps(members, sort_keys=True, separators=(",", ":")).encode())


def _encoded(numbers: dict[str, bytes]) -> dict[str, str]:
    return {name: base64url.encode(octets) for name, octets in numbers.items()}


def _octets(number: int) -> bytes:
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


def _hash(data: bytes) -> str:
    return base64url.encode(hashlib.sha256(data).digest())


@dataclass(frozen=True, slots=True)
class _Holding:
    """What a trust domain's bundle calls the key, and in which turn it came by it; 0: it had it when its bundle was
    first read, and nobody here knows for how long."""

    called: str
    turn: int


@dataclass(slots=True)
class _Holders:
    """Who holds one key; `names` in order, so that every process names the same two first: to the first the second is
    named, and to all others the first."""

    by_name: dict[str, _Holding] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def put(self, name: str, holding: _Holding) -> None:
        if name not in self.by_name:
            insort(self.names, name)
        self.by_name[name] = holding

    def concerned(self, name: str) -> list[str]:
        """To whom this one is named, more or less."""
        return self.names if name in self.names[:2] else []

    def drop(self, name: str) -> None:
        del self.by_name[name]
        del self.names[bisect_left(self.names, name)]


class SharedKeys:
    """Every key of every bundle in force, and whose it is. Not thread-safe: it belongs to whoever has the bundles.

    A change of one bundle costs its own keys, and a word with each trust domain that shares one of them.
    """

    def __init__(self) -> None:
        self._holders: dict[str, _Holders] = {}
        self._held: dict[str, dict[str, str]] = {}
        self._turns = itertools.count(1)

    def hold(self, bundle: TrustBundle) -> set[TrustDomain]:
        """These are the trust domain's keys now, and no others. The other trust domains that share, or shared, one of
        the keys that came or went: `shared_by` may say something else of them than before."""
        name, touched = bundle.trust_domain.name, set[str]()
        before, after = self._held.get(name), thumbprints(bundle)
        turn = 0 if before is None else next(self._turns)
        self._held[name] = after
        for key in (before or {}).keys() - after.keys():
            holders = self._holders[key]
            touched.update(holders.concerned(name))
            holders.drop(name)
            if not holders.names:
                del self._holders[key]
        for key, called in after.items():
            holders = self._holders.setdefault(key, _Holders())
            known = holders.by_name.get(name)
            if known is None or known.called != called:
                holders.put(name, _Holding(called, turn if known is None else known.turn))
                touched.update(holders.concerned(name))
        touched.discard(name)
        return {TrustDomain(one) for one in touched}

    def shared_by(self, trust_domain: TrustDomain) -> SharedKey | None:
        """A key of this trust domain that another one holds too: of several the one whose thumbprint is first, and
        the trust domain whose name is; None when all of its keys are its own."""
        name = trust_domain.name
        shared = sorted(key for key in self._held.get(name, ()) if len(self._holders[key].names) > 1)
        if not shared:
            return None
        holders = self._holders[shared[0]]
        other = holders.names[1 if holders.names[0] == name else 0]
        here, there = holders.by_name[name], holders.by_name[other]
        last = None if here.turn == there.turn else TrustDomain(name if here.turn > there.turn else other)
        return SharedKey(shared[0], TrustDomain(other), here.called, there.called, last, len(shared))
