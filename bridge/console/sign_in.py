"""Operators who sign in at the provider of `[users]`: a session of their own, apart from those of the consent pages.

Another cookie, another key behind it, other user ids: nothing that a person has at the pages opens anything here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.console.operators import Operator
from bridge.console.section import SIGN_OUT, Desk, Route
from bridge.console.visits import Visit as ConsoleVisit
from bridge.model.authorization import User
from bridge.model.errors import ConsoleRefused
from bridge.model.reasons import Reason
from bridge.tokens.sealing import SealKey
from bridge.users.sessions import Sessions
from bridge.users.upstream import Upstream
from bridge.users.user_ids import UserIds
from bridge.web.lean import Response
from bridge.web.pages.cookies import Cookies
from bridge.web.pages.form_tokens import FormTokens
from bridge.web.pages.pending_sign_ins import PendingSignIn, PendingSignIns
from bridge.web.pages.sign_in import Arrivals
from bridge.web.pages.upstream_sign_in import UpstreamSignIn
from bridge.web.pages.visits import Visit, Visits

CALLBACK = "/sign-in/callback"
COOKIES = "bridge-console"
_VISIT = "bridge.console_sign_in"
# Where a sign-in may lead back to: a path of ours, and nothing that a browser takes for another host.
_OWN_PATH = re.compile(r"/(?:[a-z-]+(?:/[a-z-]+)*)?")


@dataclass(frozen=True, slots=True)
class SignInParts:
    """What signing in is made of. `url` is the console's; `subjects` are the `sub`s of operators at `upstream`, and
    `ids` makes user ids of them; the keys are for this purpose alone."""

    url: str
    upstream: Upstream
    sessions: Sessions
    ids: UserIds
    subjects: tuple[str, ...]
    cookie_seal: SealKey
    form_key: bytes
    new_secret: Callable[[], str]
    clock: Callable[[], int]


class BySignIn:
    """Whoever signed in and is one of the operators."""

    def __init__(self, parts: SignInParts) -> None:
        issuer = parts.upstream.issuer
        self._issuer = issuer
        self._subjects = {parts.ids.of(issuer, subject): subject for subject in parts.subjects}
        cookies = Cookies(parts.url, name=COOKIES)
        pending = PendingSignIns(parts.cookie_seal, cookies)
        self._visits = Visits(
            cookies=cookies,
            sessions=parts.sessions,
            tokens=FormTokens(parts.form_key),
            new_secret=parts.new_secret,
            clock=parts.clock,
        )
        arrivals = Arrivals(visits=self._visits, sessions=parts.sessions, pending=pending, base="")
        self._sign_in = UpstreamSignIn(
            parts.upstream, visits=self._visits, pending=pending, arrivals=_OperatorsOnly(arrivals, self._subject)
        )

    def identify(self, environ: dict[str, Any], *, now: int) -> Operator | Response:
        """See `Access`."""
        visit = environ[_VISIT] = self._visits.read(environ)
        if visit.session is None:
            if environ["REQUEST_METHOD"] != "GET":
                words = "you were signed out meanwhile. Nothing was done"
                raise ConsoleRefused(Reason.CONSOLE_OPERATOR, "nobody is signed in", public=words)
            return self._sign_in.begin(visit, _own_path(environ))
        subject = self._subject(visit.session.user)
        return Operator(
            name=f"{subject} at {self._issuer}",
            binding=f"session {visit.session.digest}",
            by=f"a sign-in at {self._issuer}",
            can_sign_out=True,
        )

    def finish(self, environ: Mapping[str, Any], response: Response) -> Response:
        """See `Access`. A session that is in use is prolonged."""
        # What says goodbye says nothing else.
        return response if "Set-Cookie" in response.headers else self._visits.prolong(environ[_VISIT], response)

    def come_back(self) -> Response:
        """GET `/sign-in/callback`: see `UpstreamSignIn`. Raises also: ConsoleRefused for who is no operator, and no
        session begins."""
        return self._sign_in.come_back()

    def sign_out(self, environ: Mapping[str, Any], response: Response) -> Response:
        """See `Access`."""
        return self._visits.signed_out(environ[_VISIT], response)

    def _subject(self, user: User) -> str:
        subject = self._subjects.get(user.user_id)
        if subject is None:
            raise ConsoleRefused(Reason.CONSOLE_OPERATOR, f"{user.user_id} at {self._issuer} is no operator")
        return subject


class _OperatorsOnly:
    """Lets nobody else arrive."""

    def __init__(self, arrivals: Arrivals, require: Callable[[User], str]) -> None:
        self._arrivals, self._require = arrivals, require

    def arrive(self, visit: Visit, pending: PendingSignIn, user: User) -> Response:
        """See `Arrives`. Raises: ConsoleRefused."""
        self._require(user)
        return self._arrivals.arrive(visit, pending, user)


def sign_in_routes(desk: Desk, own: BySignIn) -> tuple[Route, Route]:
    """The way out, for operators, and the way back from the provider, which is open to all."""

    def leave(visit: ConsoleVisit) -> Response:
        form = desk.forms.posted(visit)
        desk.forms.check(visit, form, SIGN_OUT)
        return own.sign_out(visit.environ, desk.pages.show("signed_out.html", visit=None))

    return (
        Route(SIGN_OUT, "console_sign_out", {"POST": leave}),
        Route(CALLBACK, "console_callback", {"GET": lambda visit: own.come_back()}),
    )


def _own_path(environ: Mapping[str, Any]) -> str:
    path, query = str(environ["PATH_INFO"]), str(environ.get("QUERY_STRING", ""))
    if _OWN_PATH.fullmatch(path) is None:
        return "/"
    return f"{path}?{query}" if query else path
