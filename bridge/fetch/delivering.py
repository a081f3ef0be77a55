"""One message to a URL that the configuration names: TLS always, no redirect, one deadline; of the answer its status
alone is read (T-6). Apart from the fetches of requests: neither takes the other's slots."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

import h11

from bridge.fetch.connecting import tls_context
from bridge.fetch.deadline import Clock, Deadline
from bridge.fetch.exchange import told
from bridge.fetch.guarded import CONNECT_SECONDS, connected, place_of
from bridge.fetch.guards import OperatorsAddress
from bridge.fetch.resolving import Resolver, SystemResolver

# A receiver that works before it answers is told again what it is still working on: it should queue, and answer.
SEND_SECONDS = 10.0
_MOST_RETRY_AFTER = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """What a receiver said: the status, and `Retry-After` as it was sent, empty without one.

    Not checked: anything else. The body is never read: it may be a page of HTML, or have no end.
    """

    status: int
    retry_after: str


class Deliveries:
    """Sends JSON to one configured place. Thread-safe; one connection for each message."""

    def __init__(
        self,
        url: str,
        *,
        ca_file: str | None = None,
        resolve: Resolver | None = None,
        seconds: float = SEND_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        """`ca_file`: CAs beside the system's. The operator named the place, which may be an inner one. Raises: OSError
        when `ca_file` holds no certificate; DocumentFailure (URL)."""
        self._place, self._guard = place_of(url), OperatorsAddress()
        self._context: ssl.SSLContext = tls_context(ca_file)
        self._resolve = resolve or SystemResolver()
        self._seconds, self._connect_seconds, self._clock = seconds, connect_seconds, clock

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answered:
        """Send `body` once. Units: everything within `seconds`, resolution included.

        Raises: DocumentFailure (MALFORMED, TOO_LARGE) for what is no HTTP; NetworkFailure. The message may have
        arrived all the same, unless the connection never stood.
        """
        place, deadline = self._place, Deadline.after(self._seconds, self._clock)
        sent = [("Content-Type", "application/json"), *headers.items()]
        with connected(place, self._guard, self._resolve, self._context, self._connect_seconds, deadline) as stream:
            response = told(stream, place.authority, place.target, sent, body, deadline)
        return Answered(response.status_code, _retry_after(response))


def _retry_after(response: h11.Response) -> str:
    found = [value for name, value in response.headers if name == b"retry-after"]
    return found[0].decode("latin-1") if len(found) == 1 and len(found[0]) <= _MOST_RETRY_AFTER else ""
