"""A secret that one process renews in a file and others read: all of it or the one before, for its owner alone."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from bridge.files.drafting import draft_beside

_RIGHTS = 0o600


class NotReplaceable(ValueError):
    """The path cannot hold a secret that is replaced. The message says why."""


def require_replaceable(path: Path) -> None:
    """Find out whether `replace_secret` can work, by making a file beside `path` and taking it away.

    Raises: NotReplaceable for a folder that is not there or cannot be written in, a link, and what is no plain file. A
    file that is there, and what it holds, is left alone.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:
        raise NotReplaceable(f"{path}: {error.strerror}") from error
    if stat.S_ISLNK(mode):
        raise NotReplaceable(
            f"{path} is a link: a replacement would take the link's place and leave what it leads to as it is. "
            f"Name that: {os.path.realpath(path)}"
        )
    if stat.S_ISDIR(mode):
        raise NotReplaceable(f"{path} is a directory: name a file in it")
    if not stat.S_ISREG(mode):
        raise NotReplaceable(f"{path} is no plain file, and would be replaced by one")
    if not path.parent.is_dir():
        raise NotReplaceable(f"{path}: there is no directory {path.parent}")
    try:
        _draft(path, b"").unlink()
    except OSError as error:
        raise NotReplaceable(f"{path}: cannot write in {path.parent} ({error.strerror})") from error


def replace_secret(path: Path, content: bytes) -> None:
    """Put `content` where `path` is, with rights 0600, by one rename. A link that is there is replaced itself, never
    followed. Raises: OSError; then whatever was there is still there."""
    draft = _draft(path, content)
    try:
        # A rename over an empty directory's name would fail with other words on each system.
        if path.is_dir() and not path.is_symlink():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _draft(path: Path, content: bytes) -> Path:
    # Whatever the umask says.
    return draft_beside(path, content, dress=lambda descriptor: os.fchmod(descriptor, _RIGHTS))
