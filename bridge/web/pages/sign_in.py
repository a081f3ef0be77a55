"""What both ways of signing in have in common: where they begin, and how they end in a session."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlencode

from bridge.model.authorization import User
from bridge.users.sessions import Sessions
from bridge.web.lean import Response
from bridge.web.pages.pending_sign_ins import PendingSignIn, PendingSignIns
from bridge.web.pages.rendering import see_other
from bridge.web.pages.visits import Visit, Visits


class SignInPages(Protocol):
    """One way of signing in."""

    def begin(self, visit: Visit, return_to: str) -> Response:
        """Send the browser on its way to a session, to come back at `return_to`, a path of ours below the issuer's
        with its query. Raises: Unavailable; InvalidRequest when that is too long to be kept."""
        ...


PAUSED = "signed_out"


def paused(base: str, path: str, **parameters: str) -> Response:
    """The answer to a form that came when its session was over: to a page of ours that says so (`session_over.html`).

    Not straight to a sign-in: browsers hold a form's redirects against the `form-action` of its page, and a login
    provider is not in it.
    """
    return see_other(f"{base}{path}?{urlencode({**parameters, PAUSED: '1'})}")


class Arrives(Protocol):
    """Ends a sign-in that succeeded."""

    def arrive(self, visit: Visit, pending: PendingSignIn, user: User) -> Response:
        """On to what was waiting. Raises: Unavailable."""
        ...


class Arrivals:
    """Ends a sign-in that succeeded."""

    def __init__(self, *, visits: Visits, sessions: Sessions, pending: PendingSignIns, base: str) -> None:
        """`base` is the issuer's path."""
        self._visits, self._sessions, self._pending, self._base = visits, sessions, pending, base

    def arrive(self, visit: Visit, pending: PendingSignIn, user: User) -> Response:
        """A new session for this user, in place of any other, and on to what was waiting. Raises: Unavailable."""
        _, cookie = self._sessions.begin(user, now=visit.now)
        response = self._visits.signed_in(visit, see_other(self._base + pending.return_to), cookie)
        self._pending.drop(response, pending.state)
        return response
