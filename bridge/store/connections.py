"""Connections to one SQLite file, and what its errors mean to a caller.

One connection writes (see `group_commit`); every thread that reads has one of its own, which cannot
write. In WAL mode readers and the writer never wait for each other.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason

Row = tuple[Any, ...]

# The writer holds the gate while it asks for the lock, so this only ever meets foreign tools.
WRITER_BUSY_MS = 100
READER_BUSY_MS = 300

# Pages in the WAL before a commit also moves them into the database. Rarer than SQLite's default, so
# that fewer than one commit in a hundred pays for it.
CHECKPOINT_PAGES = 4000
WRITER_CACHE_KIB = 8192
# A long read lets the WAL grow; afterwards it shrinks back to this.
WAL_KEEP_BYTES = 64 * 1024 * 1024


def unavailable(error: sqlite3.Error) -> Unavailable:
    """The domain error for anything SQLite raised. Never the client's fault, so always a 503 (T-53)."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return Unavailable(Reason.STORE_UNAVAILABLE, f"{name}: {error}")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else holds the lock, so that the same may succeed a moment later."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_storage_fault(error: sqlite3.Error) -> bool:
    """Whether the database itself failed, so that no write of the transaction can be blamed or saved."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _STORAGE_FAULTS


_STORAGE_FAULTS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOLFS,
    }
)


def _connect(path: Path, busy_ms: int) -> sqlite3.Connection:
    # mode=rw: a missing file is an error here, never a new and empty store.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that may write; a COMMIT on it returns when the rows are on the disk.

    Raises: sqlite3.Error. Transactions are opened and closed by hand.
    """
    connection = _connect(path, WRITER_BUSY_MS)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "temp_store = MEMORY",
        f"cache_size = -{WRITER_CACHE_KIB}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"journal_size_limit = {WAL_KEEP_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read. Raises: sqlite3.Error."""
    connection = _connect(path, READER_BUSY_MS)
    connection.execute("PRAGMA query_only = ON").close()
    return connection


def create_file(path: Path) -> None:
    """Make an empty database file that only its owner may read. Nothing happens when it exists."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


class _Reader:
    """A thread's connection, wrapped because a bare one cannot be referred to weakly. `lock` keeps another
    thread from closing it in the middle of a read."""

    __slots__ = ("__weakref__", "connection", "lock")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.lock = threading.Lock()


class Readers:
    """One reading connection per thread, opened on its first read and gone with the thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._open: weakref.WeakSet[_Reader] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def row(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row, or None. For statements that give at most one. Raises: Unavailable."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows, as one snapshot. Raises: Unavailable."""
        try:
            reader = self._reader()
            with reader.lock:
                return reader.connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            self._forget()
            raise unavailable(error) from error

    def close(self) -> None:
        """Close every thread's connection; later reads raise Unavailable."""
        with self._lock:
            self._closed = True
            readers = list(self._open)
        for reader in readers:
            with reader.lock:
                reader.connection.close()

    def _reader(self) -> _Reader:
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            if self._closed:
                raise Unavailable(Reason.STORE_UNAVAILABLE, "the store is closed")
            reader = _Reader(open_reader(self._path))
            with self._lock:
                self._open.add(reader)
            self._local.reader = reader
        return reader

    def _forget(self) -> None:
        """Drop the thread's connection, so that one that broke is not met again."""
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is not None:
            self._local.reader = None
            with reader.lock:
                reader.connection.close()
