"""Trust bundles: the keys of one trust domain. Never merged, never pooled (SCA-27, T-12)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from bridge.model.spiffe_id import TrustDomain


@dataclass(frozen=True, slots=True)
class JwtAuthority:
    """A public key that signs JWT-SVIDs. `jwk` is its canonical JSON (public members only).

    `key_id` is empty when the entry has no `kid`; such a key can never be chosen by name.
    """

    key_id: str
    jwk: str


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """What one trust domain's keys are, as its source last said.

    `x509_authorities` are DER certificates; `sequence` and `refresh_hint` (seconds) are the bundle's
    own members, None where it has none. A bundle with no usable key trusts nothing (SPIFFE-23).
    """

    trust_domain: TrustDomain
    x509_authorities: tuple[bytes, ...] = ()
    jwt_authorities: tuple[JwtAuthority, ...] = ()
    sequence: int | None = None
    refresh_hint: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no key at all, so that nothing of this trust domain is trusted."""
        return not self.x509_authorities and not self.jwt_authorities


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key that another trust domain holds too, so that neither of them is trusted.

    `key` is its RFC 7638 thumbprint; `here` and `there` what `bridge trust show` calls it in this trust domain and in
    `other`. `last` is the one of the two that came by it last, None where that is not known. `count`: how many keys of
    this trust domain are shared. `here_since` and `there_since` say when each came by it (epoch seconds), where
    somebody looked that up.
    """

    key: str
    other: TrustDomain
    here: str
    there: str
    last: TrustDomain | None = None
    count: int = 1
    here_since: int | None = None
    there_since: int | None = None

    @property
    def in_brief(self) -> str:
        """Which key it is and with whom, without who came by it when."""
        called = self.here if self.here == self.there else f"here {self.here}, there {self.there}"
        return f"shares key {self.key} ({called}) with {self.other}"

    def __str__(self) -> str:
        said = f"{self.in_brief}; "
        said += f"{self.last} came by it last" if self.last is not None else "both had it when they were first read"
        for words, at in (("here", self.here_since), ("there", self.there_since)):
            if at is not None:
                said += f", {words} it is since {datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return f"{said}; {self.count} of its keys are shared" if self.count > 1 else said


class BundleHealth(StrEnum):
    """How a trust domain's bundle stands. `STALE`, `UNREACHABLE` and `MALFORMED` without a usable
    bundle answer 503, and so does `SHARED`: another trust domain holds one of its keys. `EMPTY` answers 401; `LATE`
    still serves the last good one."""

    FRESH = "fresh"
    LATE = "late"
    STALE = "stale"
    EMPTY = "empty"
    MALFORMED = "malformed"
    UNREACHABLE = "unreachable"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class LiveBundle:
    """A bundle that may be used now, and `revision`: a number of this process that changes whenever the
    keys do. A cached verification is valid for the revision it was made under, and no other."""

    bundle: TrustBundle
    revision: int


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """What `bridge trust list`, readiness and metrics show of one trust domain. Times: epoch seconds. `fault` is what
    was wrong when its source was last heard of, also while the last good bundle is in force; `shared` why a bundle is
    refused that is otherwise well."""

    trust_domain: TrustDomain
    source: str
    health: BundleHealth
    reason: str
    bundle: TrustBundle | None
    revision: int
    fetched_at: int | None
    refresh_at: int | None
    stale_at: int | None
    fault: BundleHealth | None = None
    shared: SharedKey | None = None


class Bundles(Protocol):
    """The one question verification asks about trust."""

    def live(self, trust_domain: TrustDomain, now: int) -> LiveBundle:
        """The bundle of exactly this trust domain.

        Raises: EvidenceRejected (TRUST_DOMAIN_UNKNOWN) when nobody configured it; Unavailable
        (BUNDLE_UNAVAILABLE) when none was ever read, or the last good one is past `max_stale`,
        (BUNDLE_SHARED) while another trust domain holds one of its keys. An empty bundle is returned as it
        is: it verifies nothing.
        """
        ...
