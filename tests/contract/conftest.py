"""Every store runs through this suite; a new adapter is one more entry of `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.store.ports import Store
from tests.contract.places import ADAPTERS, Place


@pytest.fixture(params=sorted(ADAPTERS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty database with its schema made, which can be opened any number of times."""
    place = ADAPTERS[request.param](tmp_path)
    place.create()
    yield place
    place.close()


@pytest.fixture
def store(place: Place) -> Store:
    """A store over it."""
    return place.open()
