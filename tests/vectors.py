"""Published test vectors: read from beside the checkout, never copied into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / ".." / "shared" / "vectors"


def load(name: str) -> Any:
    """The JSON of one file; the module that asks is skipped where the folder is not there."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"the vectors are not beside the checkout: {name}", allow_module_level=True)
    return json.loads(path.read_text(encoding="utf-8"))
