"""A host that fails again and again is left alone for a moment (CIMD-16).

This is no memory of failed documents (CIMD-14): it counts only what passes by itself, on a host and not of a URL,
and answers 503. Without it, whoever points URLs at a host that swallows connections holds slots and threads.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from bridge.fetch.failures import FetchDelayed

FAILURES = 5
REST_SECONDS = 10.0
# Whoever controls a zone has names without end: the oldest are forgotten, which costs one fetch each.
MAX_HOSTS = 1024


@dataclass(slots=True)
class _Host:
    failures: int = 0
    rests_until: float = -math.inf


class HostBreaker:
    """Failures in a row, by `host:port`. Times are seconds of one monotonic clock. Thread-safe."""

    def __init__(self, *, failures: int = FAILURES, rest: float = REST_SECONDS, max_hosts: int = MAX_HOSTS) -> None:
        self._most, self._rest, self._max_hosts = failures, rest, max_hosts
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def admit(self, server: str, at: float) -> None:
        """Let a fetch go to this host. After a rest one goes first, and the others wait for what comes of it.

        Raises: FetchDelayed while the host rests.
        """
        with self._lock:
            host = self._hosts.get(server)
            if host is None or host.failures < self._most:
                return
            if at < host.rests_until:
                wait = max(1, math.ceil(host.rests_until - at))
                raise FetchDelayed("the host failed several times and is left alone", retry_after=wait)
            # If nobody ever tells what came of it, the next one goes after another rest.
            host.rests_until = at + self._rest

    def succeeded(self, server: str) -> None:
        """The host answered, be it with a document that is no good."""
        with self._lock:
            self._hosts.pop(server, None)

    def failed(self, server: str, at: float) -> None:
        """The host could not be reached, or did not answer as a server does that is well."""
        with self._lock:
            # Put back at the end, so that the first entry is the one that failed longest ago.
            host = self._hosts.pop(server, None) or _Host()
            host.failures += 1
            if host.failures >= self._most:
                host.rests_until = at + self._rest
            self._hosts[server] = host
            if len(self._hosts) > self._max_hosts:
                del self._hosts[next(iter(self._hosts))]
