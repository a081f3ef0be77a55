"""How one trust domain's bundle stands by the clock: in force, late, stale, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from bridge.model.bundle import BundleHealth, BundleStatus, LiveBundle, SharedKey
from bridge.model.spiffe_id import TrustDomain

# A source confirms every `confirm_every` seconds. After this many missed confirmations it is late,
# whatever it says of itself: it may be stuck and say nothing.
_MISSED_CONFIRMATIONS = 3


@dataclass(frozen=True, slots=True)
class TrackedTrustDomain:
    """A trust domain that is configured. `source` is its kind as the configuration spells it.

    Units: seconds. `max_stale` is how long the last good bundle may be used after its last
    confirmation; `confirm_every` how often its source confirms.
    """

    trust_domain: TrustDomain
    source: str
    max_stale: int
    confirm_every: int

    @property
    def is_fetched(self) -> bool:
        """Whether its bundle comes over the network, from an endpoint that other people may run."""
        return self.source in ("https_web", "https_spiffe")


@dataclass(frozen=True, slots=True)
class Clocks:
    """One moment: `now` in epoch seconds by the clock that can be set, `steady` by one that only goes forward."""

    now: int
    steady: float


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is known of one trust domain's bundle. Replaced as a whole, never changed.

    A bundle is over `max_stale` after its confirmation by whichever clock says so first: one that was set back
    prolongs nothing. `ends` is that moment by the steady clock. `is_over`: somebody saw that it had come, so no clock
    that is set back later takes it back; the next confirmation does (F-5). `why_empty`: what its source says of a
    bundle without keys.
    """

    tracked: TrackedTrustDomain
    live: LiveBundle | None = None
    confirmed_at: int | None = None
    ends: float = math.inf
    is_over: bool = False
    fault: BundleHealth | None = None
    reason: str = ""
    shared: SharedKey | None = None
    reports: int = 0
    why_empty: str = ""
    # Only of sources that are asked, and not always as often as each other.
    refresh_at: int | None = None
    confirm_every: int | None = None

    def published(
        self,
        live: LiveBundle,
        *,
        shared: SharedKey | None,
        confirmed_at: int,
        ends: float,
        refresh_at: int | None,
        confirm_every: int | None,
        why_empty: str = "",
    ) -> Standing:
        """After its source said that this is the bundle. What was said at the same time before confirms nothing."""
        again = confirmed_at == self.confirmed_at
        return replace(
            self,
            live=live,
            shared=shared,
            confirmed_at=confirmed_at,
            ends=self.ends if again else ends,
            is_over=self.is_over and again,
            fault=None,
            reason="",
            reports=self.reports + 1,
            refresh_at=refresh_at,
            confirm_every=confirm_every,
            why_empty=why_empty,
        )

    @property
    def has_reported(self) -> bool:
        """Whether the source has said anything, good or bad."""
        return self.live is not None or self.fault is not None

    def stale_at(self, at: Clocks) -> int | None:
        """When it is over, in epoch seconds, if nothing happens before; None where there is no bundle."""
        if self.confirmed_at is None:
            return None
        by_clock = self.confirmed_at + self.tracked.max_stale
        if math.isinf(self.ends):
            return by_clock
        return min(by_clock, at.now + math.ceil(self.ends - at.steady))

    def is_stale(self, at: Clocks) -> bool:
        """Whether the bundle was confirmed too long ago to be used."""
        stale_at = self.stale_at(at)
        return self.is_over or (stale_at is not None and at.now >= stale_at)

    def status(self, at: Clocks) -> BundleStatus:
        """What is shown of it."""
        health, reason = self._health(at)
        refresh_at = None if self.confirmed_at is None else self.confirmed_at + self._every
        return BundleStatus(
            trust_domain=self.tracked.trust_domain,
            source=self.tracked.source,
            health=health,
            reason=reason,
            bundle=None if self.live is None else self.live.bundle,
            revision=0 if self.live is None else self.live.revision,
            fetched_at=self.confirmed_at,
            refresh_at=self.refresh_at or refresh_at,
            stale_at=self.stale_at(at),
            fault=self.fault,
            shared=self.shared,
        )

    @property
    def _every(self) -> int:
        return self.confirm_every or self.tracked.confirm_every

    def _health(self, at: Clocks) -> tuple[BundleHealth, str]:
        if self.live is None or self.confirmed_at is None:
            return self.fault or BundleHealth.UNREACHABLE, self.reason or "not read yet"
        if self.shared is not None:
            return BundleHealth.SHARED, str(self.shared)
        if self.is_stale(at):
            return BundleHealth.STALE, self.reason or "not confirmed for longer than max_stale"
        if self.live.bundle.is_empty:
            words = self.why_empty or "the bundle holds no usable key: nothing is trusted"
            return BundleHealth.EMPTY, self.reason or words
        if self.fault is not None:
            return BundleHealth.LATE, f"{self.fault.value}: {self.reason}"
        if at.now >= self.confirmed_at + _MISSED_CONFIRMATIONS * self._every:
            return BundleHealth.LATE, "the source has not confirmed it in time"
        return BundleHealth.FRESH, ""
