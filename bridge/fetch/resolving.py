"""Names to addresses, within a time: the system's resolver has none of its own and may hang for half a minute."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Sequence
from typing import Protocol

# Lookups that hang go on by themselves after their fetch was given up. So many may; then names wait their turn.
MAX_LOOKUPS = 16


class Resolver(Protocol):
    """Who knows the addresses of a name."""

    def __call__(self, host: str, port: int, seconds: float) -> Sequence[str]:
        """All addresses of `host`, as text. Raises: TimeoutError after `seconds`; OSError when there are none."""
        ...


class SystemResolver:
    """The resolver of the system (`/etc/hosts`, DNS, what else it is set up for). Thread-safe."""

    def __init__(self, *, at_once: int = MAX_LOOKUPS) -> None:
        self._turns = threading.BoundedSemaphore(at_once)

    def __call__(self, host: str, port: int, seconds: float) -> Sequence[str]:
        """See `Resolver`. Each lookup has a thread of its own: none can be interrupted, but each can be left."""
        if not self._turns.acquire(timeout=seconds):
            raise TimeoutError("other lookups hang")
        answer: queue.SimpleQueue[Sequence[str] | OSError] = queue.SimpleQueue()
        threading.Thread(target=self._look_up, args=(host, port, answer), name="resolve", daemon=True).start()
        try:
            found = answer.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError("the resolver does not answer") from None
        if isinstance(found, OSError):
            raise found
        return found

    def _look_up(self, host: str, port: int, answer: queue.SimpleQueue[Sequence[str] | OSError]) -> None:
        try:
            # As bytes: the host was checked to be ASCII in its one spelling, and no codec may change it again.
            found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
            answer.put(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except OSError as error:
            answer.put(error)
        finally:
            self._turns.release()
