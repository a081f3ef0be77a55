"""How much of its limits somebody has used. Whole numbers only, so that no rounding adds up.

A bucket's level is counted in sixtieths of a token: a rate per minute then adds a whole number each second.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model.errors import LimitReached

# Clocks of several nodes differ by less; a larger step back is a clock that was set.
CLOCK_TOLERANCE = 60
PARTS = 60
# What a caller is told where nobody can know when there will be room.
SOME_TIME = 60
# And the most that anybody is told to wait for a count to go down.
LONGEST_WAIT = 3600


@dataclass(frozen=True, slots=True)
class Rate:
    """One bucket and its terms. `limit` is the name of the limit that it keeps, `key` whose bucket it is;
    it holds `burst` tokens and gets `per_minute` more each minute."""

    limit: str
    key: str
    per_minute: int
    burst: int

    def wait(self, level: int) -> int:
        """Seconds from a level until there is a token."""
        if self.burst < 1 or self.per_minute < 1:
            return SOME_TIME
        return -((level - PARTS) // self.per_minute)


class Bucket:
    """One token bucket, as it stands in one transaction.

    `level` is what it held at `filled_at` (epoch seconds), in sixtieths of a token; None where nobody spent
    yet, so that it is full. `rate` is None until a token was taken, and then says on which terms.
    """

    __slots__ = ("filled_at", "level", "rate")

    def __init__(self, level: int | None = None, filled_at: int = 0) -> None:
        self.level, self.filled_at = level, filled_at
        self.rate: Rate | None = None

    def level_at(self, rate: Rate, now: int) -> tuple[int, int]:
        """The level at `now`, and the time from which on it fills further.

        A clock that is a little behind fills nothing. One that was set back counts as one second, or as one
        token if that is more, and starts over from `now`: a jump ahead and back must not close the door for
        as long.
        """
        if self.level is None:
            return rate.burst * PARTS, now
        elapsed, since = now - self.filled_at, now
        if elapsed > 0:
            more = elapsed * rate.per_minute
        elif elapsed >= -CLOCK_TOLERANCE:
            more, since = 0, self.filled_at
        else:
            more = max(rate.per_minute, PARTS)
        return min(self.level + more, rate.burst * PARTS), since

    def wait(self, rate: Rate, now: int) -> int:
        """0 when there is a token; else the number of seconds until there will be one."""
        level, since = self.level_at(rate, now)
        return 0 if level >= PARTS else max(1, since + rate.wait(level) - now)

    def take(self, rate: Rate, now: int) -> None:
        """Take one token. Raises: LimitReached, and the bucket is as it was."""
        level, since = self.level_at(rate, now)
        if level < PARTS:
            raise LimitReached(rate.limit, self.wait(rate, now))
        self.level, self.filled_at, self.rate = level - PARTS, since, rate

    @property
    def full_at(self) -> int:
        """From when on the bucket is full again, after a token was taken."""
        if self.rate is None or self.level is None:
            return self.filled_at
        missing = self.rate.burst * PARTS - self.level
        # Without a rate it never fills; a day is as long as anybody remembers it.
        return self.filled_at + (-(-missing // self.rate.per_minute) if self.rate.per_minute > 0 else 86_400)


@dataclass(slots=True)
class Room:
    """How many live records there are under one quota, and how many of them wait for an operator."""

    live: int
    pending: int
