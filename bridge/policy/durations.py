"""Durations as people write them in policy files: `90s`, `5m`, `24h`, `30d`."""

from __future__ import annotations

import re

PATTERN = r"^[1-9][0-9]{0,8}[smhd]$"
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: object) -> int:
    """The number of seconds. Raises: ValueError for anything but a number above 0 with one unit."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('write a duration as a number and a unit, for example "90s", "5m", "24h" or "30d"')
    return int(match[1]) * _UNIT[match[2]]


def spelled(value: int) -> str:
    """The shortest spelling of a number of seconds."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}s"
