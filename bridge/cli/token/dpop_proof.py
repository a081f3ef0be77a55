"""The client's side of DPoP (RFC 9449 section 4.2): a key in a file, and proofs made with it."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bridge.cli.options import Failure
from bridge.files.paths import create_secret, read_secret
from bridge.jose import base64url, strict_json

_COORDINATE_BYTES = 32


def key_in(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of a PEM file, made now (0600) if there is none.

    Raises: StartRefused when others may read it, Failure when it holds something else.
    """
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        create_secret(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        key = load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError) as error:
        raise Failure(f"{path}: holds no unencrypted private key in PEM; name a new file to make one") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Failure(f"{path}: holds a key that is not on P-256; name a new file to make one")
    return key


def proof(key: ec.EllipticCurvePrivateKey, url: str, *, jti: str, now: int, nonce: str | None) -> str:
    """A proof for one POST to `url`. `jti` must be new each time; `nonce` is what the server gave, if it did."""
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": _octets(numbers.x), "y": _octets(numbers.y)}
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
    claims: dict[str, object] = {"jti": jti, "htm": "POST", "htu": url, "iat": now}
    if nonce is not None:
        claims["nonce"] = nonce
    signed = f"{base64url.encode(strict_json.dumps(header))}.{base64url.encode(strict_json.dumps(claims))}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{base64url.encode(r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES))}"


def _octets(number: int) -> str:
    return base64url.encode(number.to_bytes(_COORDINATE_BYTES))
