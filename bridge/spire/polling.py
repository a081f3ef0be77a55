"""One question to one bundle endpoint, and what its answer means (SPIFFE Federation sections 5 and 6).

No thread, no clock and no network here: the record as it was, the answer, and the record that follows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bridge.model.bundle import BundleHealth, TrustBundle
from bridge.model.polled_bundle import PolledBundle
from bridge.model.spiffe_id import SpiffeId, TrustDomain
from bridge.spire.parse import MalformedBundle, parse_bundle

# For bundles without a hint (SPIFFE-26), and the first pause after a first question that failed.
DEFAULT_HINT = 300
_FIRST_RETRY = 5
# What of an interval may be left out, so that a thousand trust domains are not asked in the same second. Never
# more is added to it: a removed key is to be gone within the hint.
_JITTER = 0.1
# Seconds: a difference between clocks that may be of no meaning.
CLOCK_TOLERANCE = 60


class PollFailed(Exception):
    """An endpoint gave no bundle. `outcome` is a word for metrics; the message is for people."""

    def __init__(self, health: BundleHealth, outcome: str, words: str) -> None:
        super().__init__(words)
        self.health, self.outcome = health, outcome


@dataclass(frozen=True, slots=True)
class WebEndpoint:
    """Profile https_web: the server is verified as web servers are, with the CAs of `ca_file` beside the system's."""

    url: str
    ca_file: str | None = None

    @property
    def profile(self) -> str:
        """As the configuration spells it."""
        return "https_web"

    @property
    def source(self) -> str:
        """What makes this place this place, whatever else is configured for it."""
        return f"{self.profile} {self.url}"


@dataclass(frozen=True, slots=True)
class SpiffeEndpoint:
    """Profile https_spiffe: the server presents the X.509-SVID of `endpoint_id`. `bootstrap` is a bundle of that ID's
    trust domain for the first time; None where that trust domain is configured by itself."""

    url: str
    endpoint_id: SpiffeId
    bootstrap: Path | None = None

    @property
    def profile(self) -> str:
        """As the configuration spells it."""
        return "https_spiffe"

    @property
    def source(self) -> str:
        """What makes this place this place, whatever else is configured for it."""
        return f"{self.profile} {self.url} {self.endpoint_id}"


Endpoint = WebEndpoint | SpiffeEndpoint


@dataclass(frozen=True, slots=True)
class PolledOptions:
    """`source = "https_web"` and `"https_spiffe"`. Units: seconds; `refresh_min` and `refresh_max` clamp the hint."""

    trust_domain: TrustDomain
    endpoint: Endpoint
    max_stale: int
    refresh_min: int = 30
    refresh_max: int = 86400

    def interval(self, hint: int | None) -> int:
        """How long after a good answer the next question comes. A bundle that is well is asked for at least twice
        before it would be stale, whatever the hint and its bounds say."""
        wanted = DEFAULT_HINT if hint is None else hint
        return max(1, min(max(self.refresh_min, min(wanted, self.refresh_max)), self.max_stale // 2))

    def pause(self, hint: int | None, share: float) -> int:
        """The interval, less a part of its jitter (`share` from 0 to 1), never below `refresh_min`."""
        whole = self.interval(hint)
        return max(min(whole, self.refresh_min), whole - int(whole * _JITTER * share))

    def retry(self, hint: int | None, failures: int, *, has_bundle: bool) -> int:
        """How long after `failures` in a row. Soon at first, and never rarer than an endpoint that is well is asked."""
        first = self.refresh_min if has_bundle else min(_FIRST_RETRY, self.refresh_min)
        return min(self.interval(hint), first << min(failures - 1, 16))


@dataclass(frozen=True, slots=True)
class FetchedBundle:
    """An endpoint's answer. `body` None: the bundle that `etag` named still holds. `etag` empty: it gave none."""

    body: bytes | None
    etag: str


class FetchBundle(Protocol):
    """Whoever can ask an endpoint, within bounds of size and time of its own."""

    def __call__(self, endpoint: Endpoint, *, etag: str, anchors: TrustBundle | None, now: int) -> FetchedBundle:
        """`etag` is of the bundle that is there, or empty. `anchors`: what the server of an https_spiffe endpoint is
        verified by; None for https_web.

        Raises: PollFailed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of a question: the record to keep, the body to keep with it (None: the one that is there), and a
    word for metrics."""

    polled: PolledBundle
    body: bytes | None
    outcome: str


@dataclass(frozen=True, slots=True)
class Question:
    """All that an answer is judged by. `hint` is of the bundle that is there; `bootstrap` the digest of the bootstrap
    bundle that is there now. `accept_lower`: an operator said that the sequence may go back, this once."""

    options: PolledOptions
    before: PolledBundle
    hint: int | None
    bootstrap: str = ""
    accept_lower: bool = False


def settle(question: Question, answer: FetchedBundle, *, now: int, share: float) -> Settled:
    """What a good answer means. Raises: PollFailed when it means nothing good."""
    before, body = question.before, answer.body
    if body is None:
        if not before.digest:
            raise PollFailed(BundleHealth.MALFORMED, "malformed", "says that nothing changed, and there was nothing")
        return Settled(_good(question, answer, question.hint, now, share), None, "unchanged")
    try:
        bundle = parse_bundle(body, question.options.trust_domain)
    except MalformedBundle as error:
        raise PollFailed(BundleHealth.MALFORMED, "malformed", f"sent no bundle: {error}") from error
    sequence = _sequence(question, bundle)
    digest = hashlib.sha256(body).hexdigest()
    polled = replace(_good(question, answer, bundle.refresh_hint, now, share), digest=digest, sequence=sequence)
    if digest == before.digest:
        return Settled(polled, None, "unchanged")
    return Settled(polled, body, "empty" if bundle.is_empty else "changed")


def _sequence(question: Question, bundle: TrustBundle) -> int | None:
    """The highest sequence of this place. A bundle without one, once there was one, is taken as the newest that it
    is; it does not let older ones in after it."""
    known = question.before.sequence
    if question.accept_lower or known is None:
        return bundle.sequence
    if bundle.sequence is not None and bundle.sequence < known:
        words = f"spiffe_sequence went back from {known} to {bundle.sequence}; the bundle is ignored"
        words += f". Made anew? Compare by `bridge trust diff {bundle.trust_domain}`, then refresh with --accept-lower"
        raise PollFailed(BundleHealth.MALFORMED, "lower_sequence", words)
    return known if bundle.sequence is None else bundle.sequence


def _good(question: Question, answer: FetchedBundle, hint: int | None, now: int, share: float) -> PolledBundle:
    before = question.before
    return replace(
        before,
        etag=answer.etag or (before.etag if answer.body is None else ""),
        confirmed_at=now,
        asked_at=now,
        refresh_at=now + question.options.pause(hint, share),
        fault="",
        reason="",
        failures=0,
        bootstrap=question.bootstrap,
    )


def fail(question: Question, failure: PollFailed, *, now: int) -> PolledBundle:
    """The record after a question that failed: the last good bundle stays, and the fault is named. After a clock was
    set back it stays as old as it was when it was last asked for, so that no restart makes it younger (F-5)."""
    before, options = question.before, question.options
    set_back = max(before.asked_at, before.confirmed_at) - now
    confirmed_at = before.confirmed_at - set_back if set_back > CLOCK_TOLERANCE else before.confirmed_at
    failures = before.failures + 1
    pause = options.retry(question.hint, failures, has_bundle=bool(before.digest))
    return replace(
        before,
        confirmed_at=max(0, confirmed_at),
        asked_at=now,
        refresh_at=now + pause,
        fault=failure.health.value,
        reason=f"{options.endpoint.url}: {failure}",
        failures=failures,
    )


# Told of each question: trust domain, what came of it.
Observer = Callable[[TrustDomain, str], None]
