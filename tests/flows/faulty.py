"""A service with many trust domains at once, each with a source of its own that can be spoilt and mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bridge.cli.main import main
from bridge.fetch.bundle_endpoints import BundleEndpoints
from bridge.fetch.exchange import Fetched
from bridge.lab.authority import Authority
from bridge.model.bundle import BundleStatus
from bridge.observe import metrics
from tests.alerts import firing
from tests.flows.client import jwt_fields
from tests.flows.inprocess import InProcess
from tests.flows.stand import ORDERS, Stand
from tests.flows.timed import Clock
from tests.promql import Scrape
from tests.unit.fetch.tls_server import CA, TlsServer, http, sends

WORKLOAD = "/ns/web/sa/api"
PATIENCE = 30.0
# URLs of endpoints that drip: waited for no longer than it takes to see that.
DRIPPING: set[str] = set()


class Endpoints:
    """What asks bundle endpoints, in place of the service's own: with more patience, and with less for those that
    drip, so that neither a slow machine nor a slow server decides a test."""

    def __init__(self) -> None:
        self._patient, self._impatient = BundleEndpoints(seconds=PATIENCE), BundleEndpoints(seconds=0.5)

    def get_web(self, url: str, *, ca_file: str | None, etag: str | None) -> Fetched:
        asks = self._impatient if url in DRIPPING else self._patient
        return asks.get_web(url, ca_file=ca_file, etag=etag)


@dataclass
class Endpoint:
    """An https_web endpoint, at which anything may answer."""

    authority: Authority
    server: TlsServer = field(default_factory=lambda: TlsServer(says_goodbye=False))

    @property
    def url(self) -> str:
        return self.server.url("/bundle", "127.0.0.1")

    @property
    def section(self) -> str:
        return f'source = "https_web"\nurl = "{self.url}"\nca_file = "tls/endpoints.pem"'

    def mend(self) -> None:
        DRIPPING.discard(self.url)
        self.server.prove()
        self.hold(self.authority.bundle_json())

    def hold(self, document: bytes) -> None:
        """What it gives from now on."""
        self.says(document)

    def says(self, body: bytes, status: str = "200 OK", **headers: str) -> None:
        self.server.answer = sends(http(body, status, **headers))

    def drips(self) -> None:
        """A byte now and then, without end."""
        DRIPPING.add(self.url)
        self.server.answer = self._drip

    def _drip(self, stream: Any) -> None:
        stream.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
        while not self.server.ending.wait(0.1):
            stream.sendall(b" ")


@dataclass
class File:
    """A bundle in a file."""

    authority: Authority
    path: Path

    @property
    def section(self) -> str:
        return f'source = "file"\npath = "{self.path}"'

    def mend(self) -> None:
        self.hold(self.authority.bundle_json())

    def hold(self, document: bytes) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_bytes(document)
        draft.replace(self.path)

    def is_gone(self) -> None:
        self.path.unlink(missing_ok=True)


Place = Endpoint | File


@dataclass(frozen=True, slots=True)
class Seen:
    """How a trust domain looked at one moment: its state in `bridge trust list` and in readiness, with the reasons of
    both, the alerts that are true of it, and what its workload got."""

    source: str
    listed: str
    ready: str
    fault: str | None
    reasons: tuple[str, str]
    alerts: frozenset[str]
    answer: tuple[int, str | None]


class Faulty(InProcess):
    """The service. `places` by trust domain; each has one rule, and a workload that it admits."""

    def __init__(self, folder: Path, clock: Clock, places: dict[str, Place], *, max_stale: str) -> None:
        self.clock, self.places = clock, places

        def make(where: Path) -> Stand:
            sections = "".join(
                f'[trust_domains."{name}"]\n{place.section}\nmax_stale = "{max_stale}"\n'
                for name, place in places.items()
            )
            stand = Stand(where, more=sections)
            stand.authority.clock = clock
            (where / "tls/endpoints.pem").write_bytes(CA.certificate_pem)
            for number, name in enumerate(places):
                (where / f"policies/{name}.toml").write_text(
                    f'version = 1\nsource = "spiffe"\ntrust_domain = "{name}"\n'
                    f'[[rule]]\nid = "rule-{number}"\nwhy = "a partner"\neffect = "allow"\n'
                    f'when = {{ path = "{WORKLOAD}" }}\n'
                    f'grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present" }}\n'
                )
            return stand

        super().__init__(folder, make)
        self.scraped = self.scrape()

    def settle(self, done: Callable[[BundleStatus], bool]) -> None:
        """Wait until every trust domain's source has said what it has to say by the clock as it is. What it said is
        for the test to judge, also when one has said nothing."""
        book = self.worker._book
        book.wait_until(lambda: all(map(done, book.statuses(self.clock()))), PATIENCE)

    def scrape(self) -> Scrape:
        self.worker._news.measure(self.clock())
        return Scrape.of(metrics.exposition().decode())

    def look(self) -> dict[str, Seen]:
        """Everything that can be seen of every trust domain."""
        before, self.scraped = self.scraped, self.scrape()
        fires = firing(self.scraped, before, self.clock())
        detail: Any = self.worker._readiness().parts["bundles"]
        seen = {}
        for row in self.listed():
            name = row["trust_domain"]
            if name in self.places:
                ready, alerts = detail[name], frozenset(fires.get(name, ()))
                reasons = row["reason"], ready["reason"]
                states = row["state"], ready["state"]
                seen[name] = Seen(row["source"], *states, row["fault"], reasons, alerts, self.ask(name))
        return seen

    def listed(self) -> Iterable[dict[str, Any]]:
        said = StringIO()
        with redirect_stdout(said):
            assert main(["trust", "list", "--all", "--json", "--config", str(self.stand.config)]) == 0
        rows: list[dict[str, Any]] = json.loads(said.getvalue())
        return rows

    def ask(self, name: str) -> tuple[int, str | None]:
        """A token for the trust domain's workload by its own keys: status and error."""
        svid = self.places[name].authority.jwt_svid(WORKLOAD, self.stand.client.issuer)
        answer = self.call(urlencode(jwt_fields(svid)).encode())
        return int(answer.status[:3]), json.loads(answer.body).get("error")
