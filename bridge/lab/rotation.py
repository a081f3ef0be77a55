"""Which key signs, and which keys the bundle holds, through a rotation in SPIRE's four steps.

prepare   a new key is published; nothing is signed with it yet
activate  it signs; the former one becomes the old one and stays published
taint     the old key is marked: agents renew what it signed; verifiers see no difference
revoke    the old key leaves the bundle
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Stage(StrEnum):
    """One step of a rotation, in this order."""

    PREPARE = "prepare"
    ACTIVATE = "activate"
    TAINT = "taint"
    REVOKE = "revoke"


class StageRefused(ValueError):
    """A step out of order, as SPIRE's `localauthority` commands refuse it."""


class KeySlots(Generic[Key]):
    """The keys of one kind. Not thread-safe: the authority that owns it holds the lock."""

    def __init__(
        self, active: Key, *, prepared: Key | None = None, old: Key | None = None, tainted: bool = False
    ) -> None:
        self.active = active
        self.prepared = prepared
        self.old = old
        self.tainted = tainted

    def published(self) -> tuple[Key, ...]:
        """What the bundle holds, oldest first."""
        return tuple(key for key in (self.old, self.active, self.prepared) if key is not None)

    def prepare(self, new: Key) -> None:
        """Publish a successor. Here a second `prepare` replaces the first; SPIRE leaves both in the bundle."""
        self.prepared = new

    def activate(self) -> None:
        """Let the prepared key sign. Raises: StageRefused."""
        if self.prepared is None:
            raise StageRefused("nothing is prepared: run the stage 'prepare' first")
        if self.old is not None:
            raise StageRefused("the old key is still published: run the stages 'taint' and 'revoke' first")
        self.old, self.active, self.prepared = self.active, self.prepared, None
        self.tainted = False

    def taint(self) -> None:
        """Mark the old key. Raises: StageRefused."""
        if self.old is None:
            raise StageRefused("there is no old key: only a key that no longer signs can be tainted")
        self.tainted = True

    def revoke(self) -> None:
        """Take the old key out of the bundle. Raises: StageRefused."""
        if self.old is None or not self.tainted:
            raise StageRefused("the old key is not tainted: run the stage 'taint' first")
        self.old, self.tainted = None, False
