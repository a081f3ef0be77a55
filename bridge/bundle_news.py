"""What operators see of trust bundles: audit rows for each change of keys, metrics of each trust domain's state."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.bundle import BundleHealth, BundleStatus, TrustBundle
from bridge.model.errors import Unavailable
from bridge.model.polled_bundle import NotedKeys
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.observe import metrics
from bridge.spire.book import BundleBook, BundleChange, fingerprint
from bridge.spire.described_keys import last_x509
from bridge.store.ports import BundleStore

_log = logging.getLogger("bridge.upkeep")

# In one transaction: a first start with a thousand trust domains takes ten.
_BATCH = 100
# So long, in seconds, after that many were measured: a thousand at once would hold up whoever is being served.
_BETWEEN = 0.05
# A place that nobody has asked for so long belongs to nobody's configuration any more.
FORGET_SECONDS = 90 * 86400
# So many names of keys a line of the log has; the audit row has more.
_MOST_LOGGED = 20
# What asks endpoints, and the outcome of a poll that an alert is about.
_POLLED, WENT_BACK = ("https_web", "https_spiffe"), "lower_sequence"
_USABLE = frozenset({BundleHealth.FRESH, BundleHealth.LATE})


class BundleNews:
    """Follows the book of one worker. All workers see the same changes; the store sees to it that one row comes of
    each, also when it happened while no service ran."""

    def __init__(
        self, book: BundleBook, store: BundleStore, *, new_id: Callable[[], str], clock: Callable[[], int]
    ) -> None:
        self._book, self._store, self._new_id, self._clock = book, store, new_id, clock
        # Trust domains whose keys changed and were not noted yet. Sources add, from threads of theirs.
        self._changed: dict[str, None] = {}
        self._seen: dict[str, tuple[BundleHealth, BundleHealth | None]] = {}
        self._unmeasured: list[TrustDomain] = []
        # By trust domain: the revision of a bundle, and end and life of the X.509 authority that ends last.
        self._last_x509: dict[str, tuple[int, tuple[int, int] | None]] = {}

    def changed(self, change: BundleChange) -> None:
        """Tell metrics and log which keys came and went, and have it noted soon. Takes no time of the source's."""
        name = change.trust_domain.name
        metrics.bundle_changes.labels(name).inc()
        _log.info(
            "bundle changed",
            extra={
                "trust_domain": name,
                "sequence": change.sequence,
                **_first(x509_added=change.x509_added, x509_removed=change.x509_removed),
                **_first(jwt_added=change.jwt_added, jwt_removed=change.jwt_removed),
            },
        )
        self._changed[name] = None

    def shared(self, trust_domain: TrustDomain) -> None:
        """Have noted soon that this trust domain came to share a key with another one, or ceased to."""
        self._changed[trust_domain.name] = None

    def note(self, at: int) -> None:
        """Write down what changed. What the store does not take now, it is asked to take the next time.

        Raises: Unavailable.
        """
        for names in _batches(list(self._changed)):
            noted, notes = self._store.noted(names), []
            for name in names:
                # Before it is read: a change from here on is a further one.
                self._changed.pop(name, None)
                status = self._book.status(TrustDomain(name), at)
                if status.bundle is None:
                    continue
                before, now = noted.get(name, NotedKeys()), noted_keys(status)
                if before.text() != now.text():
                    notes.append((now, self._event(status, before, at)))
            try:
                if notes:
                    self._store.note(notes)
            except Unavailable:
                self._changed.update(dict.fromkeys(names))
                raise

    def _event(self, status: BundleStatus, before: NotedKeys, at: int) -> AuditEvent:
        outcome = "shared" if status.shared is not None else "shared_no_more" if before.shared else "changed"
        return AuditEvent(
            self._new_id(),
            at,
            AuditEventKind.BUNDLE_CHANGED,
            subject=status.trust_domain.name,
            outcome=outcome,
            reason="" if status.shared is None else Reason.BUNDLE_SHARED.value,
            bundle_sequence=None if status.bundle is None else status.bundle.sequence,
        )

    def measure(self, at: int) -> float | None:
        """Show how some trust domains stand; log when one grows stale, which no source says. The seconds to rest before
        the next ones; None when all were looked at: then it begins anew."""
        self._unmeasured = self._unmeasured or list(self._book.trust_domains)
        now, self._unmeasured = self._unmeasured[:_BATCH], self._unmeasured[_BATCH:]
        for trust_domain in now:
            self._measure_one(self._book.status(trust_domain, at), at)
        return _BETWEEN if self._unmeasured else None

    def _measure_one(self, status: BundleStatus, at: int) -> None:
        name = status.trust_domain.name
        if name not in self._seen and status.source in _POLLED:
            # From 0 on: Prometheus sees no increase in a series that begins with 1.
            metrics.bundle_polls.labels(name, WENT_BACK).inc(0)
        metrics.bundle_usable.labels(name).set(1 if status.health in _USABLE else 0)
        if status.fetched_at is not None:
            metrics.bundle_age.labels(name).set(at - status.fetched_at)
        if status.stale_at is not None:
            metrics.bundle_stale_in.labels(name).set(status.stale_at - at)
        self._measure_x509(status, at)
        self._measure_state(name, status)

    def _measure_x509(self, status: BundleStatus, at: int) -> None:
        if status.bundle is None:
            return
        name, last = status.trust_domain.name, self._last(status.trust_domain.name, status.revision, status.bundle)
        # Of a bundle that has none any more, what was shown before would stay.
        until, life = (math.inf, 0) if last is None else last
        metrics.bundle_x509_ends_in.labels(name).set(until - at)
        metrics.bundle_x509_life.labels(name).set(life)

    def x509_until(self, status: BundleStatus) -> int | None:
        """When the last X.509 authority of its bundle ends (epoch seconds); None where there is none."""
        if status.bundle is None:
            return None
        last = self._last(status.trust_domain.name, status.revision, status.bundle)
        return None if last is None else last[0]

    def _last(self, name: str, revision: int, bundle: TrustBundle) -> tuple[int, int] | None:
        """Certificates are read once for each change of keys."""
        known = self._last_x509.get(name)
        if known is None or known[0] != revision:
            known = self._last_x509[name] = (revision, last_x509(bundle))
        return known[1]

    def _measure_state(self, name: str, status: BundleStatus) -> None:
        """One series for each state that this trust domain ever was in, so that a thousand have not six thousand."""
        before, now = self._seen.get(name), (status.health, status.fault)
        if before == now:
            return
        self._seen[name] = now
        if before is not None:
            metrics.bundle_state.labels(name, before[0].value).set(0)
            if before[1] is not None:
                metrics.bundle_fault.labels(name, before[1].value).set(0)
        metrics.bundle_state.labels(name, status.health.value).set(1)
        if status.fault is not None:
            metrics.bundle_fault.labels(name, status.fault.value).set(1)
        if status.health is BundleHealth.STALE:
            words = "trust bundle of %s is stale: %s; nothing of it is accepted until it is confirmed"
            _log.error(words, name, status.reason)

    def sweep(self, at: int) -> None:
        """Forget bundles of places that are configured no more."""
        self._store.sweep(before=at - FORGET_SECONDS, batch=_BATCH)


def noted_keys(status: BundleStatus) -> NotedKeys:
    """A trust domain's keys by name, and the one that is not its own alone."""
    bundle, shared = status.bundle or TrustBundle(status.trust_domain), status.shared
    return NotedKeys(
        tuple(sorted(fingerprint(der) for der in bundle.x509_authorities)),
        tuple(sorted((key.key_id, hashlib.sha256(key.jwk.encode()).hexdigest()) for key in bundle.jwt_authorities)),
        () if shared is None else (f"{shared.key} with {shared.other}",),
    )


def _first(**names: tuple[str, ...]) -> dict[str, list[str]]:
    """What an endpoint changes again and again is not to fill the log."""
    return {
        way: [*those[:_MOST_LOGGED], *([f"and {len(those) - _MOST_LOGGED} more"] if len(those) > _MOST_LOGGED else [])]
        for way, those in names.items()
    }


def _batches(names: list[str]) -> list[list[str]]:
    return [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
