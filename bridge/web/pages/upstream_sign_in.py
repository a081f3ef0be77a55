"""`/sign-in` and `/sign-in/callback`: over to the login provider and back (OpenID Connect Core section 3.1.2)."""

from __future__ import annotations

from flask import request

from bridge.grants.form import Form
from bridge.model.errors import SignInRejected
from bridge.model.reasons import Reason
from bridge.users.upstream import Departure, Upstream
from bridge.web.forms import parse_form
from bridge.web.lean import Response
from bridge.web.pages.pending_sign_ins import PENDING_SECONDS, PendingSignIn, PendingSignIns
from bridge.web.pages.rendering import see_other
from bridge.web.pages.sign_in import Arrives
from bridge.web.pages.visits import Visit, Visits
from bridge.web.services import ACCOUNT


class UpstreamSignIn:
    """The pages of it; none of them is seen."""

    def __init__(self, source: Upstream, *, visits: Visits, pending: PendingSignIns, arrivals: Arrives) -> None:
        self._source, self._visits, self._pending, self._arrivals = source, visits, pending, arrivals

    def begin(self, visit: Visit, return_to: str) -> Response:
        """See `SignInPages`."""
        url, departure = self._source.leave(now=visit.now)
        pending = PendingSignIn(
            departure.state, return_to, visit.now + PENDING_SECONDS, departure.nonce, departure.verifier
        )
        response = see_other(url)
        self._pending.keep(response, pending, visit.cookies, now=visit.now)
        return response

    def show(self) -> Response:
        """GET /sign-in: a sign-in that leads to the account."""
        visit = self._visits.read(request.environ)
        return self._visits.answer(visit, self.begin(visit, ACCOUNT))

    def come_back(self) -> Response:
        """GET /sign-in/callback. Where the provider cannot be asked, the sign-in stays, for the same page again."""
        visit = self._visits.read(request.environ)
        form = parse_form(visit.query.encode("latin-1"))
        # First of all: what this browser did not begin is nobody's, whatever else it says.
        pending = self._pending.find(visit.cookies, form.get("state"), now=visit.now)
        departure = Departure(pending.state, pending.nonce, pending.verifier)
        user = self._source.arrive(
            departure, state=form.require("state"), code=_code(form), issuer=form.get("iss"), now=visit.now
        )
        return self._arrivals.arrive(visit, pending, user)


def _code(form: Form) -> str:
    error = form.get("error")
    if error is not None:
        said = error[:40] if error.isascii() and error.isprintable() else "something that is no error code"
        raise SignInRejected(Reason.SIGN_IN_REJECTED, f"the provider answers {said}")
    return form.require("code")
