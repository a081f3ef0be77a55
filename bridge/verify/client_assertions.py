"""`private_key_jwt`: a client signs its own assertion with a key of its record (RFC 7521 section 4.2, RFC 7523
sections 2.2 and 3, with the audience and typing rules of draft-ietf-oauth-rfc7523bis)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping

from bridge.jose.jws import MalformedToken, parse_compact
from bridge.jose.keys import VerificationKey
from bridge.model.errors import EvidenceRejected
from bridge.model.identity import Marker
from bridge.model.reasons import Reason
from bridge.verify import signed_jwt
from bridge.verify.key_sets import JwtKeys, MalformedKeySet, keys_of_jwk_set, select_key
from bridge.verify.signed_jwt import LEEWAY, MAX_ASSERTION_BYTES, JwtHeader

# The marker kind of these assertions: each is good for once (KBC-33).
ASSERTION_MARKER = "private_key_jwt"
TYPES = ("JWT", "client-authentication+jwt")
MAX_LIFE = 600
MAX_JTI_LENGTH = 256
_CLIENT_ID = re.compile(r"[!-~]{1,2048}")


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


def check_names(payload: Mapping[str, object], client_id: str) -> None:
    """`iss` and `sub` are both the client (KBC-30). Raises: EvidenceRejected."""
    if payload.get("iss") != client_id or payload.get("sub") != client_id:
        raise EvidenceRejected(Reason.ASSERTION_CLAIMS, "iss and sub are not both the client_id")


def read_jti(payload: Mapping[str, object]) -> str:
    """`jti`, by which the assertion is good for once, is there (KBC-33). Raises: EvidenceRejected."""
    jti = payload.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_LENGTH:
        raise EvidenceRejected(Reason.ASSERTION_CLAIMS, f"jti is not a string of 1 to {MAX_JTI_LENGTH} characters")
    return jti


def select_own_key(keys: JwtKeys, header: JwtHeader, client_id: str) -> VerificationKey:
    """The client's key that may have signed, by `kid`, or the only one that fits. Raises: EvidenceRejected."""
    try:
        return select_key(keys, header, f"the assertion of {client_id}")
    except EvidenceRejected as error:
        # One reason for all: these keys are the client's own affair, no trust of the operator's.
        raise EvidenceRejected(Reason.ASSERTION_KEY, error.detail) from error


def check_times(payload: Mapping[str, object], expires_at: float, now: int) -> None:
    """`exp`, and `nbf` and `iat` if they are there (KBC-34). Raises: EvidenceRejected."""
    signed_jwt.check_alive(expires_at, signed_jwt.optional_date(payload, "nbf"), now)
    issued_at = signed_jwt.optional_date(payload, "iat")
    if issued_at is not None:
        signed_jwt.check_issued(issued_at, expires_at, now)


def check_lifetime(expires_at: float, now: int) -> None:
    """No more than 600 s to live (KBC-34). Raises: EvidenceRejected."""
    if expires_at - now > MAX_LIFE:
        raise EvidenceRejected(Reason.JWT_LIFETIME, f"the assertion would live longer than {MAX_LIFE} s from now")


def check_own_audience(payload: Mapping[str, object], audience: str) -> None:
    """`aud` is this service's issuer, as a string (KBC-31, T-22). Raises: EvidenceRejected."""
    # An array of one is for SVIDs, whose libraries write nothing else; a client can write the string.
    if not isinstance(payload.get("aud"), str):
        raise EvidenceRejected(Reason.JWT_AUDIENCE, "aud is missing or not a string")
    signed_jwt.check_audience(signed_jwt.audiences(payload), audience)


def marker_of(client_id: str, jti: str, expires_at: float) -> Marker:
    """What makes an assertion good for once; kept until no clock takes it any more."""
    # JSON keeps the parts apart whatever is in them. The key is none of them: a client that has two keys
    # has one space of names.
    unique = json.dumps([client_id, jti]).encode("ascii")
    return Marker(ASSERTION_MARKER, hashlib.sha256(unique).hexdigest(), math.ceil(expires_at) + LEEWAY)
