"""A file replaced as a whole: whoever reads it sees the old content or the new one, and never a part."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bridge.files.paths import read_bounded


class ChangedMeanwhile(ValueError):
    """Somebody else wrote the file since it was read."""


def replace_file(path: Path, content: bytes, *, was: bytes) -> None:
    """Put `content` in the place of `was`. What a link leads to is replaced, not the link; the rights stay.

    Raises: ChangedMeanwhile when the file does not hold `was` any more; OSError. Not seen: a write in the very moment
    between looking and replacing.
    """
    real = Path(os.path.realpath(path, strict=True))
    mode = real.stat().st_mode & 0o7777
    beside = real.with_name(f".{real.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        if read_bounded(real, len(was) + 1) != was:
            raise ChangedMeanwhile(f"{path} was changed meanwhile: it is left as it is")
        os.replace(beside, real)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(real.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
