"""What a failure that is no defect of ours means: its words for the user, and the exit code."""

from __future__ import annotations

from bridge.cli.options import ConfigurationRefused
from bridge.model.errors import StartRefused, Unavailable

NO = 1
UNUSABLE = 2

# All that a user, a file system or a database can cause. Anything else is a defect and keeps its traceback.
EXPECTED = (StartRefused, Unavailable, OSError)


def describe(error: BaseException) -> tuple[int, tuple[str, ...]]:
    """Exit code and faults of one of `EXPECTED`."""
    if isinstance(error, StartRefused):
        return (UNUSABLE if isinstance(error, ConfigurationRefused) else NO), error.faults
    if isinstance(error, Unavailable):
        return NO, (f"{error}; try again, and see `bridge check` if it stays",)
    if isinstance(error, OSError):
        return NO, (f"{error.filename or 'operating system'}: {error.strerror or error}",)
    raise AssertionError(f"not one of the expected failures: {error!r}")
