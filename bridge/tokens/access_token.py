"""JWT access tokens (RFC 9068): made here, and read here when they come back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.jose.jws import MalformedToken, parse_compact, signature_holds
from bridge.jose.strict_json import InvalidJson, loads_object
from bridge.model.identity import BindingMethod, KeyBinding
from bridge.tokens.key_ring import KeyRing

MAX_TOKEN_BYTES = 16 * 1024
TYPE = "at+jwt"


@dataclass(frozen=True, slots=True)
class AccessTokenClaims:
    """What a token says. Times: epoch seconds.

    `sub` is the concrete SPIFFE ID, also when the client is shared; `client_token` marks tokens that stand for no
    user (RFC 9700 section 4.15). `epoch` is the record's at issue: the token is alive while it still is; a pushed
    client has none. Of a token that stands for a user, `sub` is the user's id, `actor` the SPIFFE ID that acts for
    them (OAS-29), `grant` what the user gave it for, alive as long as that, and `transaction` the public name of a
    pushed client's one transaction.
    """

    jti: str
    client_id: str
    sub: str
    aud: tuple[str, ...]
    scope: tuple[str, ...]
    issued_at: int
    expires_at: int
    epoch: str
    binding: KeyBinding | None = None
    client_token: bool = True
    actor: str | None = None
    grant: str | None = None
    transaction: str | None = None

    @property
    def confirmation(self) -> dict[str, str] | None:
        """The `cnf` member, for tokens that are bound to a key."""
        return None if self.binding is None else {self.binding.method.value: self.binding.thumbprint}


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A signed token, and the hex SHA-256 that stands for it in the audit log."""

    raw: str
    digest: str


class AccessTokens:
    """Signs and reads this server's own access tokens."""

    def __init__(self, ring: KeyRing, *, issuer: str) -> None:
        self._ring, self._issuer = ring, issuer

    def sign(self, claims: AccessTokenClaims, *, now: int) -> SignedToken:
        """Sign with the key whose time it is. Raises: Unavailable when no key signs."""
        kid, alg, key = self._ring.signer(now)
        body: dict[str, object] = {
            "iss": self._issuer,
            "aud": claims.aud[0] if len(claims.aud) == 1 else list(claims.aud),
            "exp": claims.expires_at,
            "iat": claims.issued_at,
            "nbf": claims.issued_at,
            "jti": claims.jti,
            "client_id": claims.client_id,
            "sub": claims.sub,
            "scope": " ".join(claims.scope),
            "epoch": claims.epoch,
        }
        if claims.client_token:
            body["client_token"] = True
        if claims.confirmation is not None:
            body["cnf"] = claims.confirmation
        if claims.actor is not None:
            body["act"] = {"sub": claims.actor}
        if claims.grant is not None:
            body["grant"] = claims.grant
        if claims.transaction is not None:
            body["client_transaction"] = claims.transaction
        raw = key.sign({"alg": alg, "kid": kid, "typ": TYPE}, body)
        return SignedToken(raw, hashlib.sha256(raw.encode()).hexdigest())

    def read(self, raw: str, *, now: int) -> AccessTokenClaims | None:
        """The claims of a token of ours that has not expired; None for anything else.

        Not checked: whether it or its client was revoked. Everything about a foreign or broken token
        gives the same None, so that introspection is no oracle (T-39).
        """
        try:
            token = parse_compact(raw, max_bytes=MAX_TOKEN_BYTES)
            found = self._ring.verifier(token.header.get("kid"))
            if found is None or token.header.get("typ") != TYPE or token.header.get("alg") != found[0]:
                return None
            if not signature_holds(token, found[1], found[0]):
                return None
            body = loads_object(token.payload, max_bytes=MAX_TOKEN_BYTES)
        except (MalformedToken, InvalidJson):
            return None
        claims = _claims(body)
        return claims if body.get("iss") == self._issuer and claims.issued_at <= now < claims.expires_at else None


def _claims(body: Mapping[str, object]) -> AccessTokenClaims:
    """The claims of a payload that our own signature vouches for, so that its shape is known."""
    aud = body["aud"]
    confirmation = body.get("cnf")
    binding = None
    if isinstance(confirmation, dict):
        method, thumbprint = next(iter(confirmation.items()))
        binding = KeyBinding(BindingMethod(method), thumbprint)
    return AccessTokenClaims(
        jti=str(body["jti"]),
        client_id=str(body["client_id"]),
        sub=str(body["sub"]),
        aud=tuple(aud) if isinstance(aud, list) else (str(aud),),
        scope=tuple(str(body["scope"]).split()),
        issued_at=int(str(body["iat"])),
        expires_at=int(str(body["exp"])),
        epoch=str(body["epoch"]),
        binding=binding,
        client_token=body.get("client_token") is True,
        actor=str(act["sub"]) if isinstance(act := body.get("act"), dict) else None,
        grant=None if body.get("grant") is None else str(body["grant"]),
        transaction=None if body.get("client_transaction") is None else str(body["client_transaction"]),
    )
