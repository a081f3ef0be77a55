"""JWT-SVIDs, check by check (JWT-SVID sections 2 to 5; OAuth SPIFFE client authentication section 2).

Each check is a function of its own that takes what it needs and raises `EvidenceRejected`; `verifier.py`
calls them in the order of the specification. Nothing they say quotes the token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.jose import strict_json
from bridge.jose.algorithms import ALGORITHMS
from bridge.jose.jws import MalformedToken, UnverifiedToken, parse_compact, signature_holds
from bridge.jose.keys import UnfitKey, VerificationKey, import_public
from bridge.model.bundle import TrustBundle
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId

MAX_ASSERTION_BYTES = 16 * 1024
LEEWAY = 30
_HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})
_TYPES = ("JWT", "JOSE")
_MAX_JWK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class TrustDomainRules:
    """What the operator configured for JWT-SVIDs of one trust domain.

    `max_assertion_life` is the longest `exp` - now in seconds; `jwt_issuers` the values that `iss` may
    have, None when `iss` is not looked at.
    """

    max_assertion_life: int
    jwt_issuers: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class SvidHeader:
    """The header of a JWT-SVID, which has no more to say. `kid` is None when it has none."""

    alg: str
    kid: str | None


@dataclass(frozen=True, slots=True)
class SvidClaims:
    """The claims that this service looks at. Unverified until the signature holds. Times: epoch seconds."""

    spiffe_id: SpiffeId
    audience: tuple[str, ...]
    expires_at: int | float
    not_before: int | float | None
    issuer: object


@dataclass(frozen=True, slots=True)
class JwtKeys:
    """The usable `jwt-svid` keys of one bundle, and the `kid`s of those that are not usable."""

    usable: tuple[VerificationKey, ...]
    unfit: frozenset[str]

    def fitting(self, alg: str) -> list[VerificationKey]:
        """The keys that can have made a signature of this algorithm, whatever their names."""
        return [key for key in self.usable if key.fits(alg)]

    def named(self, kid: str) -> list[VerificationKey]:
        """The keys of that name; the empty name is nobody's."""
        return [key for key in self.usable if kid and key.kid == kid]


def keys_of(bundle: TrustBundle) -> JwtKeys:
    """Import a bundle's JWT authorities; those that the key policy refuses are left out (SPIFFE-17, 18)."""
    usable, unfit = [], set()
    for authority in bundle.jwt_authorities:
        try:
            jwk = strict_json.loads_object(authority.jwk, max_bytes=_MAX_JWK_BYTES)
            usable.append(import_public({**jwk, "kid": authority.key_id}, use="jwt-svid"))
        except (strict_json.InvalidJson, UnfitKey):
            unfit.add(authority.key_id)
    return JwtKeys(tuple(usable), frozenset(unfit))


def parse(assertion: str) -> UnverifiedToken:
    """One compact JWS within 16 KiB (SPIFFE-14, T-27). Raises: EvidenceRejected."""
    if not assertion:
        raise EvidenceRejected(Reason.CREDENTIAL_MISSING, "an empty assertion")
    if len(assertion) > MAX_ASSERTION_BYTES:
        raise EvidenceRejected(Reason.CREDENTIAL_TOO_LARGE, f"an assertion of more than {MAX_ASSERTION_BYTES} bytes")
    try:
        return parse_compact(assertion, max_bytes=MAX_ASSERTION_BYTES)
    except MalformedToken as error:
        raise EvidenceRejected(Reason.CREDENTIAL_MALFORMED, str(error)) from error


def read_header(token: UnverifiedToken) -> SvidHeader:
    """The closed header: `alg` one of nine, `kid` and `typ` optional, nothing else (SPIFFE-12 to 14, SCA-8).

    `typ` is absent, `JWT` or `JOSE`, as written there: another kind of token is not an SVID (T-25).
    """
    header = token.header
    if not _HEADER_MEMBERS.issuperset(header):
        raise EvidenceRejected(Reason.JWT_HEADER, "the header has members beside alg, kid and typ")
    alg, kid = header["alg"], header.get("kid")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise EvidenceRejected(Reason.JWT_ALGORITHM, "the algorithm is none of the nine")
    if "typ" in header and header["typ"] not in _TYPES:
        raise EvidenceRejected(Reason.JWT_TYPE, "the type is neither absent nor JWT nor JOSE")
    if "kid" in header and (not isinstance(kid, str) or not kid):
        raise EvidenceRejected(Reason.JWT_HEADER, "the kid is not a string, or is empty")
    return SvidHeader(alg, kid if isinstance(kid, str) else None)


def _numeric_date(value: object, name: str) -> int | float:
    # bool is an int to Python, and no date. The loader let no infinite number through.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise EvidenceRejected(Reason.JWT_CLAIMS, f"{name} is missing or not a number")
    return value


def _audience(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise EvidenceRejected(Reason.JWT_CLAIMS, "aud is missing or neither a string nor an array of strings")


def read_claims(token: UnverifiedToken) -> SvidClaims:
    """`sub`, `aud` and `exp` are there and of their type (SPIFFE-15, SCA-3, T-28); `sub` is a workload's ID.

    `iat` and `jti` are not looked at, and nothing asks for `iss` (SCA-9). Raises: EvidenceRejected.
    """
    try:
        claims = token.claims()
    except MalformedToken as error:
        raise EvidenceRejected(Reason.CREDENTIAL_MALFORMED, str(error)) from error
    if "sub" not in claims:
        raise EvidenceRejected(Reason.JWT_CLAIMS, "sub is missing")
    audience = _audience(claims.get("aud"))
    expires_at = _numeric_date(claims.get("exp"), "exp")
    not_before = _numeric_date(claims["nbf"], "nbf") if "nbf" in claims else None
    try:
        spiffe_id = SpiffeId.parse_workload(claims["sub"])
    except InvalidSpiffeId as error:
        raise EvidenceRejected(Reason.SPIFFE_ID_INVALID, str(error)) from error
    return SvidClaims(spiffe_id, audience, expires_at, not_before, claims.get("iss"))


def select_key(keys: JwtKeys, header: SvidHeader, spiffe_id: SpiffeId) -> VerificationKey:
    """The one key that may have signed: by `kid`, or without one the only key that fits the algorithm.

    Raises: EvidenceRejected. The detail of JWT_KEY_UNKNOWN names the SPIFFE ID, so that a rotation that
    the bundle has not caught up with can be seen.
    """
    if not keys.usable:
        raise EvidenceRejected(Reason.BUNDLE_EMPTY, "the trust domain has no usable JWT authority")
    found = keys.fitting(header.alg) if header.kid is None else keys.named(header.kid)
    if len(found) > 1:
        raise EvidenceRejected(Reason.JWT_KEY_AMBIGUOUS, f"several keys fit the token of {spiffe_id}")
    if not found:
        if header.kid is not None and header.kid in keys.unfit:
            raise EvidenceRejected(Reason.JWT_KEY_UNFIT, f"the key that the token of {spiffe_id} names is unfit")
        raise EvidenceRejected(Reason.JWT_KEY_UNKNOWN, f"no key of the bundle fits the token of {spiffe_id}")
    if not found[0].fits(header.alg):
        raise EvidenceRejected(
            Reason.JWT_KEY_UNFIT, f"the key that the token of {spiffe_id} names does not fit its alg"
        )
    return found[0]


def check_signature(token: UnverifiedToken, key: VerificationKey, header: SvidHeader) -> None:
    """That key signed this token. Raises: EvidenceRejected."""
    if not signature_holds(token, key, header.alg):
        raise EvidenceRejected(Reason.JWT_SIGNATURE, "the signature does not hold")


def check_times(claims: SvidClaims, rules: TrustDomainRules, now: int) -> None:
    """`exp` and `nbf` with 30 s of leeway, and the longest life (SCA-4, SCA-35). Raises: EvidenceRejected."""
    begin, end = window(claims, rules)
    if now >= end:
        raise EvidenceRejected(Reason.JWT_EXPIRED, "the token has expired")
    if claims.not_before is not None and now < claims.not_before - LEEWAY:
        raise EvidenceRejected(Reason.JWT_NOT_YET_VALID, "the token is not valid yet")
    if now < begin:
        raise EvidenceRejected(
            Reason.JWT_LIFETIME, f"the token would live longer than {rules.max_assertion_life} s from now"
        )


def window(claims: SvidClaims, rules: TrustDomainRules) -> tuple[float, float]:
    """From when to when (not at) the token is acceptable in time: `check_times` and the cache agree on this."""
    begin = claims.expires_at - rules.max_assertion_life
    if claims.not_before is not None:
        begin = max(begin, claims.not_before - LEEWAY)
    return begin, claims.expires_at + LEEWAY


def check_audience(claims: SvidClaims, audience: str) -> None:
    """`aud` is our audience, alone, byte for byte (SPIFFE-16, SCA-5, SCA-6, T-22). Raises: EvidenceRejected."""
    if len(claims.audience) != 1:
        raise EvidenceRejected(Reason.JWT_AUDIENCE, "aud names several audiences")
    if claims.audience[0] != audience:
        raise EvidenceRejected(Reason.JWT_AUDIENCE, "aud is another audience")


def check_issuer(claims: SvidClaims, rules: TrustDomainRules) -> None:
    """`iss` is one of those configured, where some are. Nothing is fetched from it (SCA-29)."""
    if rules.jwt_issuers is not None:
        if not isinstance(claims.issuer, str) or claims.issuer not in rules.jwt_issuers:
            raise EvidenceRejected(Reason.JWT_ISSUER, "iss is none that the trust domain is configured for")


def not_after(claims: SvidClaims) -> int:
    """The token's end in whole seconds, rounded up so that a mark of its use outlives it."""
    return math.ceil(claims.expires_at)
