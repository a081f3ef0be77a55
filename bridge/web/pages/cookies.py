"""Cookies, read and written strictly: ours alone, each once, for this host alone, and for no script.

With an https issuer their names begin with `__Host-`: no browser then lets another host, an inner path or plain
http set one in our place (RFC 6265bis section 4.1.3.2). A development issuer on http has no such protection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridge.web.lean import Response

BROWSER, SESSION, SIGN_IN = "browser", "session", "sign-in-"
# Of our cookies the largest is a sign-in's. Browsers keep 4,096 bytes with name and attributes.
MAX_VALUE_LENGTH = 3800
_VALUE = re.compile(r"[A-Za-z0-9._-]+")


class Cookies:
    """How this service's cookies are called and kept. Lax: the way back from a login provider is a top-level GET."""

    def __init__(self, issuer: str, *, name: str = "bridge") -> None:
        """`name` begins the names of all of them: what another port of this host keeps is called otherwise."""
        secure = issuer.startswith("https://")
        self._prefix = f"__Host-{name}-" if secure else f"{name}-"
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def read(self, environ: Mapping[str, Any]) -> Mapping[str, str]:
        """Our cookies of a request (PEP 3333), names without prefix. One that came twice is none."""
        found: dict[str, str] = {}
        twice: set[str] = set()
        for part in str(environ.get("HTTP_COOKIE", "")).split(";"):
            name, _, value = part.strip().partition("=")
            if not name.startswith(self._prefix):
                continue
            name = name.removeprefix(self._prefix)
            if name in found:
                twice.add(name)
            if len(value) <= MAX_VALUE_LENGTH and _VALUE.fullmatch(value) is not None:
                found[name] = value
        return {name: value for name, value in found.items() if name not in twice}

    def give(self, response: Response, name: str, value: str, *, seconds: int | None = None) -> None:
        """Have the browser keep it: for so many seconds, or until it is closed."""
        assert len(value) <= MAX_VALUE_LENGTH, "longer than `read` takes"
        assert _VALUE.fullmatch(value) is not None, "of other characters than `read` takes"
        life = "" if seconds is None else f"; Max-Age={seconds}"
        response.headers.add("Set-Cookie", f"{self._prefix}{name}={value}{self._attributes}{life}")

    def take(self, response: Response, name: str) -> None:
        """Have the browser forget it."""
        response.headers.add("Set-Cookie", f"{self._prefix}{name}={self._attributes}; Max-Age=0")
