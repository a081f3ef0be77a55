"""A text file as somebody read it, for processes that begin later and must not go by another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge.files.paths import FileFingerprint, fingerprint


@dataclass(frozen=True, slots=True)
class FileAsRead:
    """What a file held, and where. A plain value: it travels to new processes.

    `path` is absolute and not resolved: a link to the file may lead elsewhere later, and its neighbours are where it
    is found. `named` is the path as it was given, for messages.
    """

    path: Path
    named: Path
    text: str
    _fingerprint: FileFingerprint | None

    def has_changed(self) -> bool:
        """Whether the path leads to something else than what was read, or to nothing any more."""
        return fingerprint(self.path) != self._fingerprint


def read_text_file(named: Path) -> FileAsRead:
    """Read a file whole, as UTF-8. Raises: OSError, UnicodeDecodeError."""
    path = named.absolute()
    # Looked at first: of a change in between, the worst is that it is taken for one that came later.
    before = fingerprint(path)
    return FileAsRead(path, named, path.read_text(encoding="utf-8"), before)
