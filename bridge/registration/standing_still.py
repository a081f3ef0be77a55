"""What is done once more because a record changed between look and write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bridge.model.errors import RegistrationChanged

T = TypeVar("T")

# A revocation between decision and write, or one since the record was last read, makes us decide once more. Three in
# a row are an operator's storm against this very client, and a refusal is the honest answer.
ATTEMPTS = 3


def until_it_stands(attempt: Callable[[], T]) -> T:
    """The result of `attempt`, which is made again while it raises RegistrationChanged.

    Raises: RegistrationChanged of the last attempt; whatever else one raises.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except RegistrationChanged:
            continue
    return attempt()
