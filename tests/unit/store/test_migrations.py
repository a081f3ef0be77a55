"""The schema's steps: made in an empty store, asked for in an older one, refused in a newer one."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Event

import pytest
from sqlite_utils import Database

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState, Provenance
from bridge.model.document import DocumentCopy, DocumentKind
from bridge.model.errors import LimitReached, StartRefused
from bridge.store.audit_chain import ChainKey, line_of
from bridge.store.audit_pen import AuditPen
from bridge.store.authorization_rows import GRANT_FIELDS, grant_row
from bridge.store.migrations import STEPS, Step, create_if_empty, migrate, require_current, status
from bridge.store.ports import RegistrationLimits, SchemaStatus, Waiting
from bridge.store.sqlite import SqliteStore
from tests.contract.flows import give, grant
from tests.contract.records import API, AUDIT_KEY, IDLE, NOW, ensure, event, spiffe

NAMES = tuple(step.name for step in STEPS)
NEXT = Step("9999_next", lambda database: database.execute("CREATE TABLE next (one INTEGER)") and None)
LATEST = len(STEPS)
DOMAIN = "example.org"
CURRENT = SchemaStatus(LATEST, LATEST, ())


def open_store(path: Path) -> None:
    SqliteStore.open(path, audit_key=AUDIT_KEY, clock=lambda: NOW).close()


def test_an_empty_store_gets_its_schema_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    assert status(path) == SchemaStatus(0, LATEST, NAMES)
    assert not path.exists(), "looking makes no file"
    create_if_empty(path)
    assert status(path) == CURRENT
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    create_if_empty(path)
    open_store(path)


def test_an_empty_file_is_an_empty_store(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    path.touch(mode=0o600)
    create_if_empty(path)
    open_store(path)


def test_migrate_tells_what_it_does_and_does_it_once(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    done: list[str] = []
    assert migrate(path, done.append) == CURRENT
    assert migrate(path, done.append) == CURRENT
    assert done == list(NAMES)


def test_many_who_start_at_once_make_one_schema(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    with get_context("spawn").Pool(3) as pool:
        pool.map_async(create_if_empty, [path] * 6, chunksize=1).get(60)
    assert status(path) == CURRENT
    open_store(path)


def test_a_start_between_two_steps_of_another_waits_for_the_rest(tmp_path: Path) -> None:
    """Once it is known how far the other has come, nothing but its end lets this one go on."""
    path, seen, go_on = tmp_path / "bridge.db", Event(), Event()

    def between(step: str) -> None:
        if step == NAMES[2]:
            seen.set()
            assert go_on.wait(30)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(migrate, path, between)
        assert seen.wait(30)
        assert 0 < status(path).current < LATEST
        second = pool.submit(create_if_empty, path)
        go_on.set()
        assert first.result(30) == CURRENT
        second.result(30)
    open_store(path)


def test_an_older_schema_asks_for_a_migration(tmp_path: Path) -> None:
    """F-8: the steps that are pending are named, and the store opens after `bridge db migrate`."""
    path = tmp_path / "bridge.db"
    migrate(path)
    steps = (*STEPS, NEXT)
    assert status(path, steps=steps) == SchemaStatus(LATEST, LATEST + 1, (NEXT.name,))
    with pytest.raises(StartRefused, match="bridge db migrate"):
        require_current(path, status(path, steps=steps))
    assert migrate(path, steps=steps) == SchemaStatus(LATEST + 1, LATEST + 1, ())


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def test_the_records_of_the_first_release_are_carried_over(tmp_path: Path) -> None:
    """F-8: made by its own statements; afterwards they are records like any other, and count as they did."""
    path = tmp_path / "bridge.db"
    migrate(path, steps=STEPS[:1])
    connection = sqlite3.connect(path)
    for name, state, ended in (("a", "active", None), ("b", "revoked", NOW)):
        connection.execute(
            "INSERT INTO clients (client_id, kind, subject, trust_domain, state, rule, epoch, created_at, last_used_at,"
            " expires_at, parent, identities, metadata, ended_at)"
            " VALUES (?, 'spiffe', ?, 'example.org', ?, 'web', ?, ?, ?, ?, NULL, 1, '{}', ?)",
            (f"{API}-{name}", f"{API}-{name}", state, NOW, NOW, NOW, NOW + IDLE, ended),
        )
        connection.execute("INSERT INTO client_counts VALUES ('example.org', 'spiffe', ?, 1)", (state,))
    connection.execute("INSERT INTO approvals VALUES (?, 'web', 'terms', ?, NULL, '')", (f"{API}-a", NOW))
    connection.execute("INSERT INTO registration_buckets VALUES ('example.org', 0, ?)", (NOW,))
    connection.commit()
    connection.close()
    with pytest.raises(StartRefused, match="bridge db migrate"):
        open_store(path)
    assert migrate(path) == CURRENT
    store = SqliteStore.open(path, audit_key=AUDIT_KEY, clock=lambda: NOW)
    try:
        known = ensure(store.clients, spiffe(f"{API}-a"))
        assert (known.created, known.record.provenance, known.record.epoch) == (False, Provenance(), NOW)
        assert store.clients.waiting(limit=9) == [Waiting(f"{API}-a", "web", "terms", NOW)]
        with pytest.raises(LimitReached):
            ensure(store.clients, limits=RegistrationLimits(1, 9, 9))
        assert ensure(store.clients, limits=RegistrationLimits(2, 9, 9)).created
        assert ensure(store.clients, spiffe(f"{API}-b")).record.epoch > NOW
        assert store.clients.count_by_state() == {("spiffe", ClientState.ACTIVE): 3}
    finally:
        store.close()


def test_a_store_of_the_second_step_keeps_its_records_and_can_keep_documents(tmp_path: Path) -> None:
    """F-8."""
    path = tmp_path / "bridge.db"
    migrate(path, steps=STEPS[:2])
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO management VALUES ('a', 'handle', ?, 0, 'digest')", (NOW,))
    connection.commit()
    connection.close()
    done: list[str] = []
    assert migrate(path, done.append) == CURRENT
    assert done == list(NAMES[2:])
    store = SqliteStore.open(path, audit_key=AUDIT_KEY, clock=lambda: NOW)
    try:
        assert store.management.by_handle("handle") is not None
        copy = DocumentCopy(DocumentKind.DOCUMENT, "https://client.example/c", b"{}", "00", "", NOW, NOW + 60, False)
        assert store.documents.keep(copy, holder="me")
        assert store.documents.find(copy.kind, copy.url).copy == copy
    finally:
        store.close()


def test_a_store_of_the_third_step_keeps_its_documents_and_can_keep_grants(tmp_path: Path) -> None:
    """F-8."""
    path = tmp_path / "bridge.db"
    migrate(path, steps=STEPS[:3])
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO documents VALUES ('document', 'https://client.example/c', ?, '00', '', ?, ?, 0)",
        (b"{}", NOW, NOW + 60),
    )
    connection.execute("INSERT INTO tombstones VALUES (?, ?)", (API, NOW))
    connection.commit()
    connection.close()
    assert status(path) == SchemaStatus(3, LATEST, NAMES[3:])
    done: list[str] = []
    assert migrate(path, done.append) == CURRENT
    assert done == list(NAMES[3:])
    store = SqliteStore.open(path, audit_key=AUDIT_KEY, clock=lambda: NOW)
    try:
        assert store.documents.find(DocumentKind.DOCUMENT, "https://client.example/c").copy is not None
        assert store.clients.find(API, subject=API).denied
        assert store.grants.counts() == {"requests": 0, "grants": 0, "sessions": 0}
        assert store.grants.get(give(store).grant_id) == grant()
    finally:
        store.close()


def test_a_store_of_the_sixth_step_keeps_its_audit_chain_its_leases_and_its_grants(tmp_path: Path) -> None:
    """F-8: who vouched for them nobody wrote down, so nobody is named; each says it from its next renewal on."""
    path = tmp_path / "bridge.db"
    migrate(path, steps=STEPS[:6])
    connection = sqlite3.connect(path)
    pen = AuditPen(ChainKey(AUDIT_KEY), "before", lambda: NOW)
    told = event(AuditEventKind.TOKEN_ISSUED, subject=API, client_id=API, jti="one", ask={"grant_type": "x"})
    pen.write(connection, [line_of(told)], None)
    connection.execute(
        "INSERT INTO clients (client_id, kind, subject, trust_domain, state, rule, epoch, created_at, last_used_at,"
        " expires_at, parent, identities, metadata)"
        " VALUES ('instance-1', 'instance', ?, 'example.org', 'active', 'web', ?, ?, ?, ?, ?, 1, '{}')",
        (f"{API} key-1", NOW, NOW, NOW, NOW + 60, API),
    )
    # The columns of then are the first twenty-five of now.
    names, stored = ", ".join(GRANT_FIELDS[:25]), grant_row(grant(actor=API, epoch=None))[:25]
    connection.execute(f"INSERT INTO grants ({names}) VALUES ({', '.join('?' * len(stored))})", stored)
    connection.commit()
    connection.close()
    assert migrate(path) == CURRENT
    store = SqliteStore.open(path, audit_key=AUDIT_KEY, clock=lambda: NOW)
    try:
        assert list(store.audit.verify()) == []
        (token,) = store.resting.tokens(DOMAIN, since=NOW, longest=60, now=NOW).tokens
        assert token.authorities is None
        assert [lease.authorities for lease in store.resting.leases(DOMAIN, now=NOW, limit=9)] == [()]
        assert [one.authorities for one in store.resting.grants(DOMAIN, now=NOW, limit=9)] == [()]
    finally:
        store.close()


def test_a_store_that_was_migrated_has_the_schema_of_one_that_was_made(tmp_path: Path) -> None:
    made, migrated = tmp_path / "made.db", tmp_path / "migrated.db"
    create_if_empty(made)
    for number in range(1, LATEST + 1):
        migrate(migrated, steps=STEPS[:number])
    question = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    assert rows(made, question) == rows(migrated, question)
    tables = rows(made, "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'")
    assert {name for name, strict in tables if not strict} <= {"_sqlite_migrations"}


def test_a_newer_schema_is_refused_by_every_verb(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    migrate(path, steps=(*STEPS, NEXT))
    for verb in (status, create_if_empty, open_store):
        with pytest.raises(StartRefused, match="newer release"):
            verb(path)


def test_no_store_is_opened_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    with pytest.raises(StartRefused, match="no store yet"):
        open_store(path)
    assert list(tmp_path.iterdir()) == []


def _fail(database: Database) -> None:
    raise StartRefused(["half the rows are gone"])


@pytest.mark.parametrize(
    ("step", "whole"),
    [
        (NEXT, True),
        (Step(NEXT.name, NEXT.apply, before=_fail), False),
        (Step(NEXT.name, NEXT.apply, after=_fail), False),
        (Step(NEXT.name, lambda database: database.execute("CREATE TABLE clients (one)") and None), False),
    ],
    ids=["sound", "refused before", "refused after", "broken"],
)
def test_a_step_happens_whole_or_not_at_all(tmp_path: Path, step: Step, whole: bool) -> None:
    path = tmp_path / "bridge.db"
    migrate(path)
    if whole:
        assert migrate(path, steps=(*STEPS, step)).current == LATEST + 1
    else:
        with pytest.raises(StartRefused, match=r"bridge\.db"):
            migrate(path, steps=(*STEPS, step))
        assert status(path) == CURRENT
        assert "next" not in Database(path).table_names()


def test_a_file_that_is_something_else_is_refused_with_its_name(tmp_path: Path) -> None:
    text, foreign = tmp_path / "notes.txt", tmp_path / "foreign.db"
    text.write_text("these are my notes, and no database\n" * 100)
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE theirs (one)")
    connection.close()
    before = text.read_bytes(), foreign.read_bytes()
    for path, words in ((text, "notes.txt"), (foreign, "other tables")):
        for verb in (status, create_if_empty, migrate, open_store):
            with pytest.raises(StartRefused, match=words):
                verb(path)
    assert (text.read_bytes(), foreign.read_bytes()) == before


def test_a_folder_that_does_not_exist_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match=r"absent.bridge\.db"):
        create_if_empty(tmp_path / "absent" / "bridge.db")
