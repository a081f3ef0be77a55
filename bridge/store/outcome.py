"""How a write ended, carried from the thread that wrote to the thread that asked."""

from __future__ import annotations

from types import TracebackType


class Outcome:
    """The value of a write, or what it raised.

    As a context manager it keeps any exception of its block instead of letting it pass: the one place
    where that is right, because the exception goes on in the thread that waits for it (`get`).
    """

    __slots__ = ("error", "value")

    def __init__(self, value: object = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error

    def __enter__(self) -> Outcome:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self.error = error
            return True
        return False

    def get(self) -> object:
        """The value. Raises: what the write raised."""
        if self.error is not None:
            raise self.error
        return self.value
