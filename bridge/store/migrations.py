"""The schema, in numbered steps.

A step is applied in one transaction with the note that it was: it happened or it did not. `before`
refuses a store that the step cannot carry over; `after` checks what the step promised.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from bridge.model.errors import StartRefused
from bridge.store.connections import create_file, open_reader, open_writer, unavailable
from bridge.store.gate import WriterGate
from bridge.store.ports import SchemaStatus
from bridge.store.schema import (
    AUTHORITIES,
    CODE_FLOW,
    DOCUMENTS,
    FIRST_RELEASE,
    NOTED_KEYS,
    NOTICES,
    POLLED_BUNDLES,
    REGISTRATION,
    UPKEEP,
)

SET = "bridge"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema. `name` begins with its number and never changes once released."""

    name: str
    apply: Callable[[Database], None]
    before: Callable[[Database], None] = lambda database: None
    after: Callable[[Database], None] = lambda database: None

    def run(self, database: Database) -> None:
        """Check, change, check. Raises: StartRefused, sqlite3.Error; the transaction is then undone."""
        self.before(database)
        self.apply(database)
        self.after(database)


def _expect_empty(database: Database) -> None:
    """What is there without any step of ours is somebody else's, and stays untouched."""
    foreign = sorted(set(database.table_names()) - {Migrations.migrations_table})
    if foreign:
        raise StartRefused([f"the file holds other tables ({', '.join(foreign[:5])}); name a new file in store.url"])


def _statements(statements: Sequence[str]) -> Callable[[Database], None]:
    """The step that is these statements, one after the other."""

    def apply(database: Database) -> None:
        for statement in statements:
            database.execute(statement)

    return apply


def _expect_sound(database: Database) -> None:
    problems = [row[0] for row in database.execute("PRAGMA quick_check(5)").fetchall() if row[0] != "ok"]
    if problems:
        raise StartRefused([f"the database is damaged: {problem}" for problem in problems])


STEPS: tuple[Step, ...] = (
    Step("0001_first_release", _statements(FIRST_RELEASE), _expect_empty, _expect_sound),
    Step("0002_registration", _statements(REGISTRATION), after=_expect_sound),
    Step("0003_documents", _statements(DOCUMENTS), after=_expect_sound),
    Step("0004_code_flow", _statements(CODE_FLOW), after=_expect_sound),
    Step("0005_polled_bundles", _statements(POLLED_BUNDLES), after=_expect_sound),
    Step("0006_noted_keys", _statements(NOTED_KEYS), after=_expect_sound),
    Step("0007_authorities", _statements(AUTHORITIES), after=_expect_sound),
    Step("0008_notices", _statements(NOTICES), after=_expect_sound),
    Step("0009_upkeep", _statements(UPKEEP), after=_expect_sound),
)


def _migrations(steps: tuple[Step, ...], progress: Callable[[str], None]) -> Migrations:
    migrations = Migrations(SET)
    for step in steps:

        def run(database: Database, step: Step = step) -> None:
            progress(step.name)
            step.run(database)

        migrations(name=step.name)(run)
    return migrations


def status(path: Path, *, steps: tuple[Step, ...] = STEPS) -> SchemaStatus:
    """Where the schema of the file stands. A file that does not exist, or is empty, has it all to come.

    Raises: StartRefused when the file is no database, cannot be read, or belongs to a newer release.
    """
    names = tuple(step.name for step in steps)
    applied = _applied(path)
    unknown = sorted(set(applied) - set(names))
    if unknown:
        raise StartRefused(
            [f"{path}: was made by a newer release ({', '.join(unknown)}); run that release, or restore a backup"]
        )
    pending = tuple(name for name in names if name not in applied)
    return SchemaStatus(current=len(names) - len(pending), latest=len(names), pending=pending)


def migrate(
    path: Path, progress: Callable[[str], None] = lambda name: None, *, steps: tuple[Step, ...] = STEPS
) -> SchemaStatus:
    """Apply what is pending, telling `progress` the name of each step before it begins.

    Safe beside running services of the release before: they wait at the gate. Raises: StartRefused.
    """
    status(path, steps=steps)
    with _refusing(path):
        create_file(path)
        gate = WriterGate(path)
        try:
            with gate:
                _apply(path, progress, steps)
        finally:
            gate.close()
    return status(path, steps=steps)


def create_if_empty(path: Path) -> None:
    """Make the schema in a store that has none; what `serve` does at start.

    Raises: StartRefused when the schema is older (`bridge db migrate`) or newer than this release.
    """
    found = status(path)
    if found.pending and found.current == 0:
        found = migrate(path)
    elif found.pending:
        # Perhaps somebody who starts at the same time is between two steps; then it has them all when the gate is free.
        found = _when_nobody_writes(path)
    require_current(path, found)


def _when_nobody_writes(path: Path) -> SchemaStatus:
    with _refusing(path):
        gate = WriterGate(path)
        try:
            with gate:
                return status(path)
        finally:
            gate.close()


def require_current(path: Path, found: SchemaStatus | None = None) -> None:
    """Raises: StartRefused unless the file has exactly this release's schema."""
    found = status(path) if found is None else found
    if found.pending and found.current == 0:
        raise StartRefused([f"{path}: there is no store yet; run `bridge db migrate`, or start `bridge serve`"])
    if found.pending:
        steps = f"step {found.current} of {found.latest}"
        raise StartRefused([f"{path}: the schema is at {steps}; make a backup, then run `bridge db migrate`"])


def _apply(path: Path, progress: Callable[[str], None], steps: tuple[Step, ...]) -> None:
    connection = open_writer(path)
    try:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":
            raise StartRefused([f"{path}: this file system cannot share a database (journal mode {mode})"])
        # Somebody may have been faster while this process waited at the gate; then nothing is pending.
        _migrations(steps, progress).apply(Database(connection, execute_plugins=False))
    finally:
        connection.close()


def _applied(path: Path) -> tuple[str, ...]:
    if not path.exists() or path.stat().st_size == 0:
        return ()
    with _refusing(path):
        connection = open_reader(path)
        try:
            database = Database(connection, execute_plugins=False)
            applied = tuple(done.name for done in _migrations((), lambda name: None).applied(database))
            if not applied:
                _expect_empty(database)
            return applied
        finally:
            connection.close()


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn what the file system and SQLite say into words for an operator."""
    try:
        yield
    except StartRefused as error:
        raise StartRefused(
            [f"{path}: {fault}" if str(path) not in fault else fault for fault in error.faults]
        ) from error
    except sqlite3.Error as error:
        raise StartRefused([f"{path}: {unavailable(error).detail}"]) from error
    except OSError as error:
        raise StartRefused([f"{path}: {error.strerror}"]) from error
