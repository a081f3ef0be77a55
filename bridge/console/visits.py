"""One request to the console: who, when, under which name; and the forms that it may bring back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import UnsupportedMediaType

from bridge.console.operators import Operator
from bridge.grants.form import Form
from bridge.model.errors import FormRejected
from bridge.model.reasons import Reason
from bridge.web.forms import FORM_TYPE, parse_form
from bridge.web.pages.form_tokens import FIELD, FormTokens

# A form is good for so long after its page was made, in seconds.
FORM_SECONDS = 4 * 3600
_AGAIN = "this form is no longer good; load the page again. Nothing was done"


@dataclass(frozen=True, slots=True)
class Visit:
    """`id` is the correlation id; `origin` that of our pages; `now` epoch seconds."""

    environ: Mapping[str, Any]
    operator: Operator
    origin: str
    id: str
    now: int

    @property
    def path(self) -> str:
        """Which page is asked for."""
        return str(self.environ["PATH_INFO"])

    def query(self) -> Form:
        """The parameters of the query string. Raises: InvalidRequest."""
        return parse_form(str(self.environ.get("QUERY_STRING", "")).encode("latin-1"))


class Forms:
    """Ties each form to the operator it was shown to and to what it acts on. Nothing is stored for it."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes for these forms alone."""
        self._tokens = FormTokens(key)

    def token(self, visit: Visit, *about: str) -> str:
        """The token of a form; `about` names the form and what it acts on."""
        made = str(visit.now)
        return f"{made}.{self._tokens.make(browser=visit.operator.binding, session=made, about=about)}"

    def posted(self, visit: Visit) -> Form:
        """A form that came from one of our pages, by what the browser says of where it comes from.

        The token is another matter (`check`). Raises: UnsupportedMediaType; InvalidRequest; FormRejected.
        """
        environ = visit.environ
        content_type = str(environ.get("CONTENT_TYPE", ""))
        if "," in content_type or content_type.partition(";")[0].strip().lower() != FORM_TYPE:
            raise UnsupportedMediaType
        # Other ports of this host are the same site, but not our pages. What is no browser sends neither of the two.
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            raise FormRejected(Reason.FORM_TOKEN, "the form was sent from another site", public=_AGAIN)
        if environ.get("HTTP_ORIGIN", visit.origin) != visit.origin:
            raise FormRejected(Reason.FORM_TOKEN, "the form was sent from another origin", public=_AGAIN)
        return parse_form(environ["wsgi.input"].read())

    def check(self, visit: Visit, form: Form, *about: str) -> None:
        """Raises: FormRejected when the form is not the one that this operator was shown, or was shown too long ago."""
        made, _, token = (form.get(FIELD) or "").partition(".")
        if not made.isascii() or not made.isdigit() or not visit.now - FORM_SECONDS < int(made) <= visit.now:
            raise FormRejected(Reason.FORM_TOKEN, "the form is too old, or has no token", public=_AGAIN)
        try:
            self._tokens.check(token, browser=visit.operator.binding, session=made, about=about)
        except FormRejected as error:
            raise FormRejected(error.reason, error.detail, public=_AGAIN) from error
