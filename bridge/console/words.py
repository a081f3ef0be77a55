"""How values are written on pages: times, lengths of time, and text of somebody else's."""

from __future__ import annotations

from bridge.model.inert import inert
from bridge.model.times import rfc3339

_STEPS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def harmless(value: object) -> object:
    """Every value that a template shows goes through this: characters that print nothing are spelled out. Escaping is
    the template's own work, and what is escaped already stays as it is. None is shown as nothing."""
    if value is None:
        return ""
    return value if hasattr(value, "__html__") else inert(str(value))


def minute(epoch: int) -> str:
    """A time as people read it, to the minute: `2026-07-01 12:30 UTC`."""
    said = rfc3339(epoch)
    return f"{said[:10]} {said[11:16]} UTC"


def length(seconds: int) -> str:
    """A length of time in its one or two largest units: `3 d 4 h`, `12 min`."""
    left, parts = max(0, seconds), list[str]()
    for size, unit in _STEPS:
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def distance(epoch: int, now: int) -> str:
    """How long since, or until: `3 d 4 h ago`, `in 12 min`."""
    return f"{length(now - epoch)} ago" if epoch <= now else f"in {length(epoch - now)}"
