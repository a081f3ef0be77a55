"""`/authorize` and `/consent`: a client's request before its user, and what the user says to it.

What was pushed is opened for this browser first, so that the minute it may wait is not used up by signing in. What
comes in plain parameters is looked at when somebody is signed in: nobody else can have a document fetched (CIMD-31).
"""

from __future__ import annotations

from urllib.parse import urlencode

from flask import request

from bridge.grants.answers import AuthorizationAnswer
from bridge.grants.consent import Seen
from bridge.grants.form import Form
from bridge.model.authorization import User
from bridge.model.errors import InvalidRequest
from bridge.model.evidence import names_document
from bridge.model.reasons import Reason
from bridge.web.answers import location_of
from bridge.web.forms import parse_form
from bridge.web.lean import Response
from bridge.web.pages.consent_view import consent_view
from bridge.web.pages.rendering import Pages, see_other
from bridge.web.pages.sign_in import PAUSED, SignInPages, paused
from bridge.web.pages.visits import Visit, Visits
from bridge.web.services import AUTHORIZE, CONSENT, Authorizing, CatalogueWords

_PUSHED = frozenset({"client_id", "request_uri"})


class AuthorizePages:
    """The endpoints of the authorization request."""

    def __init__(
        self,
        *,
        authorizing: Authorizing,
        home: CatalogueWords,
        visits: Visits,
        sign_in: SignInPages,
        pages: Pages,
        issuer: str,
        base: str,
    ) -> None:
        """`home` gives the resource that each scope belongs to; `base` is the issuer's path."""
        self._authorizing, self._visits, self._sign_in, self._pages = authorizing, visits, sign_in, pages
        self._home, self._issuer, self._base = home, issuer, base

    def authorize(self) -> Response:
        """GET: RFC 6749 section 4.1.1, RFC 9126 section 4. Nothing but `client_id` may stand beside `request_uri`:
        what was pushed is what counts (T-31, PCR-14)."""
        visit = self._visits.read(request.environ)
        form = parse_form(visit.query.encode("latin-1"))
        if form.get("request_uri") is not None:
            return self._visits.answer(visit, self._open(visit, form))
        if not names_document(form.require("client_id")):
            words = "this application has to push its request first (RFC 9126)"
            raise InvalidRequest(Reason.PAR_REQUIRED, "plain parameters of another client", public=words)
        if visit.session is None:
            return self._visits.answer(visit, self._leave_for_sign_in(visit))
        request_uri = self._authorizing.begin_direct(form, browser=visit.browser, context=visit.context)
        return self._visits.answer(visit, self._go_on(visit, request_uri, visit.session.user))

    def show(self) -> Response:
        """GET: the consent page. It can be reloaded until it is answered."""
        visit = self._visits.read(request.environ)
        form = parse_form(visit.query.encode("latin-1"))
        request_uri = form.require("request_uri")
        here = f"{CONSENT}?{urlencode({'request_uri': request_uri})}"
        if visit.session is None and form.get(PAUSED) is not None:
            return self._visits.answer(visit, self._pages.show("session_over.html", back=here))
        if visit.session is None:
            return self._visits.answer(visit, self._sign_in.begin(visit, here))
        user = visit.session.user
        question = self._authorizing.consent_wanted(
            request_uri, browser=visit.browser, user=user, context=visit.context
        )
        page = self._pages.show(
            "consent.html",
            leads_to=question.request.redirect_uri,
            view=consent_view(question, user.name, self._home()),
            request_uri=request_uri,
            scopes=" ".join(question.seen.scopes),
            resources=" ".join(question.seen.resources),
            form_token=self._visits.form_token(visit, *_about(request_uri, question.seen)),
        )
        return self._visits.answer(visit, page)

    def decide(self) -> Response:
        """POST: approve or deny, once."""
        visit = self._visits.read(request.environ)
        form = self._visits.posted(visit)
        request_uri = form.require("request_uri")
        if visit.session is None:
            return self._visits.answer(visit, paused(self._base, CONSENT, request_uri=request_uri))
        # What the page showed comes back with the form: a yes is to that, whatever policy has meanwhile.
        seen = Seen(tuple((form.get("scopes") or "").split(" ")), tuple((form.get("resources") or "").split(" ")))
        self._visits.check_token(visit, form, *_about(request_uri, seen))
        user, context = visit.session.user, visit.context
        approved, denied = form.get("approve") is not None, form.get("deny") is not None
        if approved == denied:
            raise InvalidRequest(Reason.MALFORMED_REQUEST, "neither or both", public="press one of the two buttons")
        if approved:
            answer = self._authorizing.approve(
                request_uri, seen=seen, browser=visit.browser, user=user, context=context
            )
        else:
            answer = self._authorizing.deny(request_uri, browser=visit.browser, user=user, context=context)
        return self._visits.answer(visit, self._send_back(answer))

    def _open(self, visit: Visit, form: Form) -> Response:
        if not _PUSHED.issuperset(form.values) or form.resources:
            words = "nothing but client_id and request_uri may be sent here; what was pushed cannot be changed"
            raise InvalidRequest(Reason.MALFORMED_REQUEST, "parameters beside request_uri", public=words)
        request_uri, client_id = form.require("request_uri"), form.require("client_id")
        self._authorizing.open(request_uri, client_id=client_id, browser=visit.browser, context=visit.context)
        if visit.session is None:
            return self._leave_for_sign_in(visit)
        return self._go_on(visit, request_uri, visit.session.user)

    def _go_on(self, visit: Visit, request_uri: str, user: User) -> Response:
        """To the client, if this user agreed to all of it before; else to the page that asks."""
        question = self._authorizing.consent_wanted(
            request_uri, browser=visit.browser, user=user, context=visit.context
        )
        if question.remembered:
            answer = self._authorizing.approve(
                request_uri, seen=None, browser=visit.browser, user=user, context=visit.context
            )
            return self._send_back(answer)
        return see_other(f"{self._base}{CONSENT}?{urlencode({'request_uri': request_uri})}")

    def _leave_for_sign_in(self, visit: Visit) -> Response:
        return self._sign_in.begin(visit, f"{AUTHORIZE}?{visit.query}")

    def _send_back(self, answer: AuthorizationAnswer) -> Response:
        return see_other(location_of(answer, issuer=self._issuer))


def _about(request_uri: str, seen: Seen) -> tuple[str, ...]:
    """What the form of the consent page acts on."""
    return (CONSENT, request_uri, " ".join(seen.scopes), " ".join(seen.resources))
