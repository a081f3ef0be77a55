"""Times as programs and people read them. Everywhere else they are epoch seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

# The last second that RFC 3339 has words for.
LATEST = 253402300799


@overload
def rfc3339(epoch: int) -> str: ...
@overload
def rfc3339(epoch: int | None) -> str | None: ...
def rfc3339(epoch: int | None) -> str | None:
    """Epoch seconds, from 0 to `LATEST`, as RFC 3339 in UTC; None for None."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
