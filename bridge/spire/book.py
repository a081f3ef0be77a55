"""The bundles in force, one per configured trust domain, never merged (SCA-27).

Sources write, verification reads. `live` is asked for every credential, so it takes no lock: it reads
one reference to a frozen state. Staleness is judged by the clock of the asker against the time when the
source last confirmed the bundle, not by whether a thread is still alive (SPIFFE-24).
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bridge.model.bundle import BundleHealth, BundleStatus, LiveBundle, TrustBundle
from bridge.model.errors import BridgeError, IssuerUntrusted, Unavailable
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain

_log = logging.getLogger("bridge.spire")
# A command that shows the states itself configures no log, and needs no copy of them on standard error.
_log.addHandler(logging.NullHandler())

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


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """All CA certificates of all known bundles, DER, for the TLS handshake only, which cannot know the
    trust domain; stale bundles' are in it, so that the answer can be 503. `revision` grows with each change."""

    revision: int
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BundleChange:
    """What changed in a bundle, for the audit event. X.509 authorities go by the hex SHA-256 of their
    certificate, JWT authorities by their `kid` (empty where they have none)."""

    trust_domain: TrustDomain
    source: str
    sequence: int | None
    revision: int
    x509_added: tuple[str, ...]
    x509_removed: tuple[str, ...]
    jwt_added: tuple[str, ...]
    jwt_removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """All that is known of one trust domain's bundle. Replaced as a whole, never changed."""

    tracked: TrackedTrustDomain
    live: LiveBundle | None = None
    confirmed_at: int | None = None
    fault: BundleHealth | None = None
    reason: str = ""
    reports: int = 0
    # Only of sources that are asked, and not always as often as each other.
    refresh_at: int | None = None
    confirm_every: int | None = None

    @property
    def stale_at(self) -> int | None:
        return None if self.confirmed_at is None else self.confirmed_at + self.tracked.max_stale

    @property
    def _every(self) -> int:
        return self.confirm_every or self.tracked.confirm_every

    def status(self, now: int) -> BundleStatus:
        health, reason = self._health(now)
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
            stale_at=self.stale_at,
            fault=self.fault,
        )

    def _health(self, now: int) -> tuple[BundleHealth, str]:
        if self.live is None or self.confirmed_at is None or self.stale_at is None:
            return self.fault or BundleHealth.UNREACHABLE, self.reason or "not read yet"
        if now >= self.stale_at:
            return BundleHealth.STALE, self.reason or "not confirmed for longer than max_stale"
        if self.live.bundle.is_empty:
            return BundleHealth.EMPTY, self.reason or "the bundle holds no usable key: nothing is trusted"
        if self.fault is not None:
            return BundleHealth.LATE, f"{self.fault.value}: {self.reason}"
        if now >= self.confirmed_at + _MISSED_CONFIRMATIONS * self._every:
            return BundleHealth.LATE, "the source has not confirmed it in time"
        return BundleHealth.FRESH, ""


class BundleBook:
    """Implements `model.bundle.Bundles`. Thread-safe; each process has its own."""

    def __init__(self, tracked: Iterable[TrackedTrustDomain]) -> None:
        # The keys never change after this, so that a reader without the lock sees a whole state.
        self._states = {one.trust_domain: _State(one) for one in tracked}
        self._revisions = itertools.count(1)
        self._anchors = AnchorSet(0, ())
        self._listeners: list[Callable[[BundleChange], None]] = []
        self._condition = threading.Condition()

    def live(self, trust_domain: TrustDomain, now: int) -> LiveBundle:
        """The bundle of exactly this trust domain; see `model.bundle.Bundles`.

        Raises: EvidenceRejected (TRUST_DOMAIN_UNKNOWN); Unavailable (BUNDLE_UNAVAILABLE).
        """
        state = self._states.get(trust_domain)
        if state is None:
            raise IssuerUntrusted(Reason.TRUST_DOMAIN_UNKNOWN, f"no trust domain {trust_domain} is configured")
        if state.live is None or state.stale_at is None:
            raise Unavailable(
                Reason.BUNDLE_UNAVAILABLE,
                f"the bundle of {trust_domain} is not known: {state.reason or 'not read yet'}",
            )
        if now >= state.stale_at:
            raise Unavailable(
                Reason.BUNDLE_UNAVAILABLE, f"the bundle of {trust_domain} is past max_stale: {state.reason}"
            )
        return state.live

    def statuses(self, now: int) -> list[BundleStatus]:
        """How every configured trust domain stands, by name."""
        return [state.status(now) for _, state in sorted(self._states.items(), key=lambda item: item[0].name)]

    def anchors(self) -> AnchorSet:
        """The union of the known bundles' CA certificates."""
        return self._anchors

    def on_change(self, listener: Callable[[BundleChange], None]) -> None:
        """Call `listener` whenever a bundle's keys change, in the source's thread, after the change is in
        force. A BridgeError that it raises is logged and does not hold up the source."""
        with self._condition:
            self._listeners.append(listener)

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until `condition` holds, looking after every report of a source. `timeout` in seconds."""
        with self._condition:
            return self._condition.wait_for(condition, timeout)

    def wait_until_reported(self, timeout: float) -> bool:
        """Wait until every trust domain's source has said something, good or bad."""
        return self.wait_until(
            lambda: all(state.live is not None or state.fault is not None for state in self._states.values()),
            timeout,
        )

    def reports(self) -> tuple[int, ...]:
        """How often the source of each trust domain has said something, good or bad; for `wait_until`."""
        return tuple(state.reports for state in self._states.values())

    # --- for sources ----------------------------------------------------------------------------

    def publish(
        self,
        bundle: TrustBundle,
        *,
        confirmed_at: int,
        confirm_every: int | None = None,
        refresh_at: int | None = None,
    ) -> None:
        """Put a bundle in force, or confirm the one that is. `confirmed_at`: epoch seconds, as is `refresh_at`, where
        the source knows when it will ask again; `confirm_every`: seconds, where this bundle says how often.

        The revision grows if and only if the keys differ from those in force. Whether a lower
        sequence may replace a higher one is the source's to decide.
        """
        with self._condition:
            state = self._states[bundle.trust_domain]
            before = None if state.live is None else state.live.bundle
            changed = before is None or _keys(before) != _keys(bundle)
            revision = next(self._revisions) if changed or state.live is None else state.live.revision
            self._states[bundle.trust_domain] = replace(
                state,
                live=LiveBundle(bundle, revision),
                confirmed_at=confirmed_at,
                fault=None,
                reason="",
                reports=state.reports + 1,
                refresh_at=refresh_at,
                confirm_every=confirm_every,
            )
            if changed:
                self._collect_anchors()
            self._condition.notify_all()
            listeners = list(self._listeners) if changed else []
        if changed:
            change = _change(state.tracked, before, bundle, revision)
            _log.info("trust bundle of %s changed: %s", bundle.trust_domain, _summary(change))
            for listener in listeners:
                _call(listener, change)
        _say_recovery(state, bundle, confirmed_at)

    def fail(
        self, trust_domain: TrustDomain, health: BundleHealth, reason: str, *, refresh_at: int | None = None
    ) -> None:
        """Say that the source could not be read (UNREACHABLE) or made no sense (MALFORMED). The last good
        bundle stays in force until it is stale. `refresh_at`: epoch seconds, where it is known when it will be asked
        again."""
        with self._condition:
            state = self._states[trust_domain]
            self._states[trust_domain] = replace(
                state,
                fault=health,
                reason=reason,
                reports=state.reports + 1,
                refresh_at=refresh_at or state.refresh_at,
            )
            self._condition.notify_all()
        if (state.fault, state.reason) != (health, reason):
            rest = "there is no earlier one" if state.live is None else "the last good one stays in force"
            _log.warning("trust bundle of %s is %s: %s; %s", trust_domain, health.value, reason, rest)

    def _collect_anchors(self) -> None:
        found = dict.fromkeys(
            certificate
            for state in self._states.values()
            if state.live is not None
            for certificate in state.live.bundle.x509_authorities
        )
        if set(found) != set(self._anchors.certificates):
            self._anchors = AnchorSet(self._anchors.revision + 1, tuple(found))


def _say_recovery(before: _State, bundle: TrustBundle, confirmed_at: int) -> None:
    """Whoever read that a bundle was at fault, empty or stale reads here that it is not any more."""
    was_stale = before.stale_at is not None and confirmed_at >= before.stale_at
    was_empty = before.live is not None and before.live.bundle.is_empty
    if bundle.is_empty:
        if not was_empty:
            _log.warning("trust bundle of %s is empty: nothing of it is trusted", bundle.trust_domain)
    elif before.fault is not None or was_stale or was_empty:
        _log.info("trust bundle of %s is fresh again", bundle.trust_domain)


def _keys(bundle: TrustBundle) -> tuple[frozenset[bytes], frozenset[tuple[str, str]]]:
    """What trust follows from; order, sequence and hint are not part of it."""
    return (
        frozenset(bundle.x509_authorities),
        frozenset((key.key_id, key.jwk) for key in bundle.jwt_authorities),
    )


def _change(tracked: TrackedTrustDomain, before: TrustBundle | None, after: TrustBundle, revision: int) -> BundleChange:
    return BundleChange(tracked.trust_domain, tracked.source, after.sequence, revision, **difference(before, after))


def difference(before: TrustBundle | None, after: TrustBundle | None) -> dict[str, tuple[str, ...]]:
    """Which keys came and went, by the names that `BundleChange` has for them; None is no bundle at all."""
    old_x509, old_jwt = (frozenset(), frozenset()) if before is None else _keys(before)
    new_x509, new_jwt = (frozenset(), frozenset()) if after is None else _keys(after)
    return {
        "x509_added": _fingerprints(new_x509 - old_x509),
        "x509_removed": _fingerprints(old_x509 - new_x509),
        "jwt_added": tuple(sorted(key_id for key_id, _ in new_jwt - old_jwt)),
        "jwt_removed": tuple(sorted(key_id for key_id, _ in old_jwt - new_jwt)),
    }


def _fingerprints(certificates: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted(fingerprint(certificate) for certificate in certificates))


def fingerprint(certificate: bytes) -> str:
    """What people call a certificate by: the hex SHA-256 of its DER."""
    return hashlib.sha256(certificate).hexdigest()


def _summary(change: BundleChange) -> str:
    return (
        f"x509 +{len(change.x509_added)} -{len(change.x509_removed)}, "
        f"jwt +{len(change.jwt_added)} -{len(change.jwt_removed)}"
    )


def _call(listener: Callable[[BundleChange], None], change: BundleChange) -> None:
    try:
        listener(change)
    except BridgeError as error:
        _log.error("trust bundle of %s: the change could not be recorded: %s", change.trust_domain, error)
