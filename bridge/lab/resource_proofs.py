"""DPoP proofs at a resource server (RFC 9449 sections 4.3 and 7): the caller has the key that its token is bound to.

To be copied: needs the standard library and joserfc, and nothing of this package.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

ALGORITHMS = ("ES256", "ES384", "ES512")
_CURVE = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
# Seconds. Clocks are off by seconds, and a proof is made for the request at hand.
MAX_AGE, MAX_AHEAD = 60, 10
NONCE_PERIOD = 300
_MAX_PROOF, _MAX_JTI = 8 * 1024, 256


class ProofRefused(Exception):
    """The proof is not one for this request. The message may go to the caller."""


class NonceWanted(ProofRefused):
    """Send the proof again with this nonce (RFC 9449 section 9). Nothing was used up."""

    def __init__(self, nonce: str) -> None:
        super().__init__("the proof needs a nonce of this server")
        self.nonce = nonce


@dataclass(frozen=True, slots=True)
class Claims:
    """What a proof says, of the right types; its signature held."""

    jkt: str
    jti: str
    htm: str
    htu: str
    ath: str
    iat: float
    nonce: object


class UsedOnce:
    """The `jti` of each proof for as long as the proof could come again. Full, it takes no new ones: whoever sends
    very many must not make it forget what was used. A server of several processes shares this in its store."""

    def __init__(self, size: int = 100_000) -> None:
        self._until: dict[tuple[str, str], float] = {}
        self._size = size
        self._lock = threading.Lock()

    def claim(self, key: tuple[str, str], *, until: float, now: int) -> bool:
        """Whether this is its first use. False too when there is no room."""
        with self._lock:
            if len(self._until) >= self._size:
                self._until = {known: end for known, end in self._until.items() if end > now}
            if key in self._until or len(self._until) >= self._size:
                return False
            self._until[key] = until
            return True


class ProofVerifier:
    """Checks proofs for one protected URL. With `nonces`, each proof must carry one that this server gave out."""

    def __init__(self, url: str, *, nonces: bool = False) -> None:
        """`url` comes from configuration, never from the `Host` header, and is written as clients write it."""
        self._url = url
        self._used = UsedOnce()
        self._nonce_key = secrets.token_bytes(32) if nonces else None

    def verify(self, proofs: Sequence[str], *, method: str, token: str, now: int) -> str:
        """The thumbprint of the key that the caller proved. `proofs`: the values of the request's DPoP headers.

        Raises: ProofRefused; NonceWanted. Spec: RFC 9449 section 4.3 checks 1 to 12. Not checked: that the token
        is bound to that key, which is the caller's part (`cnf.jkt`).
        """
        if len(proofs) != 1:
            raise ProofRefused("send exactly one DPoP proof")
        claims = _read(proofs[0])
        # Compared as written but for query and fragment: two spellings of one URL are two URLs here.
        if claims.htm != method or claims.htu.partition("#")[0].partition("?")[0] != self._url:
            raise ProofRefused("the proof is for another request")
        if not hmac.compare_digest(claims.ath.encode(), _hash(token).encode()):
            raise ProofRefused("the proof is for another token")
        if self._nonce_key is not None and claims.nonce not in self._nonces(now):
            raise NonceWanted(self._nonces(now)[0])
        # Written so that NaN, for which every comparison is false, is refused.
        if not now - MAX_AGE < claims.iat <= now + MAX_AHEAD:
            raise ProofRefused("the proof is not of now")
        # Last, so that a refused proof marks nothing.
        if not self._used.claim((claims.jkt, claims.jti), until=claims.iat + MAX_AGE, now=now):
            raise ProofRefused("the proof was used before")
        return claims.jkt

    def fresh_nonce(self, now: int) -> str | None:
        """The nonce for the `DPoP-Nonce` header of any answer; None where none is asked for."""
        return None if self._nonce_key is None else self._nonces(now)[0]

    def _nonces(self, now: int) -> tuple[str, str]:
        """The nonce of this period and that of the last one: a MAC over the period's number, so none is stored."""
        assert self._nonce_key is not None
        period = now // NONCE_PERIOD
        current, last = (hmac.digest(self._nonce_key, b"%d" % each, "sha256") for each in (period, period - 1))
        return _base64url(current), _base64url(last)


def _read(proof: str) -> Claims:
    """Header, key, signature and types. A proof brings its own key, so a good signature alone says nothing."""
    if len(proof) > _MAX_PROOF or not proof.isascii():
        raise ProofRefused("the proof is too long")
    try:
        header = jws.extract_compact(proof.encode()).headers()
        alg, jwk = header.get("alg"), header.get("jwk")
        if header.get("typ") != "dpop+jwt" or alg not in ALGORITHMS or not isinstance(jwk, dict):
            raise ProofRefused("the proof's header has typ dpop+jwt, an alg of this resource and a jwk")
        if jwk.get("kty") != "EC" or jwk.get("crv") != _CURVE[alg] or "d" in jwk:
            raise ProofRefused("the proof's key is not a public key for its alg")
        key = ECKey.import_key({name: str(jwk[name]) for name in ("kty", "crv", "x", "y")})
        claims = json.loads(jws.deserialize_compact(proof, key, algorithms=[alg]).payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProofRefused("the proof is malformed, or its signature does not hold") from error
    if not isinstance(claims, dict):
        raise ProofRefused("the proof is malformed")
    texts = [claims.get(name) for name in ("jti", "htm", "htu", "ath")]
    iat = claims.get("iat")
    if not all(isinstance(text, str) and text.isascii() for text in texts) or not 0 < len(str(texts[0])) <= _MAX_JTI:
        raise ProofRefused("the proof lacks one of jti, htm, htu, ath")
    if isinstance(iat, bool) or not isinstance(iat, int | float):
        raise ProofRefused("the proof's iat is no number")
    jti, htm, htu, ath = (str(text) for text in texts)
    return Claims(key.thumbprint(), jti, htm, htu, ath, iat, claims.get("nonce"))


def _hash(token: str) -> str:
    return _base64url(hashlib.sha256(token.encode()).digest())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
