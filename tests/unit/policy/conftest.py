"""Policy folders to write into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.policy.policy_folders import Policies


@pytest.fixture
def policies(tmp_path: Path) -> Policies:
    """An empty policy folder with a catalogue."""
    return Policies(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Policies]:
    """Further policy folders, by name."""

    def make(name: str) -> Policies:
        (tmp_path / name).mkdir()
        return Policies(tmp_path / name)

    return make
