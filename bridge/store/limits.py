"""How much of its limits a trust domain has used. Whole numbers only, so that no rounding adds up."""

from __future__ import annotations

from bridge.model.errors import LimitReached
from bridge.store.ports import RegistrationLimits

# Clocks of several nodes differ by less; a larger step back is a clock that was set.
CLOCK_TOLERANCE = 60


class Usage:
    """One trust domain's live records and token bucket, as they stand in one transaction.

    `level` is the number of tokens at `filled_at` (epoch seconds); None where nobody registered yet, so
    that the bucket is full.
    """

    __slots__ = ("filled_at", "level", "live", "spent")

    def __init__(self, live: int, level: int | None, filled_at: int | None) -> None:
        self.live, self.level, self.filled_at = live, level, filled_at
        self.spent = False

    def spend(self, limits: RegistrationLimits, now: int) -> None:
        """Take one token. Raises: LimitReached, and the bucket is as it was.

        A clock that is a little behind fills nothing. One that was set back counts as one second and
        starts over from `now`, so that a jump ahead and back does not close the door for as long.
        """
        level, filled_at = limits.burst, now
        if self.level is not None and self.filled_at is not None:
            elapsed = now - self.filled_at
            if -CLOCK_TOLERANCE <= elapsed <= 0:
                elapsed, filled_at = 0, self.filled_at
            level = min(self.level + (elapsed if elapsed >= 0 else 1) * limits.per_second, limits.burst)
        if level < 1:
            raise LimitReached("registrations_per_second", 1)
        self.level, self.filled_at, self.spent = level - 1, filled_at, True
