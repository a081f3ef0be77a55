"""T-49: what `verify` says after somebody with the file, but without the key, has been at it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.errors import Unavailable
from bridge.store.migrations import create_if_empty
from bridge.store.sqlite import SqliteStore
from tests.contract.records import AUDIT_KEY, NOW, event

Change = Callable[[sqlite3.Connection], object]


def opened(path: Path, writer: str) -> SqliteStore:
    return SqliteStore.open(path, audit_key=AUDIT_KEY, clock=lambda: NOW, writer=writer)


def fill(store: SqliteStore, rows: int) -> None:
    for place in range(rows):
        store.audit.append(event(AuditEventKind.REFUSED, id=f"{store.writer}-{place}", time=NOW + place))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three writers, ten rows each."""
    path = tmp_path / "bridge.db"
    create_if_empty(path)
    for writer in ("one", "two", "three"):
        store = opened(path, writer)
        fill(store, 10)
        store.close()
    return path


@pytest.fixture
def tamper(path: Path) -> Callable[[Change], None]:
    """Change the file behind the store's back."""

    def apply(change: Change) -> None:
        connection = sqlite3.connect(path)
        with connection:
            change(connection)
        connection.close()

    return apply


def faults(path: Path) -> list[tuple[str, int, str]]:
    store = opened(path, "reader")
    found = [(fault.writer, fault.sequence, fault.kind) for fault in store.audit.verify()]
    store.close()
    return found


def sql(*statements: str) -> Change:
    return lambda connection: [connection.execute(statement) for statement in statements]


def test_an_untouched_log_has_no_fault(path: Path) -> None:
    assert faults(path) == []


COLUMNS = {
    "time": "time + 1",
    "id": "'other'",
    "event": "'token_issued'",
    "door": "'par'",
    "source_address": "'10.0.0.1'",
    "subject": "'somebody'",
    "evidence": "'jwt-svid'",
    "credential": "'00'",
    "key_id": "'kid'",
    "ask": """'{"scopes":[]}'""",
    "rule": "'another'",
    "outcome": "'allow'",
    "reason": "'none'",
    "client_id": "'somebody'",
    "jti": "'jti'",
    "issued": "'00'",
    "policy_version": "'v2'",
    "bundle_sequence": "0",
    "count": "2",
    "mac": "zeroblob(32)",
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("sequence", [1, 5, 10])
def test_a_change_of_any_column_is_one_fault_and_names_the_row(
    path: Path, tamper: Callable[[Change], None], column: str, sequence: int
) -> None:
    change = f"UPDATE audit SET {column} = {COLUMNS[column]} WHERE writer = 'two' AND sequence = {sequence}"
    tamper(sql(change))
    assert faults(path) == [("two", sequence, "changed")]


def test_text_moved_from_one_column_to_its_neighbour_shows(path: Path, tamper: Callable[[Change], None]) -> None:
    tamper(sql("UPDATE audit SET subject = source_address || subject, source_address = '' WHERE id = 'two-4'"))
    assert faults(path) == []
    tamper(sql("UPDATE audit SET rule = id, id = '' WHERE id = 'two-4'"))
    assert faults(path) == [("two", 5, "changed")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("DELETE FROM audit WHERE writer = 'two' AND sequence = 5", [("two", 5, "missing")]),
        (
            "DELETE FROM audit WHERE writer = 'two' AND sequence IN (3, 4, 8)",
            [("two", 3, "missing"), ("two", 8, "missing")],
        ),
        ("DELETE FROM audit WHERE writer = 'two' AND sequence = 1", [("two", 1, "missing")]),
        ("DELETE FROM audit WHERE writer = 'two' AND sequence = 10", [("two", 10, "cut")]),
        ("DELETE FROM audit WHERE writer = 'two' AND sequence > 3", [("two", 4, "cut")]),
        ("DELETE FROM audit WHERE writer = 'two'", [("two", 1, "cut")]),
        ("DELETE FROM audit", [("one", 1, "cut"), ("two", 1, "cut"), ("three", 1, "cut")]),
        ("UPDATE audit SET sequence = 11 WHERE writer = 'two' AND sequence = 5", [("two", 5, "missing")]),
        (
            "UPDATE audit SET writer = 'nobody' WHERE id = 'two-9'",
            [("nobody", 10, "writer_missing"), ("two", 10, "cut")],
        ),
        ("DELETE FROM audit_roster", [("", 0, "writer_missing")]),
        ("UPDATE audit_roster SET writers = 2", [("", 0, "writer_missing")]),
        ("DELETE FROM audit_writers", [("", 0, "writer_missing")]),
    ],
)  # fmt: skip
def test_missing_and_cut_rows_are_named(
    path: Path, tamper: Callable[[Change], None], change: str, expected: list[tuple[str, int, str]]
) -> None:
    tamper(sql(change))
    assert faults(path)[: len(expected)] == expected


@pytest.mark.parametrize("kept", [9, 3, 0])
def test_a_cut_tail_with_its_head_put_back_shows(path: Path, tamper: Callable[[Change], None], kept: int) -> None:
    """Every MAC needed for a shorter chain stands in the file; the head's seal does not."""
    tamper(
        sql(
            f"DELETE FROM audit WHERE writer = 'two' AND sequence > {kept}",
            f"""UPDATE audit_writers SET sequence = {kept}, mac =
                COALESCE((SELECT mac FROM audit WHERE writer = 'two' AND sequence = {kept}), mac)
                WHERE writer = 'two'""",
        )
    )
    assert ("two", kept, "cut") in faults(path)


@pytest.mark.parametrize("writer", ["one", "two", "three"])
def test_a_writer_removed_with_all_its_rows_shows(path: Path, tamper: Callable[[Change], None], writer: str) -> None:
    tamper(sql(f"DELETE FROM audit WHERE writer = '{writer}'", f"DELETE FROM audit_writers WHERE writer = '{writer}'"))
    assert "writer_missing" in {kind for _, _, kind in faults(path)}


def test_a_writer_removed_and_the_others_moved_up_shows(path: Path, tamper: Callable[[Change], None]) -> None:
    tamper(
        sql(
            "DELETE FROM audit WHERE writer = 'two'",
            "DELETE FROM audit_writers WHERE writer = 'two'",
            "UPDATE audit_writers SET position = 2 WHERE writer = 'three'",
            "UPDATE audit_roster SET writers = 2",
        )
    )
    assert "writer_missing" in {kind for _, _, kind in faults(path)}


def test_the_last_writer_removed_with_the_roster_put_back_shows(path: Path, tamper: Callable[[Change], None]) -> None:
    tamper(
        sql(
            "DELETE FROM audit WHERE writer = 'three'",
            "DELETE FROM audit_writers WHERE writer = 'three'",
            "UPDATE audit_roster SET writers = 2, link = (SELECT link FROM audit_writers WHERE position = 2)",
        )
    )
    assert faults(path) == [("", 0, "writer_missing")]


def test_a_missing_writer_stays_missing_when_the_next_one_joins(path: Path, tamper: Callable[[Change], None]) -> None:
    tamper(sql("DELETE FROM audit WHERE writer = 'two'", "DELETE FROM audit_writers WHERE writer = 'two'"))
    store = opened(path, "four")
    fill(store, 1)
    store.close()
    assert "writer_missing" in {kind for _, _, kind in faults(path)}


def prune(path: Path, before: int) -> None:
    store = opened(path, "pruner")
    store.audit.prune(before=before, now=NOW + 1000, batch=1000)
    store.close()


@pytest.mark.parametrize("column", ["sequence", "removed", "faults", "pruned_before", "pruned_at"])
def test_a_changed_checkpoint_is_named(path: Path, tamper: Callable[[Change], None], column: str) -> None:
    prune(path, NOW + 5)
    assert faults(path) == []
    tamper(sql(f"UPDATE audit_checkpoints SET {column} = {column} + 1 WHERE writer = 'one'"))
    assert ("one", "checkpoint") in {(writer, kind) for writer, _, kind in faults(path)}


def test_a_removed_checkpoint_shows_as_missing_rows(path: Path, tamper: Callable[[Change], None]) -> None:
    prune(path, NOW + 5)
    tamper(sql("DELETE FROM audit_checkpoints WHERE writer = 'one'"))
    assert faults(path) == [("one", 1, "missing")]


def test_rows_deleted_and_called_pruned_show(path: Path, tamper: Callable[[Change], None]) -> None:
    tamper(
        sql(
            """INSERT INTO audit_checkpoints (writer, sequence, mac, removed, faults, pruned_before, pruned_at, seal)
               SELECT writer, sequence, mac, 5, 0, 0, 0, zeroblob(32) FROM audit WHERE id = 'two-4'""",
            "DELETE FROM audit WHERE writer = 'two' AND sequence <= 5",
        )
    )
    assert faults(path) == [("two", 5, "checkpoint"), ("two", 1, "missing")]


def test_pruning_does_not_wash_a_changed_row_away(path: Path, tamper: Callable[[Change], None]) -> None:
    tamper(sql("UPDATE audit SET rule = 'another' WHERE id = 'one-2'"))
    for _ in range(2):
        prune(path, NOW + 5)
    assert faults(path) == [("one", 5, "checkpoint")]


def test_another_audit_key_verifies_nothing(path: Path) -> None:
    store = SqliteStore.open(path, audit_key=b"\x08" * 32, clock=lambda: NOW)
    assert {fault.kind for fault in store.audit.verify()} >= {"writer_missing", "changed", "cut"}
    store.close()


@pytest.mark.parametrize(
    "change",
    [
        "event = 'nonsense'",
        "ask = '{'",
        "ask = '[1]'",
        "ask = 'null'",
        "ask = '{\"a\":' || replace(hex(zeroblob(50000)), '0', '[') || '}'",
        "time = 253402300800",
        "time = -1",
    ],
)
def test_a_row_that_cannot_be_read_is_our_trouble_and_points_to_verify(
    path: Path, tamper: Callable[[Change], None], change: str
) -> None:
    """T-49: neither a traceback for the operator nor a 500 at the console."""
    tamper(sql(f"UPDATE audit SET {change} WHERE id = 'one-2'"))
    store = opened(path, "reader")
    with pytest.raises(Unavailable, match="bridge audit verify"):
        store.audit.rows(limit=100)
    store.close()
    assert faults(path) == [("one", 3, "changed")]


def test_text_that_is_no_unicode_is_a_changed_row_and_does_not_stop_the_walk(
    path: Path, tamper: Callable[[Change], None]
) -> None:
    tamper(sql("UPDATE audit SET subject = CAST(x'ff' AS TEXT) WHERE writer = 'two' AND sequence = 4"))
    assert faults(path) == [("two", 4, "changed")]


def test_a_column_of_a_type_that_is_never_stored_is_a_changed_row(path: Path, tamper: Callable[[Change], None]) -> None:
    def loosen(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'audit'")

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE audit SET subject = x'00' WHERE writer = 'one' AND sequence = 2")
        connection.execute("UPDATE audit SET sequence = 'five' WHERE writer = 'one' AND sequence = 5")

    tamper(loosen)
    tamper(change)
    found = faults(path)
    assert {kind for _, _, kind in found} <= {"changed", "missing"}
    assert ("one", 0, "changed") in found
    assert any(fault[1] == 2 for fault in found)


def test_a_log_that_was_wiped_as_a_whole_is_missed_where_there_are_keys(
    path: Path, tamper: Callable[[Change], None]
) -> None:
    wipe = [f"DELETE FROM {table}" for table in ("audit", "audit_writers", "audit_roster", "audit_checkpoints")]
    tamper(sql("INSERT INTO tombstones VALUES ('spiffe://example.org/x', 1)"))
    assert faults(path) == []
    tamper(sql(*wipe))
    assert [kind for _, _, kind in faults(path)] == ["writer_missing"]
