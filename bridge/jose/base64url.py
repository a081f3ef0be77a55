"""base64url without padding, canonical only (RFC 7515 section 2).

A lenient decoder gives one value many spellings: other alphabets, padding, stray characters, unused
bits in the last character. Here text that does not come out of the encoder again is refused, so that a
token has one spelling and the hash of the spelling can stand for it.
"""

from __future__ import annotations

import base64
import binascii


class InvalidBase64Url(ValueError):
    """The text is not canonical base64url."""


def encode(value: bytes) -> str:
    """The one spelling of these bytes."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The bytes that have exactly this spelling. Raises: InvalidBase64Url."""
    try:
        value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidBase64Url("not base64url") from error
    if encode(value) != text:
        raise InvalidBase64Url("not the canonical base64url spelling")
    return value
