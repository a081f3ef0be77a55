"""The steps by which a software statement is verified (RFC 7591 section 2.3; DCR-9 to 11, 16 to 19, 35)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.jose.jws import UnverifiedToken
from bridge.jose.keys import VerificationKey
from bridge.model.steps import Step
from bridge.verify import signed_jwt, statement_claims
from bridge.verify.jwt_steps import JwtCase
from bridge.verify.key_sets import JwtKeys, select_key
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.signed_jwt import JwtHeader
from bridge.verify.statement_claims import StatementClaims


@dataclass(slots=True)
class StatementCase:
    """One statement on its way through the steps, as `JwtCase`. `audience`: the URL of the registration endpoint."""

    statement: str = field(repr=False)
    audience: str
    now: int
    issuers: PinnedIssuers
    token: UnverifiedToken = field(init=False, repr=False)
    header: JwtHeader = field(init=False)
    payload: Mapping[str, object] = field(init=False, repr=False)
    claims: StatementClaims = field(init=False)
    keys: JwtKeys = field(init=False)
    key: VerificationKey = field(init=False)


def _form(case: StatementCase) -> None:
    case.token = signed_jwt.parse(case.statement)


def _header(case: StatementCase) -> None:
    case.header = signed_jwt.read_header(case.token, statement_claims.TYPES)


def _payload(case: StatementCase) -> None:
    case.payload = signed_jwt.read_payload(case.token)


def _claims(case: StatementCase) -> None:
    case.claims = statement_claims.read_claims(case.payload)


def _issuer(case: StatementCase) -> None:
    case.issuers.require_pinned(case.claims.issuer)


def _keys(case: StatementCase) -> None:
    case.keys = case.issuers.keys_for(case.claims.issuer, case.header.kid, now=case.now)


def _key(case: StatementCase) -> None:
    case.key = select_key(case.keys, case.header, f"a statement of {case.claims.issuer}")


def _signature(case: StatementCase) -> None:
    signed_jwt.check_signature(case.token, case.key, case.header)


def _times(case: StatementCase) -> None:
    claims = case.claims
    signed_jwt.check_alive(claims.expires_at, claims.not_before, case.now)
    signed_jwt.check_issued(claims.issued_at, claims.expires_at, case.now)


def _lifetime(case: StatementCase) -> None:
    statement_claims.check_remaining(case.claims.expires_at, case.now)
    statement_claims.check_made_for(case.claims)


def _audience(case: StatementCase) -> None:
    signed_jwt.check_audience(case.claims.audience, case.audience)


# By these every statement is read; what it then says of its subject tells which kind it is.
READING_STEPS: tuple[Step[StatementCase], ...] = (
    Step("form", _form),
    Step("header", _header, ("form",)),
    Step("payload", _payload, ("form",)),
)
# By these, behind the others, one of a pinned issuer is verified.
ISSUER_STEPS: tuple[Step[StatementCase], ...] = (
    Step("claims", _claims, ("payload",)),
    Step("issuer", _issuer, ("claims",)),
    Step("key-set", _keys, ("header", "issuer")),
    Step("key", _key, ("key-set",)),
    Step("signature", _signature, ("key",)),
    Step("times", _times, ("claims",)),
    Step("lifetime", _lifetime, ("claims",)),
    Step("audience", _audience, ("claims",)),
)
# The step of a JWT-SVID as a statement, behind those of one as a credential.
STATEMENT_STEPS: tuple[Step[JwtCase], ...] = (
    Step("statement", lambda case: statement_claims.check_of_svid(case.claims.payload, case.now), ("claims",)),
)
