"""Under which name a request may come. A page of somebody else's whose name was made to lead here (DNS rebinding)
comes under that name, and is refused before anything is looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from bridge.model.errors import ConsoleRefused
from bridge.model.reasons import Reason

_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[1-9][0-9]{0,4})?")
_SHOWN = 200


class Origins(Protocol):
    """Which names are ours."""

    def of(self, environ: Mapping[str, Any]) -> str:
        """The origin (RFC 6454) of our pages for whoever sent this request. Raises: ConsoleRefused."""
        ...


class LoopbackOrigin:
    """Of a Unix socket: what a browser calls the port that is forwarded to it, whichever that is."""

    def of(self, environ: Mapping[str, Any]) -> str:
        """See `Origins`."""
        host = str(environ.get("HTTP_HOST", ""))
        if _LOOPBACK.fullmatch(host) is None:
            raise _foreign(host)
        return f"http://{host}"


class NamedOrigin:
    """The one that the configuration names."""

    def __init__(self, url: str) -> None:
        """`url`: https, with the port unless it is 443, and no path."""
        self._url, self._host = url, url.removeprefix("https://")

    def of(self, environ: Mapping[str, Any]) -> str:
        """See `Origins`."""
        host = str(environ.get("HTTP_HOST", ""))
        if host != self._host:
            raise _foreign(host)
        return self._url


def _foreign(host: str) -> ConsoleRefused:
    return ConsoleRefused(Reason.CONSOLE_HOST, f"Host is {host[:_SHOWN]!r}", public="the console has another name")
