"""What an agent keeps between calls, and how it checks a JWT-SVID for a workload."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from bridge.lab.authority import Authority
from bridge.lab.jws import decode
from bridge.lab.x509 import X509Svid
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId


class AgentCache:
    """SVIDs of one socket. Thread-safe.

    As in SPIRE's agent: the same JWT-SVID for one (identity, audience) until half its life or until its
    key is tainted, so that honest clients that fetch again present the same string; an X.509-SVID is
    replaced at half its life or when its CA is tainted.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._lock = threading.Lock()
        self._jwt: dict[tuple[str, tuple[str, ...], int], tuple[str, int]] = {}
        self._x509: dict[tuple[str, int, tuple[str, ...]], tuple[X509Svid, int]] = {}

    def jwt_svid(self, path: str, audience: tuple[str, ...], ttl: int) -> str:
        """The cached token, or a new one."""
        key = (path, audience, ttl)
        with self._lock:
            now = self._authority.clock()
            token, renew_at = self._jwt.get(key, ("", 0))
            if now >= renew_at or not self._authority.is_current_jwt_key(_header(token)["kid"]):
                token = self._authority.jwt_svid(path, audience, ttl=ttl)
                self._jwt[key] = (token, now + ttl // 2)
            return token

    def x509_svid(self, path: str, ttl: int, dns_names: tuple[str, ...]) -> X509Svid:
        """The cached SVID, or a new one with a new key."""
        key = (path, ttl, dns_names)
        with self._lock:
            now = self._authority.clock()
            held = self._x509.get(key)
            if held is None or now >= held[1] or not self._authority.is_current_ca(held[0]):
                held = (self._authority.x509_svid(path, ttl=ttl, dns_names=dns_names), now + ttl // 2)
                self._x509[key] = held
            return held[0]


class InvalidJwtSvid(ValueError):
    """The Workload API's own verdict on a token; the message is what a caller of ValidateJWTSVID gets."""


def validate(token: str, audience: str, authorities: Sequence[Authority], now: int) -> dict[str, Any]:
    """The claims of a valid JWT-SVID (JWT-SVID section 4, without leeway).

    Raises: InvalidJwtSvid. Not checked: `nbf`, and the closed header set; SPIRE's agent does not either.
    """
    try:
        header, claims = _header(token), json.loads(decode(token.split(".")[1]))
        subject = SpiffeId.parse_workload(claims["sub"])
        signing_input, _, signature = token.rpartition(".")
        audiences = [claims["aud"]] if isinstance(claims["aud"], str) else list(claims["aud"])
        expires_at = int(claims["exp"])
        key_id = str(header["kid"])
    except (InvalidSpiffeId, ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidJwtSvid(f"token is malformed: {error}") from error
    authority = next((known for known in authorities if known.trust_domain == subject.trust_domain), None)
    if authority is None:
        raise InvalidJwtSvid(f"no keys found for trust domain {subject.trust_domain}")
    key = authority.jwt_key(key_id)
    if key is None or key.alg != header.get("alg") or not key.holds(signing_input.encode(), decode(signature)):
        raise InvalidJwtSvid("token is not signed by a key of its trust domain")
    if expires_at <= now:
        raise InvalidJwtSvid("token has expired")
    if audience not in audiences:
        raise InvalidJwtSvid(f"expected audience {audience!r}, got {audiences!r}")
    return dict(claims)


def _header(token: str) -> dict[str, Any]:
    return dict(json.loads(decode(token.split(".")[0]))) if token else {"kid": ""}
