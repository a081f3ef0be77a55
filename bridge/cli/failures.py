"""What a failure that is no defect of ours means: its words for the user, and the exit code."""

from __future__ import annotations

from bridge.cli.options import ConfigurationRefused
from bridge.model.errors import StartRefused, Unavailable

NO = 1
UNUSABLE = 2

# All that a user, a file system or a database can cause. Anything else is a defect and keeps its traceback.
EXPECTED = (StartRefused, Unavailable, OSError)

_RESTORE = "put the last backup back, see README, Backup"


def _is_of_damage(words: str) -> bool:
    """Whether a fault says that the database file itself is broken, which waiting does not mend."""
    return any(sign in words for sign in ("SQLITE_NOTADB", "SQLITE_CORRUPT", "the database is damaged"))


def describe(error: BaseException) -> tuple[int, tuple[str, ...]]:
    """Exit code and faults of one of `EXPECTED`."""
    if isinstance(error, StartRefused):
        faults = tuple(f"{fault}; {_RESTORE}" if _is_of_damage(fault) else fault for fault in error.faults)
        return (UNUSABLE if isinstance(error, ConfigurationRefused) else NO), faults
    if isinstance(error, Unavailable):
        advice = _RESTORE if _is_of_damage(str(error)) else "try again, and see `bridge check` if it stays"
        return NO, (f"{error}; {advice}",)
    if isinstance(error, OSError):
        return NO, (f"{error.filename or 'operating system'}: {error.strerror or error}",)
    raise AssertionError(f"not one of the expected failures: {error!r}")
