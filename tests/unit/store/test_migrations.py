"""The schema's steps: made in an empty store, asked for in an older one, refused in a newer one."""

from __future__ import annotations

import sqlite3
import stat
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlite_utils import Database

from bridge.model.errors import StartRefused
from bridge.store.migrations import STEPS, Step, create_if_empty, migrate, require_current, status
from bridge.store.ports import SchemaStatus
from bridge.store.sqlite import SqliteStore
from tests.contract.records import AUDIT_KEY, NOW

NAMES = tuple(step.name for step in STEPS)
NEXT = Step("9999_next", lambda database: database.execute("CREATE TABLE next (one INTEGER)") and None)
LATEST = len(STEPS)
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


def test_an_older_schema_asks_for_a_migration(tmp_path: Path) -> None:
    """F-8: the steps that are pending are named, and the store opens after `bridge db migrate`."""
    path = tmp_path / "bridge.db"
    migrate(path)
    steps = (*STEPS, NEXT)
    assert status(path, steps=steps) == SchemaStatus(LATEST, LATEST + 1, (NEXT.name,))
    with pytest.raises(StartRefused, match="bridge db migrate"):
        require_current(path, status(path, steps=steps))
    assert migrate(path, steps=steps) == SchemaStatus(LATEST + 1, LATEST + 1, ())


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
