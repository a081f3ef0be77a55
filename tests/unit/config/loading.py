"""A configuration as the service loads it at its start."""

from __future__ import annotations

from pathlib import Path

from bridge.config import Settings, load_settings


def load(folder: Path, text: str) -> Settings:
    """The settings of this text. Raises: StartRefused with all faults."""
    (folder / "bridge.toml").write_text(text)
    return load_settings(folder / "bridge.toml", {}, serving=True)
