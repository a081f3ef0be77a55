"""`/account`: what a user approved, and the end of it; `/sign-out`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import request

from bridge.grants.approvals import Approval, Approvals
from bridge.grants.consent import Words
from bridge.metadata.redirect_matching import host_of
from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.web.forms import parse_form
from bridge.web.lean import Response
from bridge.web.pages.consent_view import MAX_IDENTIFIER_LENGTH, MAX_NAME_LENGTH, Access, accesses, shown
from bridge.web.pages.rendering import Pages, see_other
from bridge.web.pages.sign_in import PAUSED, SignInPages, paused
from bridge.web.pages.visits import Visit, Visits
from bridge.web.services import ACCOUNT, SIGN_OUT, CatalogueWords

_UNREGISTERED = "An application that nobody registered"


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """One client on the page. `name` is its `client_id`, or says what it is where all of its kind have the same.
    `answer_to` is empty for one that has no access now and need not ask for it.
    `grant_id` is empty unless the client is that one grant's; `form_token` is for the form that ends it."""

    client_id: str
    name: str
    grant_id: str
    actors: tuple[str, ...]
    calls_itself: str | None
    answer_to: str
    accesses: tuple[Access, ...]
    since: str
    form_token: str


class AccountPages:
    """What a signed-in user sees of themselves."""

    def __init__(
        self,
        *,
        approvals: Approvals,
        words: CatalogueWords,
        home: CatalogueWords,
        visits: Visits,
        sign_in: SignInPages,
        pages: Pages,
        base: str,
    ) -> None:
        """`words` are what the catalogue says, `home` is the resource that each scope belongs to; `base` is the
        issuer's path."""
        self._approvals, self._words, self._home, self._visits = approvals, words, home, visits
        self._sign_in, self._pages, self._base = sign_in, pages, base

    def show(self) -> Response:
        """GET: what this user approved and has not ended."""
        visit = self._visits.read(request.environ)
        if visit.session is None and PAUSED in parse_form(visit.query.encode("latin-1")).values:
            return self._visits.answer(visit, self._pages.show("session_over.html", back=ACCOUNT))
        if visit.session is None:
            return self._visits.answer(visit, self._sign_in.begin(visit, ACCOUNT))
        approvals = self._approvals.of(visit.session.user, now=visit.now)
        page = self._pages.show(
            "account.html",
            user=shown(visit.session.user.name, MAX_NAME_LENGTH),
            approvals=[self._view(visit, approval) for approval in approvals],
        )
        return self._visits.answer(visit, page)

    def end(self) -> Response:
        """POST: end what one client has."""
        visit = self._visits.read(request.environ)
        form = self._visits.posted(visit)
        if visit.session is None:
            return self._visits.answer(visit, paused(self._base, ACCOUNT))
        client_id, grant_id = form.require("client_id"), form.get("grant_id")
        self._visits.check_token(visit, form, ACCOUNT, client_id, grant_id or "")
        self._approvals.end(visit.session.user, client_id=client_id, grant_id=grant_id, context=visit.context)
        return self._visits.answer(visit, see_other(self._base + ACCOUNT))

    def ask_sign_out(self) -> Response:
        """GET: a form that signs out; or that nobody is signed in."""
        visit = self._visits.read(request.environ)
        page = self._pages.show(
            "sign_out.html",
            user=None if visit.session is None else shown(visit.session.user.name, MAX_NAME_LENGTH),
            form_token=self._visits.form_token(visit, SIGN_OUT),
        )
        return self._visits.answer(visit, page)

    def sign_out(self) -> Response:
        """POST: end the session. What was approved stays approved."""
        visit = self._visits.read(request.environ)
        form = self._visits.posted(visit)
        # Where nobody is signed in any more, there is nothing that another page could have ended.
        if visit.session is not None:
            self._visits.check_token(visit, form, SIGN_OUT)
        return self._visits.signed_out(visit, see_other(self._base + SIGN_OUT))

    def _view(self, visit: Visit, approval: Approval) -> ApprovalView:
        words, grant_id = self._words(), approval.grant_id or ""
        answered = "" if approval.redirect_uri is None else host_of(approval.redirect_uri)
        return ApprovalView(
            client_id=approval.client_id,
            name=_UNREGISTERED if approval.client_id == PUSHED_CLIENT_ID else approval.client_id,
            grant_id=grant_id,
            actors=tuple(actor for actor in approval.actors if actor != approval.client_id),
            calls_itself=None if approval.client_name is None else shown(approval.client_name, MAX_NAME_LENGTH),
            answer_to=shown(answered, MAX_IDENTIFIER_LENGTH),
            accesses=accesses(
                [Words(name, words.get(name, "")) for name in approval.scopes],
                [Words(name, words.get(name, "")) for name in approval.resources],
                self._home(),
            ),
            since=datetime.fromtimestamp(approval.since, UTC).strftime("%-d %B %Y, %H:%M UTC"),
            form_token=self._visits.form_token(visit, ACCOUNT, approval.client_id, grant_id),
        )
