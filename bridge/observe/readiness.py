"""Ready or not, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.model.errors import BridgeError

# Whether the part is fine, and what an operator wants to see of it.
PartState = tuple[bool, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this worker can serve, and per part why or why not. The detail is for operators only."""

    ready: bool
    parts: Mapping[str, Mapping[str, object]]


def readiness(parts: Mapping[str, Callable[[], PartState]]) -> Readiness:
    """Ask every part. One that raises a domain error is not ready, for that reason."""
    seen: dict[str, Mapping[str, object]] = {}
    ready = True
    for name, ask in parts.items():
        try:
            fine, detail = ask()
        except BridgeError as error:
            fine, detail = False, {"reason": str(error)}
        ready = ready and fine
        seen[name] = {"ready": fine, **detail}
    return Readiness(ready, seen)
