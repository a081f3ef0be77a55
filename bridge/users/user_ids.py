"""What tokens call a user: an opaque id, derived and not stored (OAS-20; RFC 9700 section 4.15).

A client chooses what its own id looks like, a URL or a SPIFFE ID. A user id can be neither: it has no colon and no
slash, and nobody without the key can make one. Nor does it tell a resource server who the user is elsewhere.
"""

from __future__ import annotations

import hmac
import json

from bridge.jose import base64url

PREFIX = "user-"


class UserIds:
    """Derives user ids under a key of this service."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes that only this service has. With another key everybody is somebody else."""
        self._key = key

    def of(self, source: str, subject: str) -> str:
        """The id of one account: `source` is who vouches for it (an issuer, or `development`), `subject` what it is
        called there. The same two always give the same id; the same subject of two sources gives two."""
        # JSON keeps the two apart whatever is in them.
        said = json.dumps([source, subject]).encode("ascii")
        return PREFIX + base64url.encode(hmac.new(self._key, said, "sha256").digest())
