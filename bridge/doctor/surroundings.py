"""What stands around an SVID: what this service is called, and the trust domains that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.doctor.words import listed, relative, span
from bridge.model.bundle import BundleStatus
from bridge.model.evidence import Door


@dataclass(frozen=True, slots=True)
class Domain:
    """A configured trust domain. `source` is the kind of its source, `place` the path, socket or URL of it;
    `max_stale` in seconds; `status` how its bundle stands."""

    source: str
    place: str
    max_stale: int
    status: BundleStatus

    def described(self, now: int) -> str:
        """The bundle in a line: where from, how old, what is in it."""
        status, bundle = self.status, self.status.bundle
        if bundle is None or status.fetched_at is None:
            return f"{self.source} {self.place}: {status.health.value}, {status.reason or 'nothing was read'}"
        keys = f"{len(bundle.x509_authorities)} X.509 and {len(bundle.jwt_authorities)} JWT authorities"
        sequence = "" if bundle.sequence is None else f", sequence {bundle.sequence}"
        state = f"{status.health.value}, {status.reason}" if status.reason else status.health.value
        return f"{self.source} {self.place}: {state}, confirmed {relative(status.fetched_at, now)}{sequence}, {keys}"

    @property
    def freshness(self) -> str:
        """How old the bundle may be."""
        return f"confirmed within max_stale ({span(self.max_stale)})"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`issuer` as configured, `domains` by trust domain name; `now`: epoch seconds."""

    issuer: str
    domains: Mapping[str, Domain]
    now: int

    def audience(self, door: Door) -> str:
        """The one audience that a JWT-SVID must have at this door."""
        return f"{self.issuer}/register" if door is Door.REGISTER else self.issuer

    @property
    def names(self) -> str:
        """The configured trust domains."""
        return listed(sorted(self.domains))
