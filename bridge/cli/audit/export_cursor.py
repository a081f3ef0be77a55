"""How far an export came, in a file: whoever goes on with it repeats at most what was under way, and loses nothing."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from bridge.files.drafting import draft_beside, put_in_place
from bridge.store.ports import ChainTail, ReadPlace

_VERSION = 1
# Of SQLite.
_LAST_ROW = 2**63 - 1
_MEMBERS = {"version", "row", "mac", "is_whole", "chains"}


class UnfitCursor(ValueError):
    """The file is no cursor of ours, or another export goes by it. It was left alone."""


class Cursor:
    """One cursor file, held by one export at a time. Close it."""

    def __init__(self, path: Path) -> None:
        """Take hold of it. Raises: UnfitCursor; OSError."""
        self._path = path
        # A file beside it, which stays: the cursor itself is replaced each time, and a lock would go with the old one.
        self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise UnfitCursor(f"{path}: another export goes by it") from error
        try:
            self.place = self._read()
        except BaseException:
            os.close(self._lock)
            raise

    def keep(self, place: ReadPlace) -> None:
        """Everything up to there is where it was to go. Durable when it returns. Raises: OSError."""
        chains = {writer: [tail.sequence, list(tail.macs)] for writer, tail in place.chains.items()}
        said = {"version": _VERSION, "row": place.row, "mac": place.mac, "is_whole": place.is_whole, "chains": chains}
        content = json.dumps(said, separators=(",", ":")).encode("ascii")
        put_in_place(draft_beside(self._path, content), self._path)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._lock)

    def _read(self) -> ReadPlace | None:
        """The place in the file; None where there is no file yet."""
        try:
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise _unfit(self._path) from error
        try:
            return place_of(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise _unfit(self._path) from error


def place_of(said: object) -> ReadPlace:
    """The place that a cursor names. Raises: ValueError for anything that `Cursor.keep` does not write."""
    if not isinstance(said, dict) or said.keys() != _MEMBERS or said["version"] != _VERSION:
        raise ValueError("its members are others")
    row, mac, is_whole, chains = said["row"], said["mac"], said["is_whole"], said["chains"]
    if type(row) is not int or not 0 <= row <= _LAST_ROW or type(is_whole) is not bool or not isinstance(chains, dict):
        raise ValueError("a member has another type")
    return ReadPlace(row, _hex(mac), is_whole, {str(writer): _tail(tail) for writer, tail in chains.items()})


def _tail(said: object) -> ChainTail:
    match said:
        case [int(sequence), [*macs]]:
            return ChainTail(sequence, tuple(_hex(mac) for mac in macs))
    raise ValueError("a chain is none")


def _hex(said: object) -> str:
    if not isinstance(said, str):
        raise ValueError("a MAC is no text")
    bytes.fromhex(said)
    return said


def _unfit(path: Path) -> UnfitCursor:
    return UnfitCursor(f"{path}: is no cursor of `bridge audit export`; move it away to begin anew")
