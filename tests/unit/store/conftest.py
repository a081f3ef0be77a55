"""A fresh SQLite file, and stores over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.store.sqlite import SqliteStore
from tests.contract.places import SqlitePlace


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqlitePlace]:
    """A place with its schema made."""
    place = SqlitePlace(tmp_path)
    place.create()
    yield place
    place.close()


@pytest.fixture
def sqlite_store(sqlite: SqlitePlace) -> SqliteStore:
    """A store over it."""
    return sqlite.open()
