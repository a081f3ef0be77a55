"""Proof Key for Code Exchange (RFC 7636), with the one method that proves anything: S256."""

from __future__ import annotations

import hashlib
import hmac
import re

from bridge.jose import base64url
from bridge.model.errors import GrantRejected, InvalidRequest
from bridge.model.reasons import Reason

METHOD = "S256"

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def read_challenge(challenge: str | None, method: str | None) -> str:
    """The challenge of an authorization request.

    Raises: InvalidRequest when there is none, when it is no SHA-256 in base64url, and for every method but S256:
    none named means `plain` (RFC 7636 section 4.3). Spec: OAS-12, PCR-4, T-35.
    """
    if challenge is None:
        raise _malformed("code_challenge is required")
    if method != METHOD:
        raise _malformed(f"code_challenge_method must be {METHOD}")
    if _CHALLENGE.fullmatch(challenge) is None:
        raise _malformed("code_challenge is not a SHA-256 in base64url, 43 characters")
    return challenge


def check_verifier(verifier: str | None, challenge: str) -> None:
    """That whoever redeems a code is who asked for it. `challenge` is the one that `read_challenge` gave.

    Compared in constant time. Raises: GrantRejected for a wrong verifier, one that is no verifier (43 to 128
    unreserved characters), or none (RFC 7636 section 4.6).
    """
    if verifier is None:
        raise GrantRejected(Reason.CODE_VERIFIER, "no code_verifier", public="code_verifier is required")
    if _VERIFIER.fullmatch(verifier) is None:
        words = "code_verifier is not 43 to 128 characters of those it may have"
        raise GrantRejected(Reason.CODE_VERIFIER, words, public=words)
    made = base64url.encode(hashlib.sha256(verifier.encode("ascii")).digest())
    if not hmac.compare_digest(made.encode("ascii"), challenge.encode("ascii")):
        raise GrantRejected(Reason.CODE_VERIFIER, "the verifier is another's")


def _malformed(words: str) -> InvalidRequest:
    return InvalidRequest(Reason.CODE_CHALLENGE, words, public=words)
