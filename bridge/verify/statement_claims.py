"""What makes a JWT a software statement, check by check (RFC 7591 section 2.3; the Statements paragraph of the
contract)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.verify import signed_jwt

# Longest time between now and `exp`, and between a pinned issuer's `iat` and `exp`, in seconds. A statement
# is a bearer token that many logs will have seen.
MAX_LIFE = 600
MAX_SUBJECT_LENGTH = 1024
# RFC 7591 registers no media type for statements, so none can be named here but the general ones.
TYPES = ("JWT", "JOSE")
PROTOCOL_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti"})

_SUBJECT = re.compile(r"[!-~]+")
_SPIFFE = "spiffe:"


@dataclass(frozen=True, slots=True)
class StatementClaims:
    """The protocol claims of a pinned issuer's statement, unverified until the signature holds. Times: epoch
    seconds."""

    issuer: str
    subject: str
    audience: tuple[str, ...]
    expires_at: int | float
    issued_at: int | float
    not_before: int | float | None


def read_claims(payload: Mapping[str, object]) -> StatementClaims:
    """`iss`, `sub`, `aud`, `exp` and `iat` are there and of their type (RFC 7591 2.3, DCR-9, T-28).

    `sub` is 1 to 1,024 visible ASCII characters: it stands in records, audit rows and policy. `jti` is not
    looked at. Raises: EvidenceRejected.
    """
    issuer, subject = payload.get("iss"), payload.get("sub")
    if not isinstance(issuer, str) or not issuer:
        raise EvidenceRejected(Reason.JWT_CLAIMS, "iss is missing or not a string")
    if not isinstance(subject, str) or len(subject) > MAX_SUBJECT_LENGTH or _SUBJECT.fullmatch(subject) is None:
        raise EvidenceRejected(Reason.JWT_CLAIMS, "sub is missing or no name of visible ASCII characters")
    return StatementClaims(
        issuer,
        subject,
        signed_jwt.audiences(payload),
        signed_jwt.numeric_date(payload, "exp"),
        signed_jwt.numeric_date(payload, "iat"),
        signed_jwt.optional_date(payload, "nbf"),
    )


def check_of_svid(payload: Mapping[str, object], now: int) -> None:
    """What a JWT-SVID must say beside the rules for one when it is a statement: `iat`, and a short rest of life.
    Raises: EvidenceRejected."""
    expires_at = signed_jwt.numeric_date(payload, "exp")
    signed_jwt.check_issued(signed_jwt.numeric_date(payload, "iat"), expires_at, now)
    check_remaining(expires_at, now)


def check_remaining(expires_at: float, now: int) -> None:
    """No more than 600 s to live (DCR-35). Raises: EvidenceRejected."""
    if expires_at - now > MAX_LIFE:
        raise EvidenceRejected(Reason.STATEMENT_LIFETIME, f"the statement would live longer than {MAX_LIFE} s from now")


def check_made_for(claims: StatementClaims) -> None:
    """A pinned issuer's statement was not made for more than 600 s (DCR-35). Raises: EvidenceRejected."""
    if claims.issued_at < claims.expires_at - MAX_LIFE:
        raise EvidenceRejected(Reason.STATEMENT_LIFETIME, f"the statement was made for more than {MAX_LIFE} s")


def is_about_a_workload(payload: Mapping[str, object]) -> bool:
    """Whether `sub` lays claim to being a SPIFFE ID, in any spelling: then it must be an SVID, and a pinned
    issuer can state none."""
    subject = payload.get("sub")
    return isinstance(subject, str) and subject[: len(_SPIFFE)].lower() == _SPIFFE


def stated_by(payload: Mapping[str, object]) -> Mapping[str, object]:
    """The claims about the client: all but those of the protocol (DCR-18)."""
    return {name: value for name, value in payload.items() if name not in PROTOCOL_CLAIMS}
