"""A write that is on its way to the disk: what an answer may have to wait for before it leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class PendingWrite(Protocol):
    """Something that is being written. What stands on it belongs to nobody before `result` has returned."""

    @property
    def is_durable(self) -> bool:
        """Whether it is written, so that `result` neither waits nor raises."""
        ...

    def then(self, call: Callable[[], None]) -> None:
        """Have `call` called once, from any thread or at once, when it is known how the write ended. Not
        called when that takes longer than a caller may wait: ask `result` then. `call` must be quick."""
        ...

    def result(self) -> object:
        """Wait until it is durable. To be asked once. Raises: what the verb that began it says; Unavailable."""
        ...
