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

        A clock that is a little behind fills nothing; one that was set back starts over from `now`, so
        that a jump ahead and back does not close the door for as long as the jump was.
        """
        level, filled_at = limits.burst, now
        if self.level is not None and self.filled_at is not None:
            filled_at = self.filled_at
            if now > filled_at or now < filled_at - CLOCK_TOLERANCE:
                level = self.level + max(0, now - filled_at) * limits.per_second
                filled_at = now
            else:
                level = self.level
            level = min(level, limits.burst)
        if level < 1:
            raise LimitReached("registrations_per_second", 1)
        self.level, self.filled_at, self.spent = level - 1, filled_at, True
