"""`private_key_jwt`: a client signs its own assertion with a key of its record (RFC 7521 section 4.2, RFC 7523
sections 2.2 and 3, with the audience and typing rules of draft-ietf-oauth-rfc7523bis)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.jose.jws import MalformedToken, parse_compact
from bridge.jose.keys import VerificationKey
from bridge.model.errors import EvidenceRejected
from bridge.model.identity import Marker
from bridge.model.reasons import Reason
from bridge.verify import signed_jwt
from bridge.verify.claimed import claimed_by_jwt
from bridge.verify.key_sets import JwtKeys, MalformedKeySet, keys_of_jwk_set, select_key
from bridge.verify.signed_jwt import LEEWAY, MAX_ASSERTION_BYTES, JwtHeader

__all__ = [
    "ASSERTION_MARKER",
    "VerifiedAssertion",
    "keys_of_jwks",
    "unverified_key_id",
    "unverified_subject",
    "verify_client_assertion",
]

# The marker kind of these assertions: each is good for once (KBC-33).
ASSERTION_MARKER = "private_key_jwt"
TYPES = ("JWT", "client-authentication+jwt")
MAX_LIFE = 600
MAX_JTI_LENGTH = 256
_CLIENT_ID = re.compile(r"[!-~]{1,2048}")


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    """A client assertion that held: a key of the client's record signed it for this service.

    `credential_hash` is the hex SHA-256 of the assertion, `key_id` the key's `kid` or else its thumbprint,
    `algorithm` what it was signed by, `expires_at` its end in epoch seconds. Not checked: that it is new. `marker`
    must be claimed in the store, in the same transaction as what is issued.
    """

    client_id: str
    credential_hash: str
    key_id: str
    algorithm: str
    expires_at: int
    marker: Marker


def keys_of_jwks(jwks: Mapping[str, object]) -> JwtKeys:
    """The keys of a record's JWK Set, under the key policy; unfit ones are left out.

    Raises: EvidenceRejected (ASSERTION_KEY) for what is no JWK Set.
    """
    try:
        return keys_of_jwk_set(jwks)
    except MalformedKeySet as error:
        raise EvidenceRejected(Reason.ASSERTION_KEY, f"the client's key set: {error}") from error


def unverified_subject(assertion: str) -> str | None:
    """The `sub` that anybody may have written: good for finding the record whose keys to try, and for
    nothing else. None for what is no compact JWS within 16 KiB, or names no possible `client_id`."""
    try:
        subject = parse_compact(assertion, max_bytes=MAX_ASSERTION_BYTES).claims().get("sub")
    except MalformedToken:
        return None
    return subject if isinstance(subject, str) and _CLIENT_ID.fullmatch(subject) else None


def unverified_key_id(assertion: str) -> str | None:
    """The `kid` that anybody may have written: good for asking anew for keys that may have it. None where there is
    none, and for what is no compact JWS within 16 KiB."""
    try:
        kid = parse_compact(assertion, max_bytes=MAX_ASSERTION_BYTES).header.get("kid")
    except MalformedToken:
        return None
    return kid if isinstance(kid, str) else None


def verify_client_assertion(
    assertion: str, *, client_id: str, keys: JwtKeys, audience: str, now: int
) -> VerifiedAssertion:
    """That the client of this record made this assertion, for this service, of late.

    `keys` are those of the record of `client_id`; `audience` the issuer string, which `aud` must be, as a
    string (KBC-31, T-22). `exp` is at most 600 s ahead, and each assertion is good for once by its `jti`,
    which it therefore must have (KBC-33, 34). Raises: EvidenceRejected, with what the assertion `claimed`.
    Spec: RFC 7523 3; KBC-30 to 34. Not checked: that the assertion is new (claim the marker), and that the
    record is alive.
    """
    signed_jwt.check_size(assertion)
    try:
        return _verify(assertion, client_id, keys, audience, now)
    except EvidenceRejected as error:
        error.claimed = claimed_by_jwt(assertion)
        raise


def _verify(assertion: str, client_id: str, keys: JwtKeys, audience: str, now: int) -> VerifiedAssertion:
    token = signed_jwt.parse(assertion)
    header = signed_jwt.read_header(token, TYPES)
    payload = signed_jwt.read_payload(token)
    _check_names(payload, client_id)
    jti = _jti(payload)
    expires_at = signed_jwt.numeric_date(payload, "exp")
    key = _select_key(keys, header, client_id)
    signed_jwt.check_signature(token, key, header)
    _check_times(payload, expires_at, now)
    _check_audience(payload, audience)
    return VerifiedAssertion(
        client_id=client_id,
        credential_hash=hashlib.sha256(assertion.encode("ascii")).hexdigest(),
        key_id=key.kid or key.thumbprint,
        algorithm=header.alg,
        expires_at=math.ceil(expires_at),
        marker=_marker(client_id, jti, expires_at),
    )


def _check_names(payload: Mapping[str, object], client_id: str) -> None:
    """`iss` and `sub` are both the client (KBC-30)."""
    if payload.get("iss") != client_id or payload.get("sub") != client_id:
        raise EvidenceRejected(Reason.ASSERTION_CLAIMS, "iss and sub are not both the client_id")


def _jti(payload: Mapping[str, object]) -> str:
    jti = payload.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_LENGTH:
        raise EvidenceRejected(Reason.ASSERTION_CLAIMS, f"jti is not a string of 1 to {MAX_JTI_LENGTH} characters")
    return jti


def _select_key(keys: JwtKeys, header: JwtHeader, client_id: str) -> VerificationKey:
    try:
        return select_key(keys, header, f"the assertion of {client_id}")
    except EvidenceRejected as error:
        # One reason for all: these keys are the client's own affair, no trust of the operator's.
        raise EvidenceRejected(Reason.ASSERTION_KEY, error.detail) from error


def _check_times(payload: Mapping[str, object], expires_at: float, now: int) -> None:
    """`exp`, and `nbf` and `iat` if they are there (KBC-34)."""
    signed_jwt.check_alive(expires_at, signed_jwt.optional_date(payload, "nbf"), now)
    issued_at = signed_jwt.optional_date(payload, "iat")
    if issued_at is not None:
        signed_jwt.check_issued(issued_at, expires_at, now)
    if expires_at - now > MAX_LIFE:
        raise EvidenceRejected(Reason.JWT_LIFETIME, f"the assertion would live longer than {MAX_LIFE} s from now")


def _check_audience(payload: Mapping[str, object], audience: str) -> None:
    # An array of one is for SVIDs, whose libraries write nothing else; a client can write the string.
    if not isinstance(payload.get("aud"), str):
        raise EvidenceRejected(Reason.JWT_AUDIENCE, "aud is missing or not a string")
    signed_jwt.check_audience(signed_jwt.audiences(payload), audience)


def _marker(client_id: str, jti: str, expires_at: float) -> Marker:
    # JSON keeps the parts apart whatever is in them. The key is none of them: a client that has two keys
    # has one space of names.
    unique = json.dumps([client_id, jti]).encode("ascii")
    return Marker(ASSERTION_MARKER, hashlib.sha256(unique).hexdigest(), math.ceil(expires_at) + LEEWAY)
