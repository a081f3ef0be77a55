"""One visit of a browser to a page: which browser it is, and who is signed in there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import UnsupportedMediaType

from bridge.grants.form import Form
from bridge.model.authorization import Session
from bridge.model.errors import FormRejected
from bridge.model.evidence import Door, RequestContext
from bridge.model.reasons import Reason
from bridge.users.sessions import Sessions
from bridge.web.boundary import REQUEST_ID
from bridge.web.forms import FORM_TYPE, parse_form
from bridge.web.lean import Response
from bridge.web.pages.cookies import BROWSER, SESSION, Cookies
from bridge.web.pages.form_tokens import FIELD, FormTokens

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Visit:
    """`browser` is the digest of the browser's own cookie; `new_browser` the cookie itself where it was drawn for this
    visit. `renewed` is the session's next cookie, if it is time for one."""

    environ: Mapping[str, Any]
    cookies: Mapping[str, str]
    context: RequestContext
    browser: str
    new_browser: str | None
    session: Session | None
    renewed: str | None

    @property
    def now(self) -> int:
        """Epoch seconds."""
        return self.context.now

    @property
    def query(self) -> str:
        """The query string as it came."""
        return str(self.environ.get("QUERY_STRING", ""))


class Visits:
    """Reads visits, and has their answers carry what the browser should keep."""

    def __init__(
        self,
        *,
        cookies: Cookies,
        sessions: Sessions,
        tokens: FormTokens,
        new_secret: Callable[[], str],
        clock: Callable[[], int],
    ) -> None:
        """`new_secret` gives 32 random bytes as base64url; `clock` epoch seconds."""
        self._cookies, self._sessions, self._tokens = cookies, sessions, tokens
        self._new_secret, self._clock = new_secret, clock

    def read(self, environ: Mapping[str, Any]) -> Visit:
        """Which browser comes, and who is signed in there. Raises: Unavailable."""
        now, cookies = self._clock(), self._cookies.read(environ)
        context = RequestContext(environ[REQUEST_ID], environ.get("REMOTE_ADDR", ""), Door.AUTHORIZE, now)
        browser = cookies.get(BROWSER, "")
        is_new = _SECRET.fullmatch(browser) is None
        if is_new:
            browser = self._new_secret()
        found = self._sessions.find(cookies.get(SESSION), now=now)
        return Visit(
            environ=environ,
            cookies=cookies,
            context=context,
            browser=hashlib.sha256(browser.encode("ascii")).hexdigest(),
            new_browser=browser if is_new else None,
            session=None if found is None else found.session,
            renewed=None if found is None else found.renewed,
        )

    def answer(self, visit: Visit, response: Response) -> Response:
        """The answer, with the cookies that this visit made."""
        if visit.new_browser is not None:
            self._cookies.give(response, BROWSER, visit.new_browser)
        if visit.renewed is not None:
            self._cookies.give(response, SESSION, visit.renewed)
        return response

    def prolong(self, visit: Visit, response: Response) -> Response:
        """The answer, with the session's next cookie if it is time for one, and no other."""
        if visit.renewed is not None:
            self._cookies.give(response, SESSION, visit.renewed)
        return response

    def signed_in(self, visit: Visit, response: Response, cookie: str) -> Response:
        """The answer to a sign-in: the session that was there before, if any, is over."""
        self._sessions.end(visit.cookies.get(SESSION))
        self._cookies.give(response, SESSION, cookie)
        return response

    def signed_out(self, visit: Visit, response: Response) -> Response:
        """The answer to a sign-out. Raises: Unavailable."""
        self._sessions.end(visit.cookies.get(SESSION))
        self._cookies.take(response, SESSION)
        return response

    # --- forms ----------------------------------------------------------------------------------

    def form_token(self, visit: Visit, *about: str, signs_in: bool = False) -> str:
        """The token for a form of this page; `about` names the form and what it acts on. A form that `signs_in` stays
        good when another tab was quicker: it is of no session."""
        return self._tokens.make(browser=visit.browser, session="" if signs_in else _session(visit), about=about)

    def posted(self, visit: Visit) -> Form:
        """A form that came from one of our pages, by what the browser says of where it comes from.

        The token of the form is another matter (`check_token`). Raises: UnsupportedMediaType; InvalidRequest;
        FormRejected.
        """
        environ = visit.environ
        content_type = str(environ.get("CONTENT_TYPE", ""))
        if "," in content_type or content_type.partition(";")[0].strip().lower() != FORM_TYPE:
            raise UnsupportedMediaType
        # Fetch metadata; what is too old to send it is held by the token alone. `Origin` says nothing here: a page
        # that sends no referrer sends `null`.
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none"):
            raise FormRejected(Reason.FORM_TOKEN, "the form was sent from another site")
        return parse_form(environ["wsgi.input"].read())

    def check_token(self, visit: Visit, form: Form, *about: str, signs_in: bool = False) -> None:
        """Raises: FormRejected when the form is not the one that this browser was shown in this session."""
        session = "" if signs_in else _session(visit)
        self._tokens.check(form.get(FIELD), browser=visit.browser, session=session, about=about)


def _session(visit: Visit) -> str:
    return "" if visit.session is None else visit.session.digest
