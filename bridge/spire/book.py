"""The bundles in force, one per configured trust domain, never merged (SCA-27).

Sources write, verification reads. `live` is asked for every credential, so it takes no lock: it reads
one reference to a frozen state. Staleness is judged by the clock of the asker against the time when the
source last confirmed the bundle, not by whether a thread is still alive (SPIFFE-24). Trust domains that hold one and
the same key are refused together until one of them gives it up.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from bridge.model.bundle import BundleHealth, BundleStatus, LiveBundle, TrustBundle
from bridge.model.errors import BridgeError, IssuerUntrusted, Unavailable
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.anchor_names import AnchorNames
from bridge.spire.shared_keys import SharedKeys
from bridge.spire.standing import Clocks, Standing
from bridge.spire.standing import TrackedTrustDomain as TrackedTrustDomain

_log = logging.getLogger("bridge.spire")
# A command that shows the states itself configures no log, and needs no copy of them on standard error.
_log.addHandler(logging.NullHandler())

# Both clocks tell whole seconds apart at different moments.
_ROUNDING = 1

_Told = TypeVar("_Told")


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """All CA certificates of all known bundles, DER, for the TLS handshake only, which cannot know the
    trust domain, but for those that it would take for another one's (`anchor_names`); those of stale bundles and of
    refused ones are in it, so that the answer can be 503. `revision` grows with each change."""

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


class BundleBook:
    """Implements `model.bundle.Bundles`. Thread-safe; each process has its own."""

    def __init__(self, tracked: Iterable[TrackedTrustDomain], *, steady: Callable[[], float] = time.monotonic) -> None:
        """`steady` gives seconds by a clock that nobody sets."""
        # The keys never change after this, so that a reader without the lock sees a whole state.
        self._states = {one.trust_domain: Standing(one) for one in tracked}
        self._steady = steady
        self._revisions = itertools.count(1)
        self._anchors, self._anchors_changed = AnchorSet(0, ()), False
        self._shared, self._anchor_names = SharedKeys(), AnchorNames()
        self._listeners: list[Callable[[BundleChange], None]] = []
        self._sharing_listeners: list[Callable[[TrustDomain], None]] = []
        self._condition = threading.Condition()

    def live(self, trust_domain: TrustDomain, now: int) -> LiveBundle:
        """The bundle of exactly this trust domain; see `model.bundle.Bundles`.

        Raises: EvidenceRejected (TRUST_DOMAIN_UNKNOWN); Unavailable (BUNDLE_UNAVAILABLE, BUNDLE_SHARED).
        """
        state = self._state(trust_domain)
        if state.shared is not None:
            raise Unavailable(Reason.BUNDLE_SHARED, f"trust domain {trust_domain} {state.shared}")
        return self._live(state, now)

    def held(self, trust_domain: TrustDomain, now: int) -> LiveBundle:
        """As `live`, and also where another trust domain holds one of the keys: what a bundle endpoint's server
        proves itself by. Whoever copies the CA of such a server must not end the polling of all that it serves, and
        what it serves may be the cure. Never for a client. Raises: as `live`, but for BUNDLE_SHARED."""
        return self._live(self._state(trust_domain), now)

    def _state(self, trust_domain: TrustDomain) -> Standing:
        state = self._states.get(trust_domain)
        if state is None:
            raise IssuerUntrusted(Reason.TRUST_DOMAIN_UNKNOWN, f"no trust domain {trust_domain} is configured")
        return state

    def _live(self, state: Standing, now: int) -> LiveBundle:
        trust_domain = state.tracked.trust_domain
        if state.live is None:
            raise Unavailable(
                Reason.BUNDLE_UNAVAILABLE,
                f"the bundle of {trust_domain} is not known: {state.reason or 'not read yet'}",
            )
        if state.is_stale(self._at(now)):
            self._is_over(state)
            raise Unavailable(
                Reason.BUNDLE_UNAVAILABLE, f"the bundle of {trust_domain} is past max_stale: {state.reason}"
            )
        return state.live

    def _at(self, now: int) -> Clocks:
        return Clocks(now, self._steady())

    def _is_over(self, seen: Standing) -> None:
        """Somebody saw that a bundle is too old: no clock that is set back makes it young again."""
        if seen.is_over:
            return
        with self._condition:
            state = self._states[seen.tracked.trust_domain]
            if state.confirmed_at == seen.confirmed_at:
                self._states[seen.tracked.trust_domain] = replace(state, is_over=True)

    @property
    def trust_domains(self) -> tuple[TrustDomain, ...]:
        """Those that are configured."""
        return tuple(self._states)

    def statuses(self, now: int) -> list[BundleStatus]:
        """How every configured trust domain stands, by name."""
        at = self._at(now)
        return [self._status(state, at) for _, state in sorted(self._states.items(), key=lambda item: item[0].name)]

    def status(self, trust_domain: TrustDomain, now: int) -> BundleStatus:
        """How one of them stands. Raises: KeyError when it is not configured."""
        return self._status(self._states[trust_domain], self._at(now))

    def _status(self, state: Standing, at: Clocks) -> BundleStatus:
        if state.is_stale(at):
            self._is_over(state)
        return state.status(at)

    def anchors(self) -> AnchorSet:
        """The union of the known bundles' CA certificates. It is made when somebody asks after a change, so that many
        changes in a row are one."""
        if self._anchors_changed:
            with self._condition:
                self._collect_anchors()
        return self._anchors

    def on_change(self, listener: Callable[[BundleChange], None]) -> None:
        """Call `listener` whenever a bundle's keys change, in the source's thread, after the change is in
        force. A BridgeError that it raises is logged and does not hold up the source."""
        with self._condition:
            self._listeners.append(listener)

    def on_sharing(self, listener: Callable[[TrustDomain], None]) -> None:
        """Call `listener` as in `on_change` for each trust domain that comes to share a key with another one, or
        shares none any more, or another one."""
        with self._condition:
            self._sharing_listeners.append(listener)

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until `condition` holds, looking after every report of a source. `timeout` in seconds."""
        with self._condition:
            return self._condition.wait_for(condition, timeout)

    def wait_until_reported(self, timeout: float, *, but_for: Collection[TrustDomain] = ()) -> bool:
        """Wait until the source of every trust domain `but_for` these has said something, good or bad."""
        return self.wait_until(
            lambda: all(state.has_reported or name in but_for for name, state in self._states.items()), timeout
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
        age: int = 0,
        confirm_every: int | None = None,
        refresh_at: int | None = None,
        why_empty: str = "",
    ) -> None:
        """Put a bundle in force, or confirm the one that is. `confirmed_at`: epoch seconds, as is `refresh_at`, where
        the source knows when it will ask again; `age`: how many seconds have passed since `confirmed_at`, where it is
        not just now; `confirm_every`: seconds, where this bundle says how often; `why_empty`: what there is to say of
        it where it has no keys.

        The revision grows if and only if the keys differ from those in force; another trust domain's does when one of
        its keys comes to be shared by that, or ceases to be. Whether a lower sequence may replace a higher one is the
        source's to decide.
        """
        name = bundle.trust_domain
        with self._condition:
            state = self._states[name]
            before = None if state.live is None else state.live.bundle
            touched, revision = set[TrustDomain](), 0 if state.live is None else state.live.revision
            changed = before is None or (before is not bundle and _keys(before) != _keys(bundle))
            if changed:
                touched, revision = self._shared.hold(bundle), next(self._revisions)
                self._anchor_names.hold(bundle, fetched=state.tracked.is_fetched)
            after = state.published(
                LiveBundle(bundle, revision),
                shared=self._shared.shared_by(name) if changed else state.shared,
                confirmed_at=confirmed_at,
                ends=self._steady() + state.tracked.max_stale - age + _ROUNDING,
                refresh_at=refresh_at,
                confirm_every=confirm_every,
                why_empty=why_empty if bundle.is_empty else "",
            )
            self._states[name] = after
            sharing = [(state, after), *map(self._share, touched)]
            self._anchors_changed |= changed
            self._condition.notify_all()
            listeners, sharing_listeners = list(self._listeners) if changed else [], list(self._sharing_listeners)
        if changed:
            change = _change(state.tracked, before, bundle, revision)
            _log.info("trust bundle of %s changed: %s", name, _summary(change))
            for listener in listeners:
                _call(listener, change, name)
        for one in _said_sharing(sharing):
            for tell in sharing_listeners:
                _call(tell, one, one)
        _say_recovery(state, bundle, confirmed_at, why_empty)

    def _share(self, trust_domain: TrustDomain) -> tuple[Standing, Standing]:
        """Another bundle changed: whether this trust domain is refused because of a key in it. Before and after."""
        was, shared = self._states[trust_domain], self._shared.shared_by(trust_domain)
        if shared == was.shared:
            return was, was
        now = replace(was, shared=shared)
        if (now.shared is None) != (was.shared is None) and now.live is not None:
            # What was verified before is not to be remembered when the key is its own again.
            now = replace(now, live=LiveBundle(now.live.bundle, next(self._revisions)))
        self._states[trust_domain] = now
        return was, now

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
        self._anchors_changed = False
        found = self._anchor_names.together()
        if set(found) != set(self._anchors.certificates):
            self._anchors = AnchorSet(self._anchors.revision + 1, found)


def _said_sharing(turned: Iterable[tuple[Standing, Standing]]) -> list[TrustDomain]:
    """Say each change of who shares a key with whom once, on both sides; the trust domains of which there was one."""
    changed = []
    for was, now in turned:
        if was.shared == now.shared:
            continue
        name = now.tracked.trust_domain
        changed.append(name)
        if now.shared is None:
            _log.info("trust bundle of %s shares no key any more, and is trusted again", name)
        else:
            words = "trust bundle of %s is refused: it %s; requests of both get 503 until one of the two gives it up"
            _log.error(words, name, now.shared)
    return changed


def _say_recovery(before: Standing, bundle: TrustBundle, confirmed_at: int, why_empty: str) -> None:
    """Whoever read that a bundle was at fault, empty or stale reads here that it is not any more."""
    was_stale = before.is_over or (
        before.confirmed_at is not None and confirmed_at >= before.confirmed_at + before.tracked.max_stale
    )
    was_empty = before.live is not None and before.live.bundle.is_empty
    if bundle.is_empty:
        if not was_empty:
            more = f"; {why_empty}" if why_empty else ""
            _log.warning("trust bundle of %s is empty: nothing of it is trusted%s", bundle.trust_domain, more)
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


def _call(listener: Callable[[_Told], None], told: _Told, trust_domain: TrustDomain) -> None:
    try:
        listener(told)
    except BridgeError as error:
        _log.error("trust bundle of %s: the change could not be recorded: %s", trust_domain, error)
