"""Bundles from the Workload API: X.509 and JWT keys of the own and of federated trust domains.

One connection serves all trust domains that name the same socket. The API sends the two kinds of keys
on two streams; a bundle here is both halves. It is known once both have been heard of, and it is
confirmed as of the half that was heard of longer ago.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from spiffe._proto import workload_pb2

from bridge.model.bundle import BundleHealth, JwtAuthority, TrustBundle
from bridge.model.spiffe_id import SCHEME, InvalidSpiffeId, TrustDomain
from bridge.spire.book import BundleBook
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.parse import MalformedBundle, parse_jwt_authorities, parse_x509_authorities
from bridge.spire.source import Clock
from bridge.spire.supervised_stream import STREAM_SECONDS, SupervisedStream

# So many names of an agent fit into a line that somebody reads.
MOST_NAMES = 8


class BundleKind(StrEnum):
    """The two halves of a bundle, as the Workload API divides it."""

    X509 = "x509"
    JWT = "jwt"


# What each half is asked with.
_CALLS: dict[BundleKind, tuple[str, Any]] = {
    BundleKind.X509: ("FetchX509Bundles", workload_pb2.X509BundlesRequest()),
    BundleKind.JWT: ("FetchJWTBundles", workload_pb2.JWTBundlesRequest()),
}


@dataclass(slots=True)
class _Half:
    """What is known of one trust domain's keys of one kind.

    `raw` is what they were parsed from, None before the first message and where the agent does not
    offer this kind. `known` stays False until the agent said something that holds.
    """

    known: bool = False
    offered: bool = True
    raw: bytes | None = None
    x509: tuple[bytes, ...] = ()
    jwt: tuple[JwtAuthority, ...] = ()
    confirmed_at: int = 0
    fault: tuple[BundleHealth, str] | None = None


@dataclass(slots=True)
class _Bundle:
    """Both halves of one trust domain, and what the book was told last."""

    trust_domain: TrustDomain
    halves: dict[BundleKind, _Half] = field(default_factory=lambda: {kind: _Half() for kind in BundleKind})
    told: tuple[TrustBundle, int] | None = None


class WorkloadApiSource:
    """Keeps the bundles of some trust domains as one agent states them.

    A trust domain that a message leaves out has no bundle any more: nothing of it is trusted
    (SPIFFE-32). A set of one trust domain that cannot be parsed leaves that one's last good keys in force
    and touches no other. An agent that is gone, mute or refuses leaves all last good bundles in force
    until they are stale.
    """

    def __init__(
        self,
        endpoint: WorkloadEndpoint,
        trust_domains: Iterable[TrustDomain],
        book: BundleBook,
        clock: Clock,
        *,
        stream_life: float = STREAM_SECONDS,
    ) -> None:
        self._book = book
        self._clock = clock
        self._endpoint = endpoint
        self._lock = threading.Lock()
        # When the agent last said anything, by the clock as it was then.
        self._latest = 0
        # Whom the agent knows, by what it said last of each kind.
        self._known: dict[BundleKind, frozenset[str]] = {}
        self._bundles = [_Bundle(trust_domain) for trust_domain in trust_domains]
        self._streams = [
            SupervisedStream(
                *_CALLS[kind],
                endpoint,
                what=f"{kind.value} bundle",
                life=stream_life,
                received=partial(self._received, kind),
                failed=partial(self._failed, kind),
                not_offered=partial(self._not_offered, kind),
            )
            for kind in BundleKind
        ]

    def start(self) -> None:
        """Connect from threads. The socket need not exist yet."""
        for stream in self._streams:
            stream.start()

    def refresh_now(self) -> None:
        """Ask the agent for its state again, at once."""
        for stream in self._streams:
            stream.refresh_now()

    def close(self) -> None:
        """End both streams."""
        for stream in self._streams:
            stream.close()

    def _received(self, kind: BundleKind, message: Any) -> None:
        """A message: the complete state of one kind, of every trust domain the agent knows."""
        now = self._clock()
        said: Mapping[str, bytes] = dict(message.bundles)
        with self._lock:
            self._set_back(now)
            self._known[kind] = frozenset(said)
            for bundle in self._bundles:
                _take(bundle.halves[kind], kind, said.get(bundle.trust_domain.id), now)
                self._settle(bundle)

    def _set_back(self, now: int) -> None:
        """A clock that was set back leaves each half as old as it was at the message before: none counts as confirmed
        longer for it."""
        behind, self._latest = self._latest - now, now
        for half in (half for bundle in self._bundles for half in bundle.halves.values() if behind > 0):
            half.confirmed_at -= behind

    def _failed(self, kind: BundleKind, reason: str) -> None:
        fault = (BundleHealth.UNREACHABLE, f"{self._endpoint.address}: {reason}")
        with self._lock:
            for bundle in self._bundles:
                bundle.halves[kind].fault = fault
                self._settle(bundle)

    def _not_offered(self, kind: BundleKind, reason: str) -> None:
        """The agent has no such call. If it once had, this is a fault of the agent and no revocation."""
        with self._lock:
            for bundle in self._bundles:
                half = bundle.halves[kind]
                if half.known and half.offered:
                    half.fault = (BundleHealth.UNREACHABLE, f"{self._endpoint.address}: {reason}")
                else:
                    half.known, half.offered, half.fault = True, False, None
                self._settle(bundle)

    def _settle(self, bundle: _Bundle) -> None:
        """Tell the book what both halves together mean now."""
        halves = bundle.halves.values()
        offered = [half for half in halves if half.offered]
        if not offered:
            reason = f"{self._endpoint.address}: the agent offers neither X.509 nor JWT bundles"
            self._book.fail(bundle.trust_domain, BundleHealth.UNREACHABLE, reason)
            return
        fault = next((half.fault for half in halves if half.fault is not None), None)
        if all(half.known for half in halves):
            whole = TrustBundle(
                trust_domain=bundle.trust_domain,
                x509_authorities=bundle.halves[BundleKind.X509].x509,
                jwt_authorities=bundle.halves[BundleKind.JWT].jwt,
            )
            now_told = (whole, min(half.confirmed_at for half in offered))
            # While one half fails, the other's confirmations must not make the whole look confirmed.
            if fault is None or now_told != bundle.told:
                bundle.told = now_told
                age = max(0, self._clock() - now_told[1])
                why = self._why_empty(bundle.trust_domain) if whole.is_empty else ""
                self._book.publish(whole, confirmed_at=now_told[1], age=age, why_empty=why)
        if fault is not None:
            self._book.fail(bundle.trust_domain, *fault)

    def _why_empty(self, trust_domain: TrustDomain) -> str:
        """Where the agent has never heard of the trust domain, which is a slip in its name most often."""
        known = frozenset[str]().union(*self._known.values())
        if trust_domain.id in known:
            return ""
        names = sorted(_names(known))
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return (
            f"the agent does not federate with '{trust_domain}'; it knows: {', '.join(names[:MOST_NAMES])}{more}. Mend "
            "the name in bridge.toml, or let the bridge's own entry federate with it (-federatesWith)"
        )


def _names(ids: Iterable[str]) -> Iterator[str]:
    """The trust domains that an agent names, without what is none."""
    for one in ids:
        with suppress(InvalidSpiffeId):
            yield TrustDomain.parse(one.removeprefix(SCHEME)).name


def _take(half: _Half, kind: BundleKind, raw: bytes | None, now: int) -> None:
    """Read one trust domain's part of a message; None means that the message has none."""
    if half.known and half.offered and half.fault is None and raw == half.raw:
        half.confirmed_at = now
        return
    try:
        if kind is BundleKind.X509:
            half.x509 = () if raw is None else parse_x509_authorities(raw)
        else:
            half.jwt = () if raw is None else parse_jwt_authorities(raw)
    except MalformedBundle as error:
        half.fault = (BundleHealth.MALFORMED, f"the agent sent {kind.value} keys that cannot be read: {error}")
        return
    half.known = half.offered = True
    half.raw, half.confirmed_at, half.fault = raw, now, None
