"""JWT signing by the lab's own hand, with nothing but `cryptography`.

The service verifies through joserfc. If the lab signed through the same module, one mistake could hide on
both sides; and no library would make the tokens that tests need most, the ones nobody should accept.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
_CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def encode(raw: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The reverse of `encode`."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_json(value: object) -> bytes:
    """JSON without blanks, as tokens carry it."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class JwtKey:
    """A key that signs JWT-SVIDs with one algorithm (RFC 7518 3.3 to 3.5)."""

    kid: str
    alg: str
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @classmethod
    def generate(cls, alg: str, *, kid: str | None = None) -> JwtKey:
        """A new key. `alg` is one of the nine; RSA keys have 2048 bits. SPIRE's `kid` has 32 characters."""
        kid = secrets.token_hex(16) if kid is None else kid
        if alg.startswith("ES"):
            return cls(kid, alg, ec.generate_private_key(_CURVES[alg]))
        if alg[:2] not in {"RS", "PS"}:
            raise ValueError(f"{alg} is none of the algorithms of JWT-SVIDs")
        return cls(kid, alg, rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def public_jwk(self) -> dict[str, str]:
        """The members SPIRE publishes: `kid` and the key, no `use`, no `alg`."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            numbers = self.key.public_key().public_numbers()
            return {"kty": "RSA", "kid": self.kid, "n": _number(numbers.n), "e": _number(numbers.e)}
        point = self.key.public_key().public_numbers()
        size = (self.key.curve.key_size + 7) // 8
        return {
            "kty": "EC",
            "kid": self.kid,
            "crv": _CURVE_NAMES[self.key.curve.name],
            "x": encode(point.x.to_bytes(size, "big")),
            "y": encode(point.y.to_bytes(size, "big")),
        }

    def sign(self, header: Mapping[str, object], payload: bytes) -> str:
        """A compact JWS over exactly these bytes; `header` is taken as it is."""
        signing_input = f"{encode(to_json(dict(header)))}.{encode(payload)}"
        return f"{signing_input}.{encode(self.signature(signing_input.encode()))}"

    def signature(self, signing_input: bytes) -> bytes:
        """The signature alone, in JWS form."""
        algorithm = _HASHES[self.alg[2:]]()
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(signing_input, _padding(self.alg), algorithm)
        size = (self.key.curve.key_size + 7) // 8
        r, s = decode_dss_signature(self.key.sign(signing_input, ec.ECDSA(algorithm)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def holds(self, signing_input: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `signing_input`."""
        algorithm = _HASHES[self.alg[2:]]()
        try:
            if isinstance(self.key, rsa.RSAPrivateKey):
                self.key.public_key().verify(signature, signing_input, _padding(self.alg), algorithm)
            else:
                half = len(signature) // 2
                r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
                self.key.public_key().verify(encode_dss_signature(r, s), signing_input, ec.ECDSA(algorithm))
        except InvalidSignature:
            return False
        return True


def _number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _padding(alg: str) -> padding.AsymmetricPadding:
    if alg.startswith("PS"):
        return padding.PSS(mgf=padding.MGF1(_HASHES[alg[2:]]()), salt_length=padding.PSS.DIGEST_LENGTH)
    return padding.PKCS1v15()
