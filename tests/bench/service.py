"""The service under the bench: real workers, real TLS, a store on a real disk, and SVIDs by the thousand."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from bridge.config import load_settings
from bridge.lab.authority import Authority
from bridge.model.client import ClientKind, ClientRecord, ClientState
from bridge.store.bulk import seed_clients
from tests.bench.connection import Target
from tests.bench.machine import ALL_CORES, ProcessTree
from tests.flows.client import FORM, jwt_fields
from tests.flows.stand import Stand

# Below the checkout and not in the system's folder for temporary files, which may be memory: an audit row
# is durable only when it is on a disk.
FOLDER = Path(__file__).resolve().parents[2] / ".bench"
THREADS = 8
SVID_LIFE = 3000
# A software statement may not live longer than ten minutes (DCR-35).
STATEMENT_LIFE = 590
IDLE_EXPIRY = 30 * 86_400

# The bench registers more in a minute than any limit for production lets through.
LIMITS = """
[limits]
records_per_trust_domain = 2000000
registrations_per_second = 100000
registration_burst = 1000000
rule_registrations_per_second = 100000
rule_registration_burst = 1000000
"""
REGISTER = "/register"
JSON = "application/json"


def workload(number: int) -> str:
    """The path of one of any number of workloads. All are under one rule."""
    return f"/ns/web/sa/w{number}"


class Bench:
    """One service in a folder of its own, gone when the bench is done with it."""

    def __init__(self, name: str, *, workers: int = 2, more: str = LIMITS) -> None:
        """`more` is added to `bridge.toml`."""
        self.folder = FOLDER / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.stand = Stand(self.folder, more=more, workers=workers, threads=THREADS)
        self.settings = load_settings(self.stand.config)
        self.authority: Authority = self.stand.authority

    @property
    def processes(self) -> ProcessTree:
        return ProcessTree(self.stand.pid)

    @property
    def plain(self) -> Target:
        return Target(self.stand.client.port, str(self.folder / "tls/ca.pem"))

    def start(self) -> float:
        """Start, and wait until it says that it is ready. The answer is how long that took, in seconds."""
        log = self.folder / "bridge.log"
        size = log.stat().st_size if log.exists() else 0
        began = time.perf_counter()
        self.stand.launch()
        while b"\nready:" not in b"\n" + (log.read_bytes()[size:] if log.exists() else b""):
            if time.perf_counter() - began > 60 or not self.stand.is_running:
                raise AssertionError(f"the service did not start:\n{self.stand.log}")
            time.sleep(0.005)
        return time.perf_counter() - began

    def stop(self) -> None:
        """End the service."""
        self.stand.stop()

    def remove(self) -> None:
        """End the service, if it runs, and take its folder away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Let it run on all cores again."""
        self.processes.pin(ALL_CORES)

    # --- requests

    def assertions(self, numbers: Iterable[int], *, serial: str = "") -> list[str]:
        """A JWT-SVID for each of these workloads; another `serial` makes other SVIDs."""
        more = {"jti": serial} if serial else {}
        issuer = self.stand.client.issuer
        return [self.authority.jwt_svid(workload(n), issuer, ttl=SVID_LIFE, claims=more) for n in numbers]

    def statements(self, numbers: Iterable[int]) -> list[str]:
        """A JWT-SVID for each of these workloads that is good as a software statement."""
        audience = self.stand.client.issuer + REGISTER
        return [self.authority.jwt_svid(workload(n), audience, ttl=STATEMENT_LIFE) for n in numbers]

    def by_jwt(self, assertion: str) -> bytes:
        """The whole HTTP request for a token, authenticated by this JWT-SVID."""
        return self.for_token(jwt_fields(assertion))

    def for_token(self, fields: Mapping[str, str]) -> bytes:
        """The whole HTTP request for a token with these fields."""
        return _post(self.stand.client.port, "/token", FORM, urlencode(fields))

    def by_statement(self, statement: str) -> bytes:
        """The whole HTTP request for a registration with this software statement."""
        return _post(self.stand.client.port, REGISTER, JSON, json.dumps({"software_statement": statement}))

    def by_x509(self, count: int) -> tuple[Target, list[bytes]]:
        """The mTLS listener with SVIDs of so many workloads, and the request of each."""
        port, identities, requests = self.stand.client.mtls_port, [], []
        for number in range(count):
            svid = self.authority.x509_svid(workload(number), ttl=SVID_LIFE)
            chain, key = svid.write(self.folder / f"svids/{number}")
            identities.append((str(chain), str(key)))
            fields = {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}
            requests.append(_post(port, "/token", FORM, urlencode(fields)))
        return Target(port, self.plain.ca, tuple(identities)), requests

    # --- the store

    def seed(self, numbers: Iterable[int], *, expires_at: int | None = None) -> int:
        """Make a record for each of these workloads, in bulk. The schema must be there. `expires_at`: epoch
        seconds, after the idle expiry if None."""
        now = int(time.time())
        end = now + IDLE_EXPIRY if expires_at is None else expires_at
        return seed_clients(self.settings.database, (self._record(number, now, end) for number in numbers))

    def _record(self, number: int, now: int, expires_at: int) -> ClientRecord:
        spiffe_id = str(self.authority.spiffe_id(workload(number)))
        return ClientRecord(
            client_id=spiffe_id,
            kind=ClientKind.SPIFFE,
            subject=spiffe_id,
            trust_domain="example.org",
            state=ClientState.ACTIVE,
            rule="web-reads-ledger",
            epoch=1,
            created_at=now,
            last_used_at=now,
            expires_at=expires_at,
            metadata={
                "grant_types": ["client_credentials"],
                "token_endpoint_auth_method": "spiffe_jwt",
                "spiffe_id": spiffe_id,
            },
        )

    def count(self, question: str) -> int:
        """One number out of the store."""
        connection = sqlite3.connect(f"{self.settings.database.as_uri()}?mode=ro", uri=True)
        try:
            return int(connection.execute(question).fetchone()[0])
        finally:
            connection.close()


@contextmanager
def running(name: str, *, workers: int = 2, more: str = LIMITS) -> Iterator[Bench]:
    """A started service; stopped and removed at the end. `more` is added to `bridge.toml`."""
    bench = Bench(name, workers=workers, more=more)
    try:
        bench.start()
        yield bench
    finally:
        bench.remove()


def _post(port: int, path: str, content_type: str, body: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n"
        f"Accept: application/json\r\nUser-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode("ascii")
