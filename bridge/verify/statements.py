"""`StatementVerifier`: whom is this software statement about, and what does it say of them? (RFC 7591 section 2.3)

Two kinds are taken, told apart by the unverified `sub`: a JWT-SVID, whose subject is a SPIFFE ID and which
its own trust domain's bundle vouches for; and a statement of a pinned issuer, about a subject of its own.
Neither can be made to look like the other: each is verified with the keys of its own kind alone.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.jose.jws import UnverifiedToken
from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source, VerifiedIdentity, VerifiedStatement
from bridge.model.reasons import Reason
from bridge.verify import signed_jwt
from bridge.verify.claimed import claimed_by_jwt
from bridge.verify.jwt_steps import JwtCase
from bridge.verify.key_sets import select_key
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.steps import Step
from bridge.verify.verifier import SvidVerifier

__all__ = ["StatementVerifier"]

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


class StatementVerifier:
    """Verifies software statements, each for the one audience `audience`: the registration endpoint's URL.

    That audience is no other door's, so a statement authenticates nobody elsewhere and nothing made for
    another door registers anybody here (DCR-16, DCR-17, T-22, T-46). Thread-safe. Remembers nothing: neither
    a success nor a failure.
    """

    def __init__(self, svids: SvidVerifier, issuers: PinnedIssuers, *, audience: str) -> None:
        self._svids = svids
        self._issuers = issuers
        self._audience = audience

    def verify(self, statement: str, *, now: int) -> VerifiedStatement:
        """Whom the statement is about, and what its maker says of them.

        Raises: EvidenceRejected, with what the statement `claimed`; IssuerUntrusted when it is of a trust
        domain or an issuer that nobody configured (DCR-10); Unavailable when the keys of a configured one are
        not known. Spec: RFC 7591 2.3; DCR-9 to 11, 16 to 19; the Statements paragraph of the contract.
        Not checked: that it was not used before, that its claims are sound metadata, and what policy lets
        its maker state.
        """
        signed_jwt.check_size(statement)
        try:
            token = signed_jwt.parse(statement)
            header = signed_jwt.read_header(token, TYPES)
            payload = signed_jwt.read_payload(token)
            if _is_about_a_workload(payload):
                return self._of_svid(statement, now)
            return self._of_issuer(token, header, payload, now)
        except (EvidenceRejected, Unavailable) as error:
            error.claimed = error.claimed or claimed_by_jwt(statement)
            raise

    def _of_svid(self, statement: str, now: int) -> VerifiedStatement:
        """A JWT-SVID: every rule for one, then what only a statement must have, `iat` and a short rest of life."""
        identity, payload = self._svids.verify_jwt_claims(statement, audience=self._audience, now=now)
        check_of_svid(payload, now)
        return VerifiedStatement(identity, _stated(payload), None, identity.credential_hash, identity.not_after)

    def _of_issuer(
        self, token: UnverifiedToken, header: signed_jwt.JwtHeader, payload: Mapping[str, object], now: int
    ) -> VerifiedStatement:
        claims = read_claims(payload)
        keys = self._issuers.keys_for(claims.issuer, header.kid, now=now)
        key = select_key(keys, header, f"a statement of {claims.issuer}")
        signed_jwt.check_signature(token, key, header)
        signed_jwt.check_alive(claims.expires_at, claims.not_before, now)
        signed_jwt.check_issued(claims.issued_at, claims.expires_at, now)
        _check_remaining(claims.expires_at, now)
        if claims.issued_at < claims.expires_at - MAX_LIFE:
            raise EvidenceRejected(Reason.STATEMENT_LIFETIME, f"the statement was made for more than {MAX_LIFE} s")
        signed_jwt.check_audience(claims.audience, self._audience)
        digest, not_after = hashlib.sha256(token.raw.encode("ascii")).hexdigest(), math.ceil(claims.expires_at)
        identity = VerifiedIdentity(
            subject=PolicySubject(
                Source.SOFTWARE_STATEMENT,
                EvidenceKind.SOFTWARE_STATEMENT,
                issuer=claims.issuer,
                subject=claims.subject,
            ),
            credential_hash=digest,
            key_id=key.kid or key.thumbprint,
            verified_at=now,
            not_after=not_after,
            replay_digest=token.replay_digest(header.alg),
        )
        return VerifiedStatement(identity, _stated(payload), claims.issuer, digest, not_after)


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
    _check_remaining(expires_at, now)


# The steps of a JWT-SVID as a statement, behind those of one as a credential.
STATEMENT_STEPS: tuple[Step[JwtCase], ...] = (
    Step("statement", lambda case: check_of_svid(case.claims.payload, case.now), ("claims",)),
)


def _is_about_a_workload(payload: Mapping[str, object]) -> bool:
    """Whether `sub` lays claim to being a SPIFFE ID, in any spelling: then it must be an SVID, and a pinned
    issuer can state none."""
    subject = payload.get("sub")
    return isinstance(subject, str) and subject[: len(_SPIFFE)].lower() == _SPIFFE


def _check_remaining(expires_at: float, now: int) -> None:
    if expires_at - now > MAX_LIFE:
        raise EvidenceRejected(Reason.STATEMENT_LIFETIME, f"the statement would live longer than {MAX_LIFE} s from now")


def _stated(payload: Mapping[str, object]) -> Mapping[str, object]:
    """The claims about the client: all but those of the protocol (DCR-18)."""
    return {name: value for name, value in payload.items() if name not in PROTOCOL_CLAIMS}
