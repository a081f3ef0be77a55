"""Where the stores of the contract suite live. A place can be pickled and opened in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bridge.store.gate import WriterGate
from bridge.store.migrations import create_if_empty
from bridge.store.ports import Store
from bridge.store.sqlite import SqliteStore
from tests.contract.records import AUDIT_KEY, NOW


def started_at() -> int:
    """The clock of stores under test."""
    return NOW


class Place(Protocol):
    """One database."""

    def create(self) -> None: ...
    def open(self, **options: Any) -> Store: ...
    def held(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...


# So long a store under test waits for the disk of the machine it is tested on; a service has two seconds.
SLOW_DISK = 60.0


@dataclass
class SqlitePlace:
    """One SQLite file."""

    folder: Path
    opened: list[SqliteStore] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "bridge.db"

    def create(self) -> None:
        create_if_empty(self.path)

    def open(self, **options: Any) -> SqliteStore:
        given = {"audit_key": AUDIT_KEY, "clock": started_at, "patience": SLOW_DISK} | options
        store = SqliteStore.open(self.path, **given)
        self.opened.append(store)
        return store

    @contextmanager
    def held(self) -> Iterator[None]:
        """While this lasts nobody commits; what waits by then shares a commit."""
        gate = WriterGate(self.path)
        try:
            with gate:
                yield
        finally:
            gate.close()

    def close(self) -> None:
        for store in self.opened:
            store.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "opened": []}


ADAPTERS: dict[str, Callable[[Path], Place]] = {"sqlite": SqlitePlace}
