"""Has a path changed? Asked often, so answered from `stat` alone.

Kubernetes mounts a ConfigMap as a link to a link, and replaces the inner link; `ln -sfn` replaces the
outer one. Both leave the file's own name and perhaps its size and time alone, so the fingerprint holds
the identity of the file where the links end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from bridge.files.drafting import draft_beside
from bridge.model.errors import StartRefused

FileFingerprint = tuple[int, int, int, int, int]


def fingerprint(path: Path | str) -> FileFingerprint | None:
    """A value that differs after any replacement of what `path` leads to; None when nothing is there.

    Not seen: a write that keeps inode, size, and both times, which no ordinary tool can do; and another way to the
    same file, which holds the same.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def fingerprint_folder(folder: Path, pattern: str) -> tuple[tuple[str, FileFingerprint | None], ...]:
    """The fingerprints of all files of a folder whose names match, by name; empty when there is no folder.

    `pattern` is one for names (`*.toml`); with `**/` before it, it also holds in the folders within, but for those
    behind links. Of a thousand files this takes four milliseconds: services look several times a second.
    """
    return tuple(sorted((name, fingerprint(path)) for name, path in _matching(str(folder), "", pattern)))


def _matching(folder: str, before: str, pattern: str) -> Iterator[tuple[str, str]]:
    """Names below `folder` with `before` in front, and their paths."""
    below = pattern.startswith("**/")
    try:
        with os.scandir(folder) as listed:
            entries = list(listed)
    except OSError:
        return
    for entry in entries:
        if fnmatchcase(entry.name, pattern.removeprefix("**/")):
            yield before + entry.name, entry.path
        if below and entry.is_dir(follow_symlinks=False):
            yield from _matching(entry.path, f"{before}{entry.name}/", pattern)


class TooLarge(ValueError):
    """A file holds more than its reader allows."""


def _open_regular(path: Path) -> BinaryIO:
    """Open a plain file. Raises: OSError, for a pipe or a device too: reading one could last for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no plain file", str(path))
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a whole plain file of at most `limit` bytes. Raises: OSError, TooLarge."""
    with _open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(f"{path} holds more than {limit} bytes")
    return content


def read_secret(path: Path) -> bytes:
    """Read a file that only its owner may read.

    Raises: StartRefused when it is absent, or readable or writable by group or others (T-54).
    """
    try:
        with _open_regular(path) as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            content = file.read(65536)
    except OSError as error:
        raise StartRefused([f"{path}: cannot be read ({error.strerror})"]) from error
    if mode & 0o077:
        raise StartRefused([f"{path}: has rights {mode:04o}; a secret must be 0600 (chmod 600 {path})"])
    return content


def create_secret(path: Path, content: bytes) -> bool:
    """Make a 0600 file with this content unless it exists. False: somebody else made it first.

    The content is complete before the name exists, so that nobody can read half a key.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = draft_beside(path, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
