"""The client's side of DPoP (RFC 9449 section 4.2): a key in a file, and proofs made with it."""

from __future__ import annotations

from pathlib import Path

from bridge.cli.options import Failure
from bridge.files.paths import create_secret, read_secret
from bridge.jose.keys import SigningKey, UnfitKey

_ALG = "ES256"
_NOT_KEY_MATERIAL = ("kid", "alg", "use")


def key_in(path: Path) -> SigningKey:
    """The key of that file, made now (P-256, 0600) if there is none.

    Raises: StartRefused when others may read it, Failure when it holds no private JWK.
    """
    if not path.exists():
        create_secret(path, SigningKey.generate(_ALG).private_json() + b"\n")
    try:
        return SigningKey.from_private_json(read_secret(path))
    except (UnfitKey, ValueError) as error:
        raise Failure(f"{path}: holds no private JWK with kid and alg: {error}; name a new file to make one") from error


def proof(key: SigningKey, url: str, *, jti: str, now: int, nonce: str | None) -> str:
    """A proof for one POST to `url`. `jti` must be new each time; `nonce` is what the server gave, if it did."""
    public = {name: value for name, value in key.public_jwk().items() if name not in _NOT_KEY_MATERIAL}
    header = {"typ": "dpop+jwt", "alg": key.alg, "jwk": public}
    claims: dict[str, object] = {"jti": jti, "htm": "POST", "htu": url, "iat": now}
    if nonce is not None:
        claims["nonce"] = nonce
    return key.sign(header, claims)
