"""What stands in the place of a transport whose connection is lost."""

from __future__ import annotations

import asyncio


class _Gone(asyncio.Transport):
    """Is closing, holds nothing, and takes everything without effect."""

    def is_closing(self) -> bool:
        """Always."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody reads it."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def can_write_eof(self) -> bool:
        """There is no side to close."""
        return False

    def pause_reading(self) -> None:
        """Nothing comes."""

    def resume_reading(self) -> None:
        """Nothing comes."""

    def close(self) -> None:
        """It is."""

    def abort(self) -> None:
        """It is gone already."""


GONE = _Gone()
