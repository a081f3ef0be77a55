"""Locked, full and broken databases: `Unavailable` in time, all or nothing, and right again afterwards."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.errors import RegistrationChanged, Unavailable
from bridge.model.identity import Marker
from bridge.model.reasons import Reason
from bridge.store.gate import WriterGate
from bridge.store.group_commit import COMMIT_PATIENCE, PATIENCE, Submitted
from bridge.store.issuing import IssueWrite
from bridge.store.sqlite import SqliteStore
from bridge.store.transaction import Transaction
from tests.contract.places import SqlitePlace
from tests.contract.records import API, NOW, OTHER, ensure, event, issue, issue_for, spiffe

MARK = Marker("dpop", "aa" * 32, NOW + 300)


@contextmanager
def impatient(store: SqliteStore, patience: float) -> Iterator[None]:
    """So long writes are given up after `patience` seconds; before and after, the disk has its time."""
    before, store._commit._patience = store._commit._patience, patience
    try:
        yield
    finally:
        store._commit._patience = before


@contextmanager
def locked(place: SqlitePlace, begin: str = "BEGIN EXCLUSIVE") -> Iterator[sqlite3.Connection]:
    """Another tool has the database and takes its time."""
    connection = sqlite3.connect(place.path, isolation_level=None)
    connection.execute(begin)
    try:
        yield connection
    finally:
        connection.execute("ROLLBACK")
        connection.close()


VERBS: dict[str, Callable[[SqliteStore], object]] = {
    "ensure": lambda store: ensure(store.clients, spiffe(OTHER)),
    "append": lambda store: store.audit.append(event()),
    "claim": lambda store: store.tokens.claim(MARK, now=NOW),
    "revoke": lambda store: store.clients.revoke(API, event=event(), now=NOW),
    "lease": lambda store: store.leases.take("x", holder="y", now=NOW, until=NOW + 1),
    "ping": lambda store: store.ping(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_locked_database_is_unavailable_and_nothing_was_written(sqlite: SqlitePlace, verb: str) -> None:
    """T-51, F-2, F-3; the accepted twin is the same call when the lock is gone."""
    store = sqlite.open()
    ensure(store.clients)
    before = store.audit.rows()
    with locked(sqlite), impatient(store, 0.3), pytest.raises(Unavailable) as refusal:
        VERBS[verb](store)
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE
    assert refusal.value.retry_after > 0
    # The write was withdrawn: it does not happen later either, not even with the next commit.
    store.leases.take("afterwards", holder="y", now=NOW, until=NOW + 1)
    assert store.audit.rows() == before
    assert store.clients.get(OTHER) is None
    VERBS[verb](store)


def test_the_default_patience_keeps_within_two_seconds(sqlite: SqlitePlace) -> None:
    """F-3, with an issue and its marker. What it waits with is looked at, not how long it took."""
    assert PATIENCE + COMMIT_PATIENCE <= 2
    store = sqlite.open()
    ensured = ensure(store.clients)
    with locked(sqlite), impatient(store, PATIENCE), pytest.raises(Unavailable):
        issue(store.clients, ensured, markers=(MARK,))
    issue(store.clients, ensured, markers=(MARK,))


def test_known_clients_are_found_while_the_database_is_locked(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    ensured = ensure(store.clients)
    with locked(sqlite, "BEGIN IMMEDIATE"), impatient(store, 0.1):
        assert store.clients.find(API, subject=API).record == ensured.record
        assert ensure(store.clients).record == ensured.record, "a live record needs no write"


def test_a_short_lock_is_waited_for(sqlite: SqlitePlace) -> None:
    store = sqlite.open(patience=30)
    with ThreadPoolExecutor(1) as pool:
        with locked(sqlite):
            waiting = pool.submit(ensure, store.clients)
        assert waiting.result(30).created


def test_a_process_that_keeps_the_gate_is_waited_for_no_longer_than_a_lock(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    gate = WriterGate(sqlite.path)
    with gate:
        with impatient(store, 0.2), pytest.raises(Unavailable):
            store.audit.append(event(id="withdrawn"))
    store.audit.append(event(id="written"))
    assert [row.event.id for row in store.audit.rows()] == ["written"]
    gate.close()


def fill_disk(store: SqliteStore, pages: int = 0) -> None:
    """No page more than there are now, as if the disk were full."""

    def limit(tx: Transaction) -> None:
        tx.rows(f"PRAGMA max_page_count = {pages or tx.rows('PRAGMA page_count')[0][0]}")

    store._commit.submit(limit)


def test_a_full_disk_is_all_or_nothing(sqlite_store: SqliteStore) -> None:
    """F-4: no audit row, no success; and when there is room again, the same issue goes through."""
    store = sqlite_store
    ensured = ensure(store.clients)
    fill_disk(store)
    answered = 0
    long = "x" * 3000
    failed: list[int] = []
    for number in range(40):
        marker = replace(MARK, digest=f"{number:064x}")
        write = issue_for(ensured, markers=(marker,))
        try:
            store.clients.record_issue(replace(write, event=replace(write.event, reason=long)), now=NOW)
            answered += 1
        except Unavailable:
            failed.append(number)
    assert failed
    rows = store.audit.rows(events=[AuditEventKind.TOKEN_ISSUED], limit=1000)
    assert len(rows) == answered
    fill_disk(store, 1_000_000)
    for number in failed:
        issue(store.clients, ensured, markers=(replace(MARK, digest=f"{number:064x}"),))
    assert list(store.audit.verify()) == []


def test_ping_sees_a_full_disk_and_that_it_is_over(sqlite_store: SqliteStore) -> None:
    store = sqlite_store
    store.ping()
    with locked_once(store):
        with pytest.raises(Unavailable):
            store.ping()
    store.ping()
    probes = store._readers.rows("SELECT written FROM probes")
    assert probes == [(1,)], "after a failure it really writes"


def test_ping_really_writes_after_any_write_failed_for_want_of_room(sqlite_store: SqliteStore) -> None:
    """Whoever asks whether the store is ready must hear of a full disk, not of a lock that is free (F-4)."""
    store = sqlite_store
    store.ping()
    assert store._readers.rows("SELECT written FROM probes") == [], "without a failure it does not write"
    fill_disk(store)
    with pytest.raises(Unavailable):
        store.audit.append(event(reason="x" * 20_000))
    store.ping()
    assert store._readers.rows("SELECT written FROM probes") == [(1,)]
    store.ping()
    assert store._readers.rows("SELECT written FROM probes") == [(1,)], "once that has worked, the lock will do again"


@contextmanager
def locked_once(store: SqliteStore) -> Iterator[None]:
    store._commit._patience = 0.1
    connection = sqlite3.connect(store._readers._path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


def together(store: SqliteStore, works: list[Callable[[], object]]) -> list[object]:
    """Run all calls so that they share one commit: they wait while the gate is held elsewhere."""
    gate = WriterGate(store._readers._path)
    with ThreadPoolExecutor(len(works)) as pool:
        with gate:
            waiting = [pool.submit(work) for work in works]
            deadline = time.monotonic() + 30
            # One of them is in the hands of the writer already; the rest stand in its queue.
            while store._commit._queue.qsize() < len(works) - 1 and time.monotonic() < deadline:
                threading.Event().wait(0.005)
        gate.close()
        return [future.exception(30) or future.result() for future in waiting]


class Odd(Exception):
    """Something no store expects."""


def odd(tx: Transaction) -> None:
    tx.change("INSERT INTO leases (name, holder, ends_at) VALUES ('odd', 'x', 1)")
    tx.audit(event(id="odd"))
    raise Odd


def broken(tx: Transaction) -> None:
    tx.change("INSERT INTO leases (name, holder, ends_at) VALUES ('broken', NULL, 1)")


def late(tx: Transaction) -> None:
    """A refusal that comes after a change, which no verb should do."""
    tx.change("INSERT INTO leases (name, holder, ends_at) VALUES ('late', 'x', 1)")
    raise RegistrationChanged(Reason.REGISTRATION_CHANGED)


@pytest.mark.parametrize(
    ("bad", "error"), [(odd, Odd), (broken, Unavailable), (late, RegistrationChanged)], ids=["odd", "broken", "late"]
)
def test_one_bad_write_does_not_fail_those_that_share_its_commit(
    sqlite: SqlitePlace, bad: Callable[[Transaction], None], error: type[Exception]
) -> None:
    """Section 8 of the contract."""
    store = sqlite.open(patience=30)
    ensured = ensure(store.clients)
    good = [lambda number=number: store.audit.append(event(id=f"good-{number}")) for number in range(5)]
    issued = [lambda: issue(store.clients, ensured, markers=(MARK,))]
    registered = [lambda: ensure(store.clients, spiffe(OTHER))]
    outcomes = together(store, [*good[:2], lambda: store._commit.submit(bad), *good[2:], *issued, *registered])
    assert [type(outcome) for outcome in outcomes].count(error) == 1
    assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert store._readers.rows("SELECT name FROM leases") == []
    ids = {row.event.id for row in store.audit.rows()}
    assert {f"good-{number}" for number in range(5)} <= ids
    assert "odd" not in ids
    assert len(ids) == 8
    assert not store.tokens.claim(MARK, now=NOW)
    assert list(store.audit.verify()) == []


def test_a_text_that_cannot_be_stored_fails_its_own_write_alone(sqlite: SqlitePlace) -> None:
    store = sqlite.open(patience=30)
    outcomes = together(
        store,
        [
            lambda: store.tokens.claim(Marker("dpop", "\ud800", NOW + 9), now=NOW),
            lambda: store.tokens.claim(MARK, now=NOW),
            lambda: store.audit.append(event()),
        ],
    )
    assert isinstance(outcomes[0], UnicodeEncodeError)
    assert outcomes[1:] == [True, None]


def test_refusals_cost_those_that_share_their_commit_nothing(sqlite: SqlitePlace) -> None:
    store = sqlite.open(patience=30)
    ensured = ensure(store.clients)
    stale = replace(ensured, record=replace(ensured.record, epoch=1))
    outcomes = together(
        store,
        [
            lambda: issue(store.clients, stale, markers=(MARK,)),
            lambda: issue(store.clients, ensured, markers=(MARK,)),
            lambda: issue(store.clients, ensured, markers=(MARK,)),
        ],
    )
    names = sorted(type(outcome).__name__ for outcome in outcomes)
    assert names == ["CredentialReplayed", "NoneType", "RegistrationChanged"]
    assert len(store.audit.rows()) == 2


def test_a_write_whose_caller_has_gone_is_taken_out_of_a_transaction_that_has_begun(
    sqlite: SqlitePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Unavailable` means that nothing was written, also when the write had already run."""
    store = sqlite.open()
    store.audit.append(event(id="first"))
    begun, given_up, runs = threading.Event(), threading.Event(), []
    give_up = store._commit._give_up

    def give_up_once_begun(waiting: Submitted) -> None:
        assert begun.wait(30)
        give_up(waiting)

    monkeypatch.setattr(store._commit, "_give_up", give_up_once_begun)

    def slow(tx: Transaction) -> None:
        begun.set()
        tx.audit(event(id="withdrawn"))
        tx.change("INSERT INTO leases (name, holder, ends_at) VALUES ('withdrawn', 'x', 1)")
        runs.append(given_up.wait(30))

    with impatient(store, 0.3), pytest.raises(Unavailable, match="nothing was written"):
        store._commit.submit(slow)
    given_up.set()
    store.audit.append(event(id="last"))
    assert runs == [True]
    assert [row.event.id for row in store.audit.rows()] == ["first", "last"]
    assert store._readers.rows("SELECT name FROM leases") == []
    assert list(store.audit.verify()) == []


def test_a_closed_store_refuses_and_closing_finishes_what_waits(sqlite: SqlitePlace) -> None:
    store = sqlite.open(patience=30)
    gate = WriterGate(sqlite.path)
    with ThreadPoolExecutor(4) as pool:
        with gate:
            waiting = [pool.submit(store.audit.append, event(id=f"{number}")) for number in range(3)]
            deadline = time.monotonic() + 30
            while store._commit._queue.qsize() < 2 and time.monotonic() < deadline:
                threading.Event().wait(0.005)
            closing = pool.submit(store.close)
        for future in waiting:
            future.result(30)
        closing.result(30)
    gate.close()
    for verb in (lambda: store.audit.append(event()), lambda: store.clients.get(API), store.ping):
        with pytest.raises(Unavailable):
            verb()
    assert len(sqlite.open().audit.rows()) == 3


def test_a_store_belongs_to_the_process_that_opened_it(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 1)
    with pytest.raises(AssertionError, match="after the fork"):
        sqlite_store.audit.append(event())


def test_an_issue_alone_or_with_others_is_the_same_write(sqlite_store: SqliteStore) -> None:
    """`IssueWrite` without an issue is a row alone."""
    write = IssueWrite.of(issue_for(ensure(sqlite_store.clients)), now=NOW, marker_limit=1)
    sqlite_store._commit.submit(write)
    assert len(sqlite_store.audit.rows()) == 2
