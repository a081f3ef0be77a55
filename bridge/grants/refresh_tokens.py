"""Refresh tokens: derived under a key of the service, so that no store holds one and none is lost (OAS-38).

A token names its grant, its generation and the key it is bound to, and its MAC says that we made it so. One of an
earlier generation is therefore known for what it is, a token that was used before, and not taken for a guess
(OAS-15); and what nobody made is refused before anything is looked up.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass

from bridge.jose import base64url

PREFIX = "rt1"
_FORM = re.compile(PREFIX + r"\.([A-Za-z0-9_-]{16,64})\.([1-9][0-9]{0,9})\.([A-Za-z0-9_-]{43})?\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A genuine refresh token. `generation` may be an earlier one than the grant's. `jkt`: the thumbprint of the key
    that has to be proved beside it, None where none has."""

    grant_id: str
    generation: int
    jkt: str | None


class RefreshTokens:
    """Makes and reads them."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes that only this service has."""
        self._key = key

    def make(self, token: RefreshToken) -> str:
        """The one spelling of this token."""
        head = f"{PREFIX}.{token.grant_id}.{token.generation}.{token.jkt or ''}"
        return f"{head}.{self._mac(token)}"

    def read(self, raw: str) -> RefreshToken | None:
        """What a token says, if it is ours; None for anything else. Compared in constant time. Not checked: whether
        the grant lives, whether this is the token in force, and that its key is proved."""
        match = _FORM.fullmatch(raw)
        if match is None:
            return None
        token = RefreshToken(match[1], int(match[2]), match[3])
        return token if hmac.compare_digest(match[4], self._mac(token)) else None

    def _mac(self, token: RefreshToken) -> str:
        # JSON keeps the parts apart whatever is in them.
        said = json.dumps([token.grant_id, token.generation, token.jkt]).encode()
        return base64url.encode(hmac.new(self._key, said, "sha256").digest())
