"""`/sign-in` while developing: one form with one field. Whoever opens it is whoever they say."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from flask import request

from bridge.users.development import MAX_NAME_LENGTH, UnprovedSignIn
from bridge.web.forms import parse_form
from bridge.web.lean import Response
from bridge.web.pages.pending_sign_ins import PENDING_SECONDS, PendingSignIn, PendingSignIns
from bridge.web.pages.rendering import Pages, see_other
from bridge.web.pages.sign_in import Arrivals
from bridge.web.pages.visits import Visit, Visits
from bridge.web.services import ACCOUNT, SIGN_IN


class DevelopmentSignIn:
    """The pages of it."""

    def __init__(
        self,
        source: UnprovedSignIn,
        *,
        visits: Visits,
        pending: PendingSignIns,
        arrivals: Arrivals,
        pages: Pages,
        base: str,
        new_secret: Callable[[], str],
    ) -> None:
        """`base` is the issuer's path; `new_secret` gives 32 random bytes as base64url."""
        self._source, self._visits, self._pending, self._arrivals = source, visits, pending, arrivals
        self._pages, self._base, self._new_secret = pages, base, new_secret

    def begin(self, visit: Visit, return_to: str) -> Response:
        """See `SignInPages`."""
        pending = PendingSignIn(self._new_secret(), return_to, visit.now + PENDING_SECONDS)
        response = see_other(f"{self._base}{SIGN_IN}?{urlencode({'state': pending.state})}")
        self._pending.keep(response, pending, visit.cookies, now=visit.now)
        return response

    def show(self) -> Response:
        """GET: the form; without a sign-in under way, one begins that leads to the account."""
        visit = self._visits.read(request.environ)
        state = parse_form(visit.query.encode("latin-1")).get("state")
        if state is None:
            return self._visits.answer(visit, self.begin(visit, ACCOUNT))
        self._pending.find(visit.cookies, state, now=visit.now)
        page = self._pages.show_leading_anywhere(
            "sign_in.html",
            state=state,
            max_length=MAX_NAME_LENGTH,
            form_token=self._visits.form_token(visit, SIGN_IN, state, signs_in=True),
        )
        return self._visits.answer(visit, page)

    def enter(self) -> Response:
        """POST: somebody said a name."""
        visit = self._visits.read(request.environ)
        form = self._visits.posted(visit)
        pending = self._pending.find(visit.cookies, form.get("state"), now=visit.now)
        self._visits.check_token(visit, form, SIGN_IN, pending.state, signs_in=True)
        user = self._source.user(form.require("user"))
        return self._arrivals.arrive(visit, pending, user)
