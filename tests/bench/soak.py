"""A soak: three hundred thousand registrations that all end again, and tables that do not grow by it.

In process and on a clock of its own: the registrar, the store, the sweeper and the pruning of the audit log are
those of the service, TLS and the verification of SVIDs are left out, and sixty hours pass within minutes. Identities
and instances come in equal numbers; the first end by not being used, the others with their leases.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import sqlite3
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bridge.jose import base64url
from bridge.model.evidence import Door, EvidenceKind, RequestContext
from bridge.model.identity import BindingMethod, KeyBinding, PolicySubject, Source, VerifiedIdentity
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask
from bridge.policy.folder import PolicyDefaults, PolicyFolder
from bridge.registration.authentication import Authenticated
from bridge.registration.lifecycle import Sweeper
from bridge.registration.registrar import Registrar
from bridge.store.migrations import create_if_empty
from bridge.store.ports import RegistrationLimits, Swept
from bridge.store.sqlite import SqliteStore
from bridge.upkeep import PRUNE_BATCH
from tests.bench.figure import Figure, Report
from tests.bench.service import FOLDER
from tests.flows.stand import CATALOGUE, ORDERS

HOURS = 60
_MINUTES = HOURS * 60
_START = 1_800_000_000
_HOUR = 3600
# A record lives for an hour, is kept for one more, and its audit rows for six: what is there of each is the same
# from the ninth hour on.
_IDLE_EXPIRY = _KEEP_ENDED = _HOUR
_KEEP_AUDIT = 6 * _HOUR
_SVID_SECONDS = 300
_THREADS = 16
# What grows must grow by more than the odd page to be told from the grain of the pages.
_SMALLEST_PAGES = 32
_DRAINED = _IDLE_EXPIRY + _KEEP_ENDED + _KEEP_AUDIT + 2 * _HOUR
_RULES = f"""
version = 1
source = "spiffe"
trust_domain = "example.org"
[[rule]]
id = "identities"
why = "soak"
effect = "allow"
when = {{ path = "/ns/web/sa/*" }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present" }}
[[rule]]
id = "instances"
why = "soak"
effect = "allow"
when = {{ path = "/ns/jobs/sa/*" }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "jkt", client = "instance", lease = "30m" }}
"""
# A B-tree is a table or an index. `audit` is not among them: its retention is looked at by itself.
_CLIENT_TREES = """
SELECT name FROM sqlite_schema
WHERE tbl_name IN ('clients', 'members', 'approvals', 'management', 'buckets', 'client_counts') AND rootpage > 0
"""
_PAGES = "SELECT name, pageno FROM dbstat WHERE aggregate = 1"


@dataclass(frozen=True, slots=True)
class _Sample:
    """The database at one moment: pages of each table and index, and rows."""

    pages: dict[str, int]
    clients: int
    audit: int
    file: int


@dataclass(slots=True)
class _Course:
    """What happened so far. `samples`: one for each hour."""

    expired: int = 0
    removed: int = 0
    samples: list[_Sample] = field(default_factory=list)

    def add(self, swept: Swept) -> None:
        self.expired += swept.expired
        self.removed += swept.removed


class _Site:
    """The parts of a service that make and end records, on a clock that only the soak moves."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.path = folder / "bridge.db"
        create_if_empty(self.path)
        self.now = _START
        self.store = SqliteStore.open(self.path, audit_key=secrets.token_bytes(32), clock=lambda: self.now)
        policies = folder / "policies"
        policies.mkdir()
        (policies / "catalogue.toml").write_text(CATALOGUE)
        (policies / "example.org.toml").write_text(_RULES)
        defaults = PolicyDefaults(
            default_ttl=300, max_ttl=_HOUR, idle_expiry=_IDLE_EXPIRY, trust_domains=frozenset({"example.org"})
        )
        policy = PolicyFolder(policies, defaults).load().policy_set
        limits = RegistrationLimits(
            records=10_000_000, per_second=100_000, burst=1_000_000, rule_per_second=100_000, rule_burst=1_000_000
        )
        self.registrar = Registrar(
            policy=lambda: policy,
            clients=self.store.clients,
            limits=lambda trust_domain: limits,
            idle_expiry=_IDLE_EXPIRY,
        )
        self.sweeper = Sweeper(self.store.clients, keep_ended=_KEEP_ENDED, pending_expiry=_IDLE_EXPIRY, new_id=_new_id)

    def register(self, number: int) -> None:
        """One identity or instance that was never seen before."""
        identity = _identity(number, self.now)
        ask = Ask(Door.TOKEN, "client_credentials", ("orders.read",), (ORDERS,))
        made = self.registrar.register(
            Authenticated(identity, (), None), ask, RequestContext(_new_id(), "127.0.0.1", Door.TOKEN, self.now)
        )
        assert made.created, f"{made.record.client_id} was there"

    def sweep(self) -> Swept:
        """Step after step, without the rests between them."""
        while (swept := self.sweeper.step(self.now)) is None:
            pass
        return swept

    def prune(self) -> None:
        """As `sweep`."""
        while self.store.audit.prune(before=self.now - _KEEP_AUDIT, now=self.now, batch=PRUNE_BATCH) >= PRUNE_BATCH:
            pass

    def sample(self) -> _Sample:
        """Looked at by a connection of its own, as a backup would."""
        connection = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)
        try:
            pages = _pages(connection)
            clients, audit, file = (
                int(connection.execute(question).fetchone()[0])
                for question in ("SELECT count(*) FROM clients", "SELECT count(*) FROM audit", "PRAGMA page_count")
            )
            return _Sample(pages, clients, audit, file)
        finally:
            connection.close()

    def oldest_audit_row(self) -> int:
        connection = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT min(time) FROM audit").fetchone()[0])
        finally:
            connection.close()


def measure(report: Report, *, registrations: int) -> None:
    """Registrations spread over sixty hours, then time until the last is forgotten."""
    with _site() as site:
        course = _run(site, registrations)
        _report_course(report, course, registrations)
        late = site.now - _KEEP_AUDIT - _HOUR - site.oldest_audit_row()
        how = "seconds that the oldest row outlived keep and the hour between two prunings"
        report(Figure("soak: audit older than its retention", max(0, late), "s", 0, note=how))
        _drain(site, course)
        end = site.sample()
        report(Figure("soak: records that ended", course.expired, "", registrations, at_most=False))
        report(Figure("soak: records left at the end", end.clients, "", 0))
        report(
            Figure("soak: audit rows left at the end", end.audit, "", 1, note="the last row stays, whatever its age")
        )
        faults = sum(1 for _ in site.store.audit.verify())
        report(Figure("soak: faults in the audit chain", faults, "", 0, note="behind the pruned part"))


def _run(site: _Site, registrations: int) -> _Course:
    """A minute at a time: its registrations, a sweep; and each hour what the service does hourly, and a look."""
    course = _Course()
    with ThreadPoolExecutor(_THREADS) as pool:
        for minute in range(_MINUTES):
            numbers = range(registrations * minute // _MINUTES, registrations * (minute + 1) // _MINUTES)
            site.now = _START + 60 * (minute + 1)
            list(pool.map(site.register, numbers))
            course.add(site.sweep())
            if (minute + 1) % 60 == 0:
                site.prune()
                course.samples.append(site.sample())
                _show(numbers.stop, registrations, course)
    return course


def _drain(site: _Site, course: _Course) -> None:
    """Time goes by and nobody comes."""
    for _ in range(_DRAINED // _HOUR):
        site.now += _HOUR
        course.add(site.sweep())
        site.prune()


def _report_course(report: Report, course: _Course, registrations: int) -> None:
    last = course.samples[-(HOURS // 3) :]
    how = f"{registrations:,} registrations in {HOURS} simulated hours, in process; last third, each hour a look"
    name, growth = _growth(last)
    report(Figure("soak: growth of client tables and indexes", growth, "%", 5, note=f"{how}; most: {name}"))
    records = [sample.clients for sample in last]
    report(Figure("soak: records held", statistics.median(records), "", note=f"{min(records):,} to {max(records):,}"))
    rows = [sample.audit for sample in last]
    report(Figure("soak: audit rows held", statistics.median(rows), "", note=f"{min(rows):,} to {max(rows):,}"))
    files = [sample.file for sample in last]
    report(Figure("soak: growth of the file", _rise(files), "%", 5, note=f"{files[-1]:,} pages"))


def _growth(samples: list[_Sample]) -> tuple[str, float]:
    """The table or index that grew most, and by how many per cent."""
    names = [name for name, pages in samples[-1].pages.items() if pages >= _SMALLEST_PAGES]
    grown = {name: _rise([sample.pages.get(name, 0) for sample in samples]) for name in names}
    return max(grown.items(), key=lambda item: item[1], default=("none is large enough", 0.0))


def _rise(values: list[int]) -> float:
    """By how many per cent the end of a course lies above its beginning: medians of a quarter of it each."""
    part = max(1, len(values) // 4)
    before, after = statistics.median(values[:part]), statistics.median(values[-part:])
    return (after - before) / before * 100 if before else 0.0


def _pages(connection: sqlite3.Connection) -> dict[str, int]:
    """Pages of each client table and index; without the `dbstat` table of SQLite rows stand for pages."""
    trees = {row[0] for row in connection.execute(_CLIENT_TREES)}
    try:
        return {name: pages for name, pages in connection.execute(_PAGES) if name in trees}
    except sqlite3.OperationalError:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {
            name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # Of the schema.
            for name in tables
            if name in trees
        }


def _identity(number: int, now: int) -> VerifiedIdentity:
    """Even numbers are identities of their own; odd ones are instances, up to a hundred of each identity."""
    digest = hashlib.sha256(str(number).encode())
    is_instance = number % 2 == 1
    path = f"/ns/jobs/sa/j{number // 200}" if is_instance else f"/ns/web/sa/w{number}"
    subject = PolicySubject(
        Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=SpiffeId.parse_workload("spiffe://example.org" + path)
    )
    key = KeyBinding(BindingMethod.JKT, base64url.encode(digest.digest()))
    return VerifiedIdentity(
        subject, digest.hexdigest(), "kid", now, now + _SVID_SECONDS, keys=(key,) if is_instance else ()
    )


def _new_id() -> str:
    return secrets.token_urlsafe(16)


def _show(done: int, registrations: int, course: _Course) -> None:
    if not sys.stderr.isatty():
        return
    sample = course.samples[-1]
    text = f"  {done:,} of {registrations:,} registered, {course.removed:,} removed, {sample.clients:,} held"
    sys.stderr.write(f"\r{text:<80}" + ("\n" if done == registrations else ""))
    sys.stderr.flush()


@contextmanager
def _site() -> Iterator[_Site]:
    folder = FOLDER / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    site = _Site(folder)
    try:
        yield site
    finally:
        site.store.close()
        shutil.rmtree(folder, ignore_errors=True)
