"""Polled trust domains over real TLS: an endpoint that answers as it is told, a clock that is set by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bridge.fetch.bundle_endpoints import BundleEndpoints
from bridge.lab.authority import Authority, wall_clock
from bridge.model.bundle import BundleStatus
from bridge.model.polled_bundle import PolledBundles
from bridge.model.spiffe_id import TrustDomain
from bridge.serving.peer import sent_chain
from bridge.spire.book import BundleBook, BundleChange
from bridge.spire.polled_source import PolledSource, Polling
from bridge.spire.polling import Endpoint, PolledOptions, WebEndpoint
from bridge.spire.sources import BundleSources
from bridge.spire.unshared_records import UnsharedRecords
from bridge.wiring_bundles import bundle_fetch
from tests.unit.fetch.tls_server import CA, HOST, Names, TlsServer, http, sends

PARTNER = TrustDomain("partner.example")
SEAL = b"s" * 32
DEADLINE = 20.0
HINT = 300


def document(authority: Authority, **changes: object) -> bytes:
    """An authority's bundle with some members changed; None takes one out."""
    members = {**authority.bundle(), **changes}
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


@dataclass
class Poller:
    """One process that polls one trust domain, question by question, as a test says. `now` is its clock."""

    source: PolledSource
    book: BundleBook
    outcomes: list[str]
    changes: list[BundleChange]
    clock: Clock

    def ask(self, *, accept_lower: bool = False) -> BundleStatus:
        """Ask the endpoint once, and how the trust domain stands then."""
        assert self.source.ask_now(PARTNER, accept_lower=accept_lower)
        return self.status

    @property
    def status(self) -> BundleStatus:
        return self.book.statuses(self.clock.now)[0]


@dataclass
class Clock:
    """Epoch seconds, moved by hand. It begins now, since certificates are made by the real clock. `steady` is the
    clock that nobody sets; it moves with the time that passes, and not where only `now` is set."""

    now: int = field(default_factory=wall_clock)
    steady: float = 0.0

    def __call__(self) -> int:
        return self.now

    def pass_time(self, seconds: int) -> None:
        """Time passes, for both clocks."""
        self.now += seconds
        self.steady += seconds


@dataclass
class Web:
    """An https_web endpoint of a real authority. Set `answer` to have it say something else."""

    server: TlsServer
    authority: Authority
    ca_file: Path
    clock: Clock = field(default_factory=Clock)

    def says(self, body: bytes, status: str = "200 OK", **headers: str) -> None:
        self.server.answer = sends(http(body, status, **headers))

    def says_its_bundle(self, **changes: object) -> None:
        self.says(document(self.authority, **changes))

    @property
    def endpoint(self) -> WebEndpoint:
        return WebEndpoint(self.server.url("/bundle"), str(self.ca_file))

    def poller(self, records: PolledBundles | None = None, endpoint: Endpoint | None = None, **options: int) -> Poller:
        return poller(endpoint or self.endpoint, self.clock, records, **options)


def poller(
    endpoint: Endpoint,
    clock: Clock,
    records: PolledBundles | None = None,
    *,
    seal: bytes = SEAL,
    others: Sequence[PolledOptions] = (),
    seconds: float = 10.0,
    max_stale: int = 3600,
    refresh_min: int = 30,
    refresh_max: int = 86400,
) -> Poller:
    """A process that has just begun: what the records hold is in force. `others` it polls beside the partner."""
    outcomes: list[str] = []
    polling = Polling(
        records=UnsharedRecords() if records is None else records,
        fetch=bundle_fetch(BundleEndpoints(resolve=Names(["127.0.0.1"]), seconds=seconds), sent_chain),
        seal_key=seal,
        holder="me",
        share=lambda: 0.0,
        observe=lambda trust_domain, outcome: outcomes.append(outcome),
    )
    options = PolledOptions(PARTNER, endpoint, max_stale, refresh_min, refresh_max)
    sources = BundleSources([options, *others], clock=clock, polling=polling, steady=lambda: clock.steady)
    assert sources.polled is not None
    changes: list[BundleChange] = []
    sources.book.on_change(changes.append)
    sources.polled.follow()
    return Poller(sources.polled, sources.book, outcomes, changes, clock)


@contextmanager
def web(folder: Path, *, hosts: tuple[str, ...] = (HOST,)) -> Iterator[Web]:
    """An endpoint that serves its authority's bundle."""
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(CA.certificate_pem)
    authority = Authority(PARTNER.name)
    with TlsServer(hosts=hosts) as server:
        stand = Web(server, authority, ca_file)
        stand.says_its_bundle()
        yield stand
