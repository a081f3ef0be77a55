"""Sessions of signed-in browsers: a random cookie whose digest the store knows, an absolute end, an idle end.

The absolute end is the row's. For the idle one nothing is written: the cookie itself says when it was last used,
under a MAC, and is given out anew from time to time. A copy of an old cookie is therefore as dead as the browser
that it was taken from would be.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.jose import base64url
from bridge.model.authorization import Session, User

# A cookie in use is given out anew at most so often; the idle end is that inexact.
RENEW_SECONDS = 60
_COOKIE = re.compile(r"([A-Za-z0-9_-]{43})\.([1-9][0-9]{0,10})\.([A-Za-z0-9_-]{43})")


class SessionRows(Protocol):
    """The part of the store that keeps sessions; see `store.ports.SessionStore`."""

    def begin(self, session: Session) -> None: ...
    def get(self, digest: str, *, now: int) -> Session | None: ...
    def end(self, digest: str) -> Session | None: ...


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session that is not over. `renewed` is the cookie to give out in place of the one that came, if any."""

    session: Session
    renewed: str | None


class Sessions:
    """Begins, finds and ends them."""

    def __init__(self, rows: SessionRows, *, key: bytes, idle: int, life: int, new_secret: Callable[[], str]) -> None:
        """`key`: 32 bytes that only this service has. `idle` and `life` in seconds. `new_secret` gives 32 random
        bytes as base64url."""
        self._rows, self._key, self._idle, self._life = rows, key, idle, life
        self._new_secret = new_secret

    def begin(self, user: User, *, now: int) -> tuple[Session, str]:
        """A new session and its cookie. Never one that the browser brought along (session fixation).

        Raises: Unavailable.
        """
        secret = self._new_secret()
        session = Session(_digest(secret), user, signed_in_at=now, expires_at=now + self._life)
        self._rows.begin(session)
        return session, self._cookie(secret, now)

    def find(self, cookie: str | None, *, now: int) -> FoundSession | None:
        """The session of a cookie; None for none, for one that is not ours, and for one that is over.

        Raises: Unavailable.
        """
        read = self._read(cookie)
        if read is None:
            return None
        secret, seen = read
        if now >= seen + self._idle:
            return None
        session = self._rows.get(_digest(secret), now=now)
        if session is None:
            return None
        return FoundSession(session, self._cookie(secret, now) if now >= seen + RENEW_SECONDS else None)

    def end(self, cookie: str | None) -> None:
        """Sign out. An idle session is ended as well. Raises: Unavailable."""
        read = self._read(cookie)
        if read is not None:
            self._rows.end(_digest(read[0]))

    def _read(self, cookie: str | None) -> tuple[str, int] | None:
        match = _COOKIE.fullmatch(cookie or "")
        if match is None or not hmac.compare_digest(match[3], self._mac(match[1], int(match[2]))):
            return None
        return match[1], int(match[2])

    def _cookie(self, secret: str, seen: int) -> str:
        return f"{secret}.{seen}.{self._mac(secret, seen)}"

    def _mac(self, secret: str, seen: int) -> str:
        said = json.dumps([secret, seen]).encode("ascii")
        return base64url.encode(hmac.new(self._key, said, "sha256").digest())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()
