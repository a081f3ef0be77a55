"""JWT-SVIDs: what makes a JWT one (JWT-SVID sections 2 to 5; OAuth SPIFFE client authentication section 2).

Each check is a function of its own that takes what it needs and raises `EvidenceRejected`; `jwt_steps.py`
puts them, with those of `signed_jwt.py`, in the order of the specification. Nothing they say quotes the
token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.jose.jws import UnverifiedToken
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId
from bridge.verify.signed_jwt import LEEWAY, audiences, numeric_date, optional_date, read_payload

# The only values of `typ` that an SVID may have (JWT-SVID section 2.3).
TYPES = ("JWT", "JOSE")


@dataclass(frozen=True, slots=True)
class TrustDomainRules:
    """What the operator configured for JWT-SVIDs of one trust domain.

    `max_assertion_life` is the longest `exp` - now in seconds; `jwt_issuers` the values that `iss` may
    have, None when `iss` is not looked at.
    """

    max_assertion_life: int
    jwt_issuers: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class SvidClaims:
    """The claims that this service looks at. Unverified until the signature holds. Times: epoch seconds.

    `payload` are all claims, for who asks for more than who the caller is.
    """

    spiffe_id: SpiffeId
    audience: tuple[str, ...]
    expires_at: int | float
    not_before: int | float | None
    issuer: object
    payload: Mapping[str, object] = field(repr=False)


def read_claims(token: UnverifiedToken) -> SvidClaims:
    """`sub`, `aud` and `exp` are there and of their type (SPIFFE-15, SCA-3, T-28); `sub` is a workload's ID.

    `iat` and `jti` are not looked at, and nothing asks for `iss` (SCA-9). Raises: EvidenceRejected.
    """
    claims = read_payload(token)
    if "sub" not in claims:
        raise EvidenceRejected(Reason.JWT_CLAIMS, "sub is missing")
    audience = audiences(claims)
    expires_at = numeric_date(claims, "exp")
    not_before = optional_date(claims, "nbf")
    try:
        spiffe_id = SpiffeId.parse_workload(claims["sub"])
    except InvalidSpiffeId as error:
        raise EvidenceRejected(Reason.SPIFFE_ID_INVALID, str(error)) from error
    return SvidClaims(spiffe_id, audience, expires_at, not_before, claims.get("iss"), claims)


def check_lifetime(claims: SvidClaims, rules: TrustDomainRules, now: int) -> None:
    """No longer to live than the trust domain's tokens may (SCA-35). Raises: EvidenceRejected."""
    if now < claims.expires_at - rules.max_assertion_life:
        raise EvidenceRejected(
            Reason.JWT_LIFETIME, f"the token would live longer than {rules.max_assertion_life} s from now"
        )


def window(claims: SvidClaims, rules: TrustDomainRules) -> tuple[float, float]:
    """From when to when (not at) the token is acceptable in time: the steps `times` and `lifetime` say the same."""
    begin = claims.expires_at - rules.max_assertion_life
    if claims.not_before is not None:
        begin = max(begin, claims.not_before - LEEWAY)
    return begin, claims.expires_at + LEEWAY


def check_issuer(claims: SvidClaims, rules: TrustDomainRules) -> None:
    """`iss` is one of those configured, where some are. Nothing is fetched from it (SCA-29)."""
    if rules.jwt_issuers is not None:
        if not isinstance(claims.issuer, str) or claims.issuer not in rules.jwt_issuers:
            raise EvidenceRejected(Reason.JWT_ISSUER, "iss is none that the trust domain is configured for")


def not_after(claims: SvidClaims) -> int:
    """The token's end in whole seconds, rounded up so that a mark of its use outlives it."""
    return math.ceil(claims.expires_at)
