"""An ID token of the provider, verified: who signed in, for us, in answer to our question (OpenID Connect Core
section 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from bridge.jose.jws import MalformedToken, UnverifiedToken, parse_compact, signature_holds
from bridge.jose.keys import VerificationKey
from bridge.model.errors import SignInRejected
from bridge.model.reasons import Reason

MAX_TOKEN_BYTES = 32 * 1024
MAX_SUBJECT_LENGTH = 255
# Seconds by which the provider's clock and ours may differ.
LEEWAY = 30


class Keys(Protocol):
    """Who has the provider's keys."""

    def __call__(self, alg: str, kid: str | None, *, now: int) -> VerificationKey:
        """The one key that fits. Raises: SignInRejected; Unavailable."""
        ...


def verify_id_token(
    raw: object,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
    algorithms: frozenset[str],
    keys: Keys,
    now: int,
) -> Mapping[str, object]:
    """The claims of an ID token that the provider signed for this client in answer to this `nonce`.

    `algorithms` are those that the provider says it uses, none of them a MAC. `access_token` is what came beside
    the token; where the token has a hash of it, that has to fit. `now` in epoch seconds, with 30 s of leeway.
    Raises: SignInRejected for everything else; Unavailable when the keys cannot be had.
    Spec: OpenID Connect Core sections 2, 3.1.3.7. Not checked: when and how the user signed in (`auth_time`, `acr`).
    """
    token = _parse(raw)
    alg, kid, kind = token.header["alg"], token.header.get("kid"), token.header.get("typ", "JWT")
    if not isinstance(alg, str) or alg not in algorithms:
        raise _rejected("has an algorithm that the provider does not announce, or none that is taken")
    # Other tokens of the same provider, signed with the same keys, name their kind (T-25).
    if not isinstance(kind, str) or kind.lower() != "jwt":
        raise _rejected("is another kind of token")
    if kid is not None and not isinstance(kid, str):
        raise _rejected("has a kid that is no string")
    if not signature_holds(token, keys(alg, kid, now=now), alg):
        raise _rejected("has a signature that does not hold")
    claims = _claims(token)
    _check_types(claims)
    checked = CodeIDToken(
        claims,
        token.header,
        options={
            "iss": {"essential": True, "value": issuer},
            "sub": {"essential": True},
            "aud": {"essential": True, "value": client_id},
        },
        params={"nonce": nonce, "client_id": client_id, "access_token": access_token},
    )
    try:
        checked.validate(now=now, leeway=LEEWAY)
    except JoseError as error:
        raise _rejected(f"is not for this sign-in ({error})") from error
    return claims


def _parse(raw: object) -> UnverifiedToken:
    if not isinstance(raw, str):
        raise _rejected("is missing")
    try:
        return parse_compact(raw, max_bytes=MAX_TOKEN_BYTES)
    except MalformedToken as error:
        raise _rejected(f"is malformed: {error}") from error


def _claims(token: UnverifiedToken) -> dict[str, object]:
    try:
        return token.claims()
    except MalformedToken as error:
        raise _rejected(f"is malformed: {error}") from error


def _check_types(claims: Mapping[str, object]) -> None:
    """Each claim that decides is of its type, so that no comparison means something else (T-28)."""
    for name in ("iss", "sub", "nonce"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise _rejected(f"has no {name}, or one that is no string")
    if len(str(claims["sub"])) > MAX_SUBJECT_LENGTH:
        raise _rejected(f"has a sub of more than {MAX_SUBJECT_LENGTH} characters")
    aud = claims.get("aud")
    if not isinstance(aud, str) and not (isinstance(aud, list) and all(isinstance(one, str) for one in aud)):
        raise _rejected("has no aud, or one that is neither a string nor a list of them")
    for name in ("exp", "iat"):
        value = claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _rejected(f"has no {name}, or one that is no number")
    for name in ("azp", "at_hash"):
        if name in claims and not isinstance(claims[name], str):
            raise _rejected(f"has an {name} that is no string")


def _rejected(words: str) -> SignInRejected:
    return SignInRejected(Reason.SIGN_IN_REJECTED, f"the ID token {words}")
