"""Signing in while developing: whoever opens the page is whoever they say. Nothing is proved.

The configuration takes this only where nobody but this machine can open the page, and the service says so at start.
"""

from __future__ import annotations

from bridge.metadata.texts import UnfitValue, text
from bridge.model.authorization import User
from bridge.model.errors import InvalidRequest
from bridge.model.reasons import Reason
from bridge.users.user_ids import UserIds

SOURCE = "development"
MAX_NAME_LENGTH = 64


class UnprovedSignIn:
    """Takes a name for a person."""

    def __init__(self, ids: UserIds) -> None:
        self._ids = ids

    def user(self, name: str) -> User:
        """The user of that name. Raises: InvalidRequest when it is no name of 1 to 64 visible characters."""
        try:
            said = text(name.strip(), MAX_NAME_LENGTH)
        except UnfitValue as fault:
            public = f"a name is one line of 1 to {MAX_NAME_LENGTH} visible characters"
            raise InvalidRequest(Reason.MALFORMED_REQUEST, f"the name: {fault}", public=public) from None
        return User(self._ids.of(SOURCE, said), said)
