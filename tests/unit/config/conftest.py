"""The folder that a configuration of these tests stands in."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds what configurations name: a place for sockets, a certificate and its key."""
    (tmp_path / "run").mkdir()
    for name in ("server.pem", "server.key"):
        (tmp_path / name).touch()
    return tmp_path
