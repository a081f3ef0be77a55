"""What came of one try, and how long to wait before the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

from bridge.fetch.delivering import Answered
from bridge.fetch.failures import DocumentFailure, NetworkFailure

FIRST_SECONDS, LONGEST_SECONDS = 5, 600
# What a receiver may ask for with Retry-After.
MOST_ASKED_SECONDS = 3600


class Outcome(StrEnum):
    """The closed list; values are metric labels. The last six are failures on the way."""

    DELIVERED = "delivered"
    GONE = "gone"
    THROTTLED = "throttled"
    REDIRECT = "redirect"
    REFUSED = "refused"
    SERVER_ERROR = "server_error"
    MALFORMED = "malformed"
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    CUT = "cut"


# The message is not at fault, so that the next one would fare no better: the receiver is left alone for a moment.
_OF_THE_RECEIVER = frozenset(Outcome) - {Outcome.DELIVERED, Outcome.REFUSED}


@dataclass(frozen=True, slots=True)
class Tried:
    """One try. `words` are our own and quote nothing of what came; `asked` is how many seconds the receiver wants to be
    left alone, 0 where it did not say."""

    outcome: Outcome
    words: str
    asked: int = 0

    @property
    def is_of_the_receiver(self) -> bool:
        """Whether every other message would have met the same."""
        return self.outcome in _OF_THE_RECEIVER


def judged(answered: Answered, now: int) -> Tried:
    """What a status means. Only 2xx is a yes; 410 is a receiver that wants no more (Standard Webhooks)."""
    status, asked = answered.status, _seconds(answered.retry_after, now)
    if 200 <= status < 300:
        return Tried(Outcome.DELIVERED, f"{status}")
    if status == 410:
        return Tried(Outcome.GONE, "410: the receiver wants no more of them")
    if status in (408, 425, 429):
        return Tried(Outcome.THROTTLED, f"{status}: later", asked)
    if status >= 500:
        return Tried(Outcome.SERVER_ERROR, f"the receiver says {status}", asked)
    if 300 <= status < 400:
        return Tried(Outcome.REDIRECT, f"a redirect ({status}), and none is followed: name the receiver itself")
    return Tried(Outcome.REFUSED, f"the receiver refuses it: {status}")


def failed(failure: DocumentFailure | NetworkFailure) -> Tried:
    """What a failure on the way means."""
    if isinstance(failure, DocumentFailure):
        return Tried(Outcome.MALFORMED, failure.detail)
    return Tried(Outcome(failure.fault.value), failure.detail)


def backoff(tries: int, asked: int, chance: Callable[[], float]) -> int:
    """Seconds until the next try after `tries` in vain: twice as long each time, of which half is left to chance (0 to
    1), and never less than the receiver asked for."""
    longest = min(LONGEST_SECONDS, FIRST_SECONDS << min(tries - 1, 16))
    return max(1, round(longest * (0.5 + chance() / 2)), min(asked, MOST_ASKED_SECONDS))


def _seconds(retry_after: str, now: int) -> int:
    """RFC 9110 section 10.2.3: a number of seconds or a date; 0 for anything else."""
    if retry_after.isascii() and retry_after.isdigit():
        return int(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
        return max(0, int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) - now)
    except (ValueError, OverflowError, TypeError, IndexError):
        # A year or a time zone of twenty digits is no ValueError; other releases of Python raise still others.
        return 0
