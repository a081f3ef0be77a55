"""One deadline for a whole fetch: every wait of every kind gets what is left of it, so that no trickle of bytes
can stretch it (T-6, CIMD-16)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bridge.fetch.failures import NetworkFailure, NetworkFault

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of a monotonic clock, in its seconds."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The moment `seconds` from now."""
        return cls(clock() + seconds, clock)

    def remaining(self, at_most: float | None = None) -> float:
        """Seconds left, above 0, no more than `at_most`. Raises: NetworkFailure (TIMEOUT) when there are none."""
        left = self.at - self.clock()
        if left <= 0:
            raise NetworkFailure(NetworkFault.TIMEOUT, "the time for one fetch is over")
        return left if at_most is None else min(left, at_most)
