"""The time and the randomness of this process: the only place that asks for them. What needs one of them takes it as an
argument."""

from __future__ import annotations

import secrets
import time


def now() -> int:
    """Epoch seconds. Everything below takes the time as an argument."""
    return int(time.time())


def new_id() -> str:
    """An unguessable id of 22 characters, for tokens, keys and correlation. None begins with a hyphen: who gives one
    to a command would be told of an unknown option."""
    while (made := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return made
