"""A console for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.console.stand import ConsoleStand


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleStand]:
    stand = ConsoleStand(tmp_path)
    yield stand
    stand.close()
