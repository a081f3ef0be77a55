"""Keys as JWK (RFC 7517): those that verify, imported under one policy, and those that sign tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from bridge.jose import base64url, strict_json
from bridge.jose.algorithms import ALGORITHMS, CURVE_ALGORITHM, IMPLEMENTATIONS, RSA_ALGORITHMS
from bridge.jose.key_policy import MAX_RSA_BITS, UnfitKey, check_rsa

__all__ = ["SigningKey", "UnfitKey", "VerificationKey", "import_public"]

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
MAX_KID_LENGTH = 1024
_CANONICAL = frozenset({"kty", "crv", "x", "y", "n", "e"})
_MAX_PRIVATE_BYTES = 32 * 1024
_GENERATED_RSA_BITS = 2048
_COORDINATE_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}
_CURVE_OF = {algorithm: curve for curve, algorithm in CURVE_ALGORITHM.items()}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key that passed the key policy. `kid` is empty when it has none.

    `thumbprint` is the RFC 7638 SHA-256 thumbprint. Keys are imported from canonical numbers only, so
    two keys are the same if and only if their thumbprints are. Not known: whose key it is.
    """

    kid: str
    kty: str
    thumbprint: str
    algorithms: frozenset[str]
    native: ECKey | RSAKey = field(repr=False, compare=False)

    def fits(self, alg: str) -> bool:
        """Whether the key may verify signatures of that algorithm (SPIFFE-18): the type fits, and so does
        the key's own `alg` when it states one."""
        return alg in self.algorithms

    def public_members(self) -> dict[str, str]:
        """The key itself: the members that its thumbprint is over (RFC 7638 section 3.2), and no others."""
        return {name: str(value) for name, value in self.native.as_dict(private=False).items() if name in _CANONICAL}


def _member(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise UnfitKey(f"the member {name!r} is missing or not a string")
    return value


def _octets(jwk: Mapping[str, object], name: str, *, at_most: int) -> bytes:
    text = _member(jwk, name)
    if len(text) > at_most * 4 // 3 + 3:
        raise UnfitKey(f"the member {name!r} is too long")
    try:
        return base64url.decode(text)
    except base64url.InvalidBase64Url as error:
        raise UnfitKey(f"the member {name!r} is not canonical base64url") from error


def _number(jwk: Mapping[str, object], name: str, *, at_most: int) -> int:
    octets = _octets(jwk, name, at_most=at_most)
    if octets[:1] in (b"", b"\0"):
        # A second spelling of one number would be a second thumbprint of one key (RFC 7518 6.3.1.1).
        raise UnfitKey(f"the member {name!r} is empty or starts with a zero byte")
    return int.from_bytes(octets, "big")


def _check_stated(jwk: Mapping[str, object], use: str) -> None:
    """What the key says about its own purpose must agree with ours (RFC 7517 sections 4.2 to 4.5)."""
    if "use" in jwk and jwk["use"] != use:
        raise UnfitKey(f"the key is stated for another use than {use!r}")
    if "key_ops" in jwk:
        operations = jwk["key_ops"]
        if not isinstance(operations, list) or "verify" not in operations:
            raise UnfitKey("the key is stated for other operations than 'verify'")
    kid = jwk.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_KID_LENGTH:
        raise UnfitKey(f"the 'kid' is not a string of at most {MAX_KID_LENGTH} characters")
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise UnfitKey("the key has private members")


def _algorithms(jwk: Mapping[str, object], possible: frozenset[str]) -> frozenset[str]:
    if "alg" not in jwk:
        return possible
    stated = jwk["alg"]
    if not isinstance(stated, str) or stated not in possible:
        raise UnfitKey("the key's own 'alg' is none that fits its type")
    return frozenset({stated})


def _import_ec(jwk: Mapping[str, object]) -> tuple[ECKey, frozenset[str]]:
    curve = _member(jwk, "crv")
    size = _COORDINATE_BYTES.get(curve)
    if size is None:
        raise UnfitKey("the curve is not one of P-256, P-384 and P-521")
    for name in ("x", "y"):
        if len(_octets(jwk, name, at_most=size)) != size:
            raise UnfitKey(f"the coordinate {name!r} does not have {size} bytes")
    try:
        key = ECKey.import_key({"kty": "EC", "crv": curve, "x": _member(jwk, "x"), "y": _member(jwk, "y")})
    except (JoseError, ValueError) as error:
        raise UnfitKey("the point is not on the curve") from error
    return key, frozenset({CURVE_ALGORITHM[curve]})


def _import_rsa(jwk: Mapping[str, object]) -> tuple[RSAKey, frozenset[str]]:
    check_rsa(_number(jwk, "n", at_most=MAX_RSA_BITS // 8), _number(jwk, "e", at_most=8))
    try:
        key = RSAKey.import_key({"kty": "RSA", "n": _member(jwk, "n"), "e": _member(jwk, "e")})
    except (JoseError, ValueError) as error:
        raise UnfitKey("the numbers are no RSA key") from error
    return key, RSA_ALGORITHMS


def import_public(jwk: Mapping[str, object], *, use: str = "sig") -> VerificationKey:
    """Take a public JWK for verifying signatures.

    `use` is the value that the key's own `use` must have when it states one: `sig`, or `jwt-svid` for
    keys of a bundle. Unknown members are ignored, and no URL among them is ever looked at.
    Raises: UnfitKey for anything but RSA of 2048 to 8192 bits and EC on P-256, P-384, P-521; for private
    or symmetric members; for a stated use, operation or algorithm that does not fit; for numbers that
    are not written canonically. Spec: RFC 7517 section 4, RFC 7518 section 6, RFC 7638.
    """
    _check_stated(jwk, use)
    kty = _member(jwk, "kty")
    key: ECKey | RSAKey
    if kty == "EC":
        key, possible = _import_ec(jwk)
    elif kty == "RSA":
        key, possible = _import_rsa(jwk)
    else:
        raise UnfitKey("the key type is not EC or RSA")
    kid = jwk.get("kid", "")
    assert isinstance(kid, str)
    return VerificationKey(
        kid=kid, kty=kty, thumbprint=key.thumbprint(), algorithms=_algorithms(jwk, possible), native=key
    )


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key of this service, for one algorithm. Neither `repr` nor an error shows it."""

    kid: str
    alg: str
    native: ECKey | RSAKey = field(repr=False, compare=False)

    @classmethod
    def generate(cls, alg: str, kid: str | None = None) -> SigningKey:
        """Make a new key. Without `kid` it is named by its RFC 7638 thumbprint.

        Raises: ValueError for an algorithm that is not one of the nine. Draws from the system's
        randomness, the one source of it that is not an argument.
        """
        native: ECKey | RSAKey
        if alg in _CURVE_OF:
            native = ECKey.generate_key(_CURVE_OF[alg])
        elif alg in ALGORITHMS:
            native = RSAKey.generate_key(_GENERATED_RSA_BITS)
        else:
            raise ValueError("not a signature algorithm of this service")
        return cls(kid or native.thumbprint(), alg, native)

    @classmethod
    def from_private_json(cls, raw: bytes) -> SigningKey:
        """Read what `private_json` wrote. Raises: UnfitKey; the message holds nothing of the key."""
        try:
            jwk = strict_json.loads_object(raw, max_bytes=_MAX_PRIVATE_BYTES)
        except strict_json.InvalidJson as error:
            raise UnfitKey("a private key is a JWK") from error
        public = import_public({name: value for name, value in jwk.items() if name not in PRIVATE_MEMBERS})
        alg, kid = _member(jwk, "alg"), _member(jwk, "kid")
        members = {name: _member(jwk, name) for name in jwk if name in PRIVATE_MEMBERS}
        if not kid or "d" not in members:
            raise UnfitKey("a private key has a 'kid' and a 'd'")
        native: ECKey | RSAKey
        try:
            kind = ECKey if public.kty == "EC" else RSAKey
            native = kind.import_key({**public.native.as_dict(), **members})
        except (JoseError, ValueError):
            # No cause is chained: the library's message may quote numbers.
            raise UnfitKey("the private members do not make a key") from None
        return cls(kid, alg, native)

    def private_json(self) -> bytes:
        """The whole key as a JWK, private members too. To be sealed before it rests anywhere."""
        return strict_json.dumps({**self.native.as_dict(private=True), "kid": self.kid, "alg": self.alg, "use": "sig"})

    def public_jwk(self) -> dict[str, str]:
        """The public half, as `/jwks` publishes it."""
        members = {name: str(value) for name, value in self.native.as_dict(private=False).items()}
        return {**members, "kid": self.kid, "alg": self.alg, "use": "sig"}

    def verification_key(self) -> VerificationKey:
        """The public half as a key that verifies."""
        return import_public(self.public_jwk())

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A compact JWS over the claims. `alg` and `kid` are added to the header (RFC 7515 section 3.1).

        Raises: ValueError when the header states another `alg` or `kid`, or a number is not finite.
        """
        full = {"alg": self.alg, "kid": self.kid, **header}
        if full["alg"] != self.alg or full["kid"] != self.kid:
            raise ValueError("the header names another key")
        signed = f"{base64url.encode(strict_json.dumps(full))}.{base64url.encode(strict_json.dumps(claims))}"
        signature = IMPLEMENTATIONS[self.alg].sign(signed.encode("ascii"), self.native)
        return f"{signed}.{base64url.encode(signature)}"
