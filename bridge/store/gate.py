"""Whose turn it is to write, among all processes that share one SQLite file.

SQLite alone would let the loser of a race sleep and try again, up to a tenth of a second at a time, and
the busiest process would win most races. A file lock queues in the kernel and wakes the next at once.
SQLite's own lock stays what keeps the data right: the gate is only about waiting well.
"""

from __future__ import annotations

import fcntl
import os
from io import FileIO
from pathlib import Path
from types import TracebackType


class WriterGate:
    """An exclusive file lock beside the database, held for one transaction.

    It ends with the process that holds it, also when that is killed. Two locks, passed like a baton:
    whoever waits for the gate holds the place in front of it, so that a process that has just left
    cannot walk in again before the one that was waiting.
    """

    def __init__(self, database: Path) -> None:
        """Raises: OSError."""
        self._place = _open(database, ".writer-next")
        self._gate = _open(database, ".writer-lock")

    def __enter__(self) -> None:
        fcntl.flock(self._place, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._gate, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._place, fcntl.LOCK_UN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files. They stay: removing a lock file would split the queue."""
        self._place.close()
        self._gate.close()


def _open(database: Path, suffix: str) -> FileIO:
    return FileIO(f"{database}{suffix}", "r+", opener=lambda name, _: os.open(name, os.O_RDWR | os.O_CREAT, 0o600))
