"""Whose turn it is to be asked: of the trust domains with an endpoint those that are due, and of many not all at once.

No thread, no clock and no network here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from bridge.model.bundle import TrustBundle
from bridge.model.polled_bundle import PolledBundle
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.polling import CLOCK_TOLERANCE, PolledOptions

# In one turn so many questions are begun, or as many as bring all round within ten seconds by turns of `QUICKLY`, which
# is how soon the next turn comes where more are due. A thousand at once would take the time of those who are served,
# and come over one server like a flood.
AT_LEAST_BEGUN, TURNS_ROUND, QUICKLY = 4, 200, 0.05


@dataclass(slots=True)
class PolledDomain:
    """One trust domain as this process knows it. `bundle` is the last good one, however old; `asked` counts the
    questions of this process that ended, `early_at` (epoch seconds) is when it last wanted an early one; before
    `not_before` it begins none that is merely due. At `wanted_at` (epoch seconds) somebody wanted it to be asked though
    it is not due. `rank` is its place in this process's own order."""

    options: PolledOptions
    polled: PolledBundle
    rank: bytes = b""
    bundle: TrustBundle | None = None
    is_asking: bool = False
    asked: int = 0
    early_at: int = 0
    not_before: int = 0
    wanted_at: int | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether nobody, of whatever process, has asked it since somebody wanted that."""
        return self.wanted_at is not None and self.polled.asked_at < self.wanted_at and not self.is_asking

    @property
    def is_put_off(self) -> bool:
        """Whether its next question is further off than these options put any: others held when it was asked."""
        return self.polled.refresh_at > self.polled.asked_at + self.options.interval(self.hint)

    @property
    def hint(self) -> int | None:
        return None if self.bundle is None else self.bundle.refresh_hint


def rank(holder: str, trust_domain: TrustDomain) -> bytes:
    """Orders trust domains, differently in each process."""
    return hashlib.sha256(f"{holder} {trust_domain}".encode()).digest()


def chosen(domains: Iterable[PolledDomain], now: int, *, after: bytes, asks: bool) -> tuple[list[PolledDomain], bool]:
    """Those of which a question is to be begun in this turn, and whether more are due than fit in it: wanted ones, and
    due ones where the process `asks` by itself. Those come first whose rank is `after` that of the last one before: so
    all have their turn, and two processes seldom want the same."""
    known = list(domains)
    due = [one for one in known if one.is_wanted or (asks and _is_due(one, now))]
    at_most = max(AT_LEAST_BEGUN, -(-len(known) // TURNS_ROUND))
    due.sort(key=lambda one: (one.rank <= after, one.rank))
    return due[:at_most], len(due) > at_most


def _is_due(domain: PolledDomain, now: int) -> bool:
    if domain.is_asking or now < domain.not_before <= now + CLOCK_TOLERANCE:
        return False
    return now >= domain.polled.refresh_at or domain.polled.asked_at > now + CLOCK_TOLERANCE
