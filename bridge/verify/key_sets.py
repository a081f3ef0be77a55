"""Sets of public keys that may have signed a JWT, and the choice of the one that has (RFC 7515 section 4.1.4).

A set belongs to one signer: a trust domain, a pinned issuer, a client. Sets are never merged, so a key can
vouch for nobody but its own signer (T-12, T-46).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.jose import strict_json
from bridge.jose.keys import UnfitKey, VerificationKey, import_public
from bridge.model.bundle import TrustBundle
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.verify.signed_jwt import JwtHeader

MAX_JWKS_KEYS = 100
_MAX_JWK_BYTES = 16 * 1024


class MalformedKeySet(ValueError):
    """The value is no JWK Set: nothing of it is used. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class JwtKeys:
    """The usable keys of one signer, and the `kid`s of those that are not usable."""

    usable: tuple[VerificationKey, ...]
    unfit: frozenset[str]

    @property
    def is_empty(self) -> bool:
        """Whether there is no key at all, not even one that is not usable: whoever wrote the set meant so."""
        return not self.usable and not self.unfit

    def fitting(self, alg: str) -> list[VerificationKey]:
        """The keys that can have made a signature of this algorithm, whatever their names."""
        return [key for key in self.usable if key.fits(alg)]

    def named(self, kid: str) -> list[VerificationKey]:
        """The keys of that name; the empty name is nobody's."""
        return [key for key in self.usable if kid and key.kid == kid]


def keys_of_bundle(bundle: TrustBundle) -> JwtKeys:
    """Import a bundle's JWT authorities; those that the key policy refuses are left out (SPIFFE-17, 18)."""
    usable, unfit = [], set()
    for authority in bundle.jwt_authorities:
        try:
            jwk = strict_json.loads_object(authority.jwk, max_bytes=_MAX_JWK_BYTES)
            usable.append(import_public({**jwk, "kid": authority.key_id}, use="jwt-svid"))
        except (strict_json.InvalidJson, UnfitKey):
            unfit.add(authority.key_id)
    return JwtKeys(tuple(usable), frozenset(unfit))


def keys_of_jwk_set(jwk_set: Mapping[str, object]) -> JwtKeys:
    """Import a JWK Set of signing keys (RFC 7517 section 5); those that the key policy refuses are left out,
    and so are keys that state another `use` than `sig` or have private members.

    An empty set is a set that vouches for nothing. Raises: MalformedKeySet: `keys` absent, no array of
    objects or of more than 100; a `kid` twice.
    """
    entries = jwk_set.get("keys")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise MalformedKeySet("'keys' is missing or no array of objects")
    if len(entries) > MAX_JWKS_KEYS:
        raise MalformedKeySet(f"more than {MAX_JWKS_KEYS} keys")
    kids = [entry["kid"] for entry in entries if isinstance(entry.get("kid"), str)]
    if len(set(kids)) != len(kids):
        raise MalformedKeySet("two keys have the same 'kid'")
    usable, unfit = [], set()
    for entry in entries:
        try:
            usable.append(import_public(entry))
        except UnfitKey:
            kid = entry.get("kid")
            unfit.add(kid if isinstance(kid, str) else "")
    return JwtKeys(tuple(usable), frozenset(unfit))


def select_key(keys: JwtKeys, header: JwtHeader, token: str) -> VerificationKey:
    """The one key that may have signed: by `kid`, or without one the only key that fits the algorithm.

    `token` says in words whose token it is, for the detail of the refusal, so that a rotation that has not
    arrived here can be seen. Raises: EvidenceRejected.
    """
    if not keys.usable:
        raise EvidenceRejected(Reason.BUNDLE_EMPTY, f"there is no usable key for {token}")
    found = keys.fitting(header.alg) if header.kid is None else keys.named(header.kid)
    if len(found) > 1:
        raise EvidenceRejected(Reason.JWT_KEY_AMBIGUOUS, f"several keys fit {token}")
    if not found:
        if header.kid is not None and header.kid in keys.unfit:
            raise EvidenceRejected(Reason.JWT_KEY_UNFIT, f"the key that {token} names is unfit")
        raise EvidenceRejected(Reason.JWT_KEY_UNKNOWN, f"no key fits {token}")
    if not found[0].fits(header.alg):
        raise EvidenceRejected(Reason.JWT_KEY_UNFIT, f"the key that {token} names does not fit its alg")
    return found[0]
