"""What ties a form to the page it was shown in: browser, session and what the form is about (T-44).

Derived, so that nothing is stored for a page that somebody looks at. Each is only good in the browser and the
session that it was made for, so there is nothing in it to steal.
"""

from __future__ import annotations

import hmac
import json

from bridge.jose import base64url
from bridge.model.errors import FormRejected
from bridge.model.reasons import Reason

FIELD = "form_token"


class FormTokens:
    """Makes and checks them under a key of this service."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes that only this service has."""
        self._key = key

    def make(self, *, browser: str, session: str, about: tuple[str, ...]) -> str:
        """The token of a form. `browser` and `session` are digests, `session` empty where nobody is signed in;
        `about` names the form and what it acts on."""
        said = json.dumps([browser, session, *about]).encode("ascii")
        return base64url.encode(hmac.new(self._key, said, "sha256").digest())

    def check(self, token: str | None, *, browser: str, session: str, about: tuple[str, ...]) -> None:
        """Raises: FormRejected."""
        expected = self.make(browser=browser, session=session, about=about)
        if token is None or not hmac.compare_digest(token.encode(), expected.encode()):
            raise FormRejected(Reason.FORM_TOKEN, "the form is of another page, browser or session")
