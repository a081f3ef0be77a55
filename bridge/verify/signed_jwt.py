"""What every JWT that vouches for somebody has in common here, check by check: SVIDs, software statements,
client assertions.

Each check is a function of its own that takes what it needs and raises `EvidenceRejected`; the verifier of
each kind calls them in its order and adds what is its own. Nothing they say quotes the token.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bridge.jose.algorithms import ALGORITHMS
from bridge.jose.jws import MalformedToken, UnverifiedToken, parse_compact, signature_holds
from bridge.jose.keys import VerificationKey
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason

MAX_ASSERTION_BYTES = 16 * 1024
# Seconds by which a peer's clock and ours may differ, for `exp`, `nbf` and `iat`.
LEEWAY = 30
_HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})


@dataclass(frozen=True, slots=True)
class JwtHeader:
    """The header of a JWT, which has no more to say. `kid` is None when it has none."""

    alg: str
    kid: str | None


def check_size(assertion: str) -> None:
    """At most 16 KiB, asked before anything is parsed or hashed (T-27). Raises: EvidenceRejected."""
    if len(assertion) > MAX_ASSERTION_BYTES:
        raise EvidenceRejected(Reason.CREDENTIAL_TOO_LARGE, f"an assertion of more than {MAX_ASSERTION_BYTES} bytes")


def parse(assertion: str) -> UnverifiedToken:
    """One compact JWS within 16 KiB (SPIFFE-14, T-27). Raises: EvidenceRejected."""
    if not assertion:
        raise EvidenceRejected(Reason.CREDENTIAL_MISSING, "an empty assertion")
    check_size(assertion)
    try:
        return parse_compact(assertion, max_bytes=MAX_ASSERTION_BYTES)
    except MalformedToken as error:
        raise EvidenceRejected(Reason.CREDENTIAL_MALFORMED, str(error)) from error


def read_header(token: UnverifiedToken, types: Collection[str]) -> JwtHeader:
    """The closed header: `alg` one of nine, `kid` and `typ` optional, nothing else (SPIFFE-12 to 14, SCA-8).

    `typ` is absent or one of `types`, as written there: another kind of token is none of this kind (T-25).
    Raises: EvidenceRejected; for `none` and every MAC too (DCR-19), and for keys in or named by URL (T-26).
    """
    header = token.header
    if not _HEADER_MEMBERS.issuperset(header):
        raise EvidenceRejected(Reason.JWT_HEADER, "the header has members beside alg, kid and typ")
    alg, kid = header["alg"], header.get("kid")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise EvidenceRejected(Reason.JWT_ALGORITHM, "the algorithm is none of the nine")
    if "typ" in header and header["typ"] not in types:
        raise EvidenceRejected(Reason.JWT_TYPE, f"the type is neither absent nor {' nor '.join(types)}")
    if "kid" in header and (not isinstance(kid, str) or not kid):
        raise EvidenceRejected(Reason.JWT_HEADER, "the kid is not a string, or is empty")
    return JwtHeader(alg, kid if isinstance(kid, str) else None)


def read_payload(token: UnverifiedToken) -> dict[str, object]:
    """The claims as JSON object, unverified until the signature holds. Raises: EvidenceRejected."""
    try:
        return token.claims()
    except MalformedToken as error:
        raise EvidenceRejected(Reason.CREDENTIAL_MALFORMED, str(error)) from error


def numeric_date(claims: Mapping[str, object], name: str) -> int | float:
    """A time that must be there: epoch seconds, a number and nothing else (T-28). Raises: EvidenceRejected."""
    value = claims.get(name)
    # bool is an int to Python, and no date. The loader let no infinite number through.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise EvidenceRejected(Reason.JWT_CLAIMS, f"{name} is missing or not a number")
    return value


def optional_date(claims: Mapping[str, object], name: str) -> int | float | None:
    """A time that may be absent; a null is no absence. Raises: EvidenceRejected."""
    return numeric_date(claims, name) if name in claims else None


def audiences(claims: Mapping[str, object]) -> tuple[str, ...]:
    """`aud`, which must be there: a string, or an array of them. Raises: EvidenceRejected."""
    value = claims.get("aud")
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise EvidenceRejected(Reason.JWT_CLAIMS, "aud is missing or neither a string nor an array of strings")


def check_signature(token: UnverifiedToken, key: VerificationKey, header: JwtHeader) -> None:
    """That key signed this token. Raises: EvidenceRejected."""
    if not signature_holds(token, key, header.alg):
        raise EvidenceRejected(Reason.JWT_SIGNATURE, "the signature does not hold")


def check_audience(named: tuple[str, ...], audience: str) -> None:
    """`aud` is our audience, alone, byte for byte (SPIFFE-16, SCA-5, SCA-6, DCR-16, T-22). Raises: EvidenceRejected."""
    if len(named) != 1:
        raise EvidenceRejected(Reason.JWT_AUDIENCE, "aud names several audiences")
    if named[0] != audience:
        raise EvidenceRejected(Reason.JWT_AUDIENCE, "aud is another audience")


def check_alive(expires_at: float, not_before: float | None, now: int) -> None:
    """`exp` and `nbf`, each with 30 s of leeway (SCA-4). Raises: EvidenceRejected."""
    if now >= expires_at + LEEWAY:
        raise EvidenceRejected(Reason.JWT_EXPIRED, "the token has expired")
    if not_before is not None and now < not_before - LEEWAY:
        raise EvidenceRejected(Reason.JWT_NOT_YET_VALID, "the token is not valid yet")


def check_issued(issued_at: float, expires_at: float, now: int) -> None:
    """`iat` is no time to come, save for 30 s of leeway, and before `exp`. Raises: EvidenceRejected."""
    if issued_at > now + LEEWAY:
        raise EvidenceRejected(Reason.JWT_NOT_YET_VALID, "iat is in the future")
    if issued_at >= expires_at:
        raise EvidenceRejected(Reason.JWT_CLAIMS, "iat is not before exp")
