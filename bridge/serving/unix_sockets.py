"""Listening on a file: its rights say who may connect, and what an ended service left behind is taken away."""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

# The account that serves, and its group, to which the proxy's account belongs (interface section 2).
RIGHTS = 0o660
# The account that serves, and nobody else.
OWN_RIGHTS = 0o600
# How long another process may take to show that it listens, in seconds.
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file of a socket that is bound, to be taken away when the service ends."""

    path: Path
    device: int
    inode: int

    def remove(self) -> None:
        """Take the file away, unless somebody has put another in its place."""
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return
        if (there.st_dev, there.st_ino) == (self.device, self.inode):
            self.path.unlink(missing_ok=True)


def bind_file(
    path: Path, backlog: int, *, rights: int = RIGHTS, group: int | None = None
) -> tuple[socket.socket, SocketFile]:
    """Listen on `path`, with these rights from the first moment. With `group` the file is this group's, which then has
    the rights of 0660. A socket on which nobody listens any more is replaced; anything else that is there stays.
    Raises: OSError."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Between a bind and a later chmod anybody could connect, so the file never has other rights.
    former = os.umask(0o777 & ~rights)
    try:
        try:
            bound.bind(str(path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_left_behind(path):
                raise
            path.unlink()
            bound.bind(str(path))
        if group is not None:
            _give_to(group, path)
        bound.listen(backlog)
        bound.setblocking(False)
        there = path.lstat()
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(former)
    return bound, SocketFile(path, there.st_dev, there.st_ino)


def _give_to(group: int, path: Path) -> None:
    """Let a group connect to the socket that was bound here. In a folder where others may write, something else may
    stand in its place by now: rights of a file that a link leads to are nobody's to change. Raises: OSError."""
    there = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(there).st_mode):
            raise OSError(errno.EEXIST, "somebody has put another file in the socket's place", str(path))
        os.chown(f"/proc/self/fd/{there}", -1, group)
        os.chmod(f"/proc/self/fd/{there}", RIGHTS)
    finally:
        os.close(there)


def _is_left_behind(path: Path) -> bool:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(_PATIENCE)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
