"""The authorization server's keys, as a resource server keeps them: fetched, used offline, fetched again in bounds.

To be copied: needs the standard library and joserfc, and nothing of this package.
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

Key = ECKey | RSAKey
# Keys this old are asked for anew, and so is an unknown one, but not more often than each COOLDOWN: whoever sends
# made-up `kid`s must not make us knock at the authorization server once for each. When it does not answer, the
# last good keys serve on until they are TOO_OLD; by then a key that it has withdrawn would count for too long.
FRESH, COOLDOWN, TOO_OLD = 300, 10, 3600
_TIMEOUT, _MAX_BYTES = 5.0, 256 * 1024
_WELL_KNOWN = "/.well-known/oauth-authorization-server"


class KeysUnavailable(Exception):
    """The keys cannot be had at the moment: answer 503, never 401. The caller did nothing wrong."""


class IssuerKeys:
    """The signing keys of one authorization server. Safe to share between threads."""

    def __init__(self, fetch: Callable[[], Mapping[str, Key]]) -> None:
        """`fetch` gives the keys by `kid` (`fetch_keys`), or raises KeysUnavailable."""
        self._fetch = fetch
        self._keys: Mapping[str, Key] = {}
        self._fetched: float = float("-inf")
        self._tried: float = float("-inf")
        self._one = threading.Lock()

    def find(self, kid: object, *, now: int) -> Key | None:
        """The key of that name, None when the authorization server has no such key. `now`: epoch seconds.

        Raises: KeysUnavailable. One thread fetches; others that find their key among fresh ones do not wait.
        """
        if not isinstance(kid, str):
            return None
        if kid in self._keys and now - self._fetched < FRESH:
            return self._keys[kid]
        with self._one:
            if (kid not in self._keys or now - self._fetched >= FRESH) and now - self._tried >= COOLDOWN:
                self._renew(now)
            if now - self._fetched >= TOO_OLD:
                raise KeysUnavailable("no fresh keys of the authorization server")
            return self._keys.get(kid)

    def _renew(self, now: int) -> None:
        self._tried = now
        try:
            # One assignment: readers without the lock see the old set or the new one.
            self._keys = self._fetch()
            self._fetched = now
        except KeysUnavailable:
            if now - self._fetched >= TOO_OLD:
                raise


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from where they were asked for, or not at all."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch_keys(issuer: str, context: ssl.SSLContext | None = None) -> dict[str, Key]:
    """The keys that the issuer's metadata points to, by `kid`. `context`: whom to trust with TLS.

    Raises: KeysUnavailable, also when the metadata is of another issuer or names a `jwks_uri` without TLS.
    Spec: RFC 8414 sections 3.1 (the path is inserted) and 3.3; RFC 7517 section 5. A key that we cannot use is
    passed over, so that a new kind of key beside the old ones stops nothing.
    """
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _NoRedirect()]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    parts = urlsplit(issuer)
    metadata = _get(opener, f"{parts.scheme}://{parts.netloc}{_WELL_KNOWN}{parts.path}")
    where = metadata.get("jwks_uri")
    if metadata.get("issuer") != issuer or not isinstance(where, str) or urlsplit(where).scheme != parts.scheme:
        raise KeysUnavailable(f"the metadata found for {issuer} is not its own")
    listed = _get(opener, where).get("keys")
    usable = (_usable(jwk) for jwk in listed) if isinstance(listed, list) else iter(())
    return {str(key.kid): key for key in usable if key is not None}


def _get(opener: urllib.request.OpenerDirector, url: str) -> dict[str, Any]:
    try:
        with opener.open(url, timeout=_TIMEOUT) as answer:
            value = json.loads(answer.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise KeysUnavailable(f"{url}: {error}") from error
    if not isinstance(value, dict):
        raise KeysUnavailable(f"{url}: not a JSON object")
    return value


def _usable(jwk: object) -> Key | None:
    """A public key for signatures that says its `kid` and its `alg`; None for any other."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or not jwk.get("kid") or not jwk.get("alg"):
        return None
    try:
        # No other type, and never a symmetric one, which everybody would know who can read this.
        if jwk.get("kty") == "EC":
            return ECKey.import_key(jwk)
        return RSAKey.import_key(jwk) if jwk.get("kty") == "RSA" else None
    except (JoseError, ValueError):
        return None
