"""A file that people keep, replaced as a whole: whoever reads it sees the old content or the new one, never a part."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from bridge.files.drafting import draft_beside, put_in_place


class ChangedMeanwhile(ValueError):
    """The file is not what it was when it was read, or somebody else is writing it. It was left alone."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was changed meanwhile: it is left as it is")


def replace_file(path: Path, content: bytes, *, was: bytes) -> None:
    """Put `content` in the place of what the file holds, which must be exactly `was`, by one rename.

    A link stays a link: what it leads to is replaced, in the folder where that is. The new file has the old one's
    owner, group, rights and extended attributes, access lists among them; where one of these cannot be kept, nothing
    is changed. Other names of the same file (hard links) keep the old content.
    Raises: ChangedMeanwhile; OSError. Not seen: a change in the moment between the last look and the rename, unless
    it is made by this function, which lets one at a time in.
    """
    real = Path(os.path.realpath(path, strict=True))
    # Looked at before it is opened: a pipe would be waited for.
    if not stat.S_ISREG(os.stat(real).st_mode):
        raise OSError(errno.EINVAL, "is no plain file", str(real))
    with real.open("rb") as old:
        try:
            fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ChangedMeanwhile(path) from error
        # One byte more than expected is enough to see that the file grew. Whoever had the lock before may have put
        # another file here.
        if old.read(len(was) + 1) != was or not os.path.samestat(os.fstat(old.fileno()), os.stat(real)):
            raise ChangedMeanwhile(path)
        draft = draft_beside(real, content, dress=lambda new: _take_after(new, old.fileno()))
        put_in_place(draft, real)


def _take_after(new: int, old: int) -> None:
    """Owner and group before rights, which a change of owner may take away; access lists after rights, which they
    refine. Raises: OSError when this account may not set one of them."""
    wanted, found = os.fstat(old), os.fstat(new)
    if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
        os.fchown(new, wanted.st_uid, wanted.st_gid)
    os.fchmod(new, stat.S_IMODE(wanted.st_mode))
    has = _attributes(new)
    for name, value in _attributes(old).items():
        if has.get(name) != value:
            os.setxattr(new, name, value)


def _attributes(descriptor: int) -> dict[str, bytes]:
    """None on a file system that has none."""
    try:
        return {name: os.getxattr(descriptor, name) for name in os.listxattr(descriptor)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
