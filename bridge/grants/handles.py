"""The secrets of the code flow as they go over a wire, and what stores know of them: hex SHA-256 (OAS-38).

`request_uri`, code and browser cookie are 256 bits of chance each. Whoever has one could use it, so no store, log
or audit row ever holds it.
"""

from __future__ import annotations

import hashlib
import re

REQUEST_URI_PREFIX = "urn:ietf:params:oauth:request_uri:"
# How long a pushed request may wait to be opened, and a code to be redeemed (RFC 9126 section 2.2, OAS-14).
REQUEST_SECONDS, CODE_SECONDS = 60, 60
# How long a person may think about it, once it is open.
DECIDE_SECONDS = 600

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def digest_of(secret: str) -> str:
    """What a store calls this secret: the hex SHA-256 of its text."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def request_uri_of(secret: str) -> str:
    """The `request_uri` that a pushed request gets. `secret`: 32 random bytes, base64url."""
    return REQUEST_URI_PREFIX + secret


def is_request_uri(text: str) -> bool:
    """Whether the text could be a `request_uri` of ours. Anything else is never looked for, nor fetched (T-5)."""
    return text.startswith(REQUEST_URI_PREFIX) and is_secret(text[len(REQUEST_URI_PREFIX) :])


def is_secret(text: str) -> bool:
    """Whether the text could be a code of ours."""
    return _SECRET.fullmatch(text) is not None
