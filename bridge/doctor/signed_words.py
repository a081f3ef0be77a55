"""Words that are said alike of everything that is signed: its form, its header and its claims."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.doctor.words import listed, shown
from bridge.jose.jws import MalformedToken, UnverifiedToken
from bridge.verify.signed_jwt import MAX_ASSERTION_BYTES

_NAMED = ("iss", "sub", "aud", "exp", "nbf", "iat")


def form_words(text: str) -> tuple[str, str]:
    """Of the form of a compact JWS."""
    parts = text.count(".") + 1
    expected = f"a JWS in compact form: three parts, strict JSON, at most {MAX_ASSERTION_BYTES} characters"
    return expected, f"{len(text)} characters, {parts} {'part' if parts == 1 else 'parts'}"


def header_words(header: Mapping[str, object]) -> tuple[str, str]:
    """Of a closed header."""
    known = [f"{name} {shown(header[name])}" for name in ("alg", "kid", "typ") if name in header]
    others = [name for name in header if name not in ("alg", "kid", "typ")]
    found = ", ".join(known) + (f"; beside them {listed(others)}" if others else "")
    return "alg one of the nine, kid a name, typ one that fits or absent, and no other member", found


def claims_of(token: UnverifiedToken) -> Mapping[str, object] | None:
    """All claims, as the token has them; None for a payload that cannot be read."""
    try:
        return token.claims()
    except MalformedToken:
        return None


def said_claims(token: UnverifiedToken) -> str:
    """The claims that say who, whom for, and when. `jti` is no more than said to be there."""
    claims = claims_of(token)
    if claims is None:
        return "a payload that is no JSON object"
    said = [f"{name} {claim(claims[name])}" for name in _NAMED if name in claims]
    return ", ".join([*said, *(["jti"] if "jti" in claims else [])]) or "none of them"


def claim(value: object) -> str:
    """One claim's value."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return f"[{listed(value)}]"
    return f'"{shown(value)}"' if isinstance(value, str) else shown(value)
