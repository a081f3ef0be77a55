"""A new file, complete and on disk before it takes the place of another."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def draft_beside(path: Path, content: bytes, *, dress: Callable[[int], None] | None = None) -> Path:
    """A hidden file in the folder of `path` that holds `content`, for this account alone: to be renamed, or unlinked.
    `dress` gets its descriptor before it is complete and may set rights and owner. Raises: OSError, and what `dress`
    raises; then nothing is left."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    # Exclusive: of somebody else's file or link under this name nothing is written.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if dress is not None:
                dress(file.fileno())
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def put_in_place(draft: Path, path: Path) -> None:
    """Rename it, durably. Raises: OSError; where the rename failed the draft is gone and `path` is as it was."""
    try:
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
