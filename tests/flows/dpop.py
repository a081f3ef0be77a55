"""A workload's DPoP key: proofs as RFC 9449 wants them, and as it does not."""

from __future__ import annotations

import secrets
import time

from joserfc import jwt
from joserfc.jwk import ECKey


class DpopKey:
    """One P-256 key that proves possession."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256")
        self.thumbprint = self._key.thumbprint()

    def proof(self, method: str, url: str, *, header: dict[str, object] | None = None, **claims: object) -> str:
        """A proof for this request; claims and header members given replace the right ones."""
        head: dict[str, object] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self._key.as_dict(private=False)}
        body: dict[str, object] = {
            "jti": secrets.token_urlsafe(12), "htm": method, "htu": url, "iat": int(time.time()),
        }  # fmt: skip
        return jwt.encode({**head, **(header or {})}, {**body, **claims}, self._key, algorithms=["ES256"])
