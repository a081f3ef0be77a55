"""A browser for preparing a measurement: it keeps cookies, signs in and presses buttons. No part of any figure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.flows.client import FORM, Answer, Client

_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
_SEE_OTHER = 303


class Browser:
    """One browser, of one user at a time."""

    def __init__(self, client: Client) -> None:
        self._client, self._connection = client, client.connect()
        self._cookies: dict[str, str] = {}

    @property
    def cookies(self) -> str:
        """The value of the `Cookie` header."""
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    def sign_in(self, name: str) -> None:
        """Become this user, where the development approver asks for nothing but a name."""
        page = self._get(self._leads_to(self._get("/sign-in")))
        self._leads_to(self._post("/sign-in", {**_hidden(page), "user": name}))

    def authorize(self, parameters: Mapping[str, str]) -> str:
        """Go to the authorization endpoint, approve if asked, and give where the client is told the outcome."""
        location = self._leads_to(self._get(f"/authorize?{urlencode(parameters)}"))
        if location.startswith("/consent"):
            location = self._leads_to(self._post("/consent", {**_hidden(self._get(location)), "approve": "approve"}))
        return location

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def _get(self, path: str) -> Answer:
        return self._ask("GET", path)

    def _post(self, path: str, fields: Mapping[str, str]) -> Answer:
        return self._ask("POST", path, urlencode(fields))

    def _ask(self, method: str, path: str, body: str | None = None) -> Answer:
        headers = [("Content-Type", FORM)] if body is not None else []
        if self._cookies:
            headers.append(("Cookie", self.cookies))
        answer = self._client.exchange(self._connection, method, path, body=body, headers=headers)
        for line in answer.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self._cookies[name] = morsel.value
        return answer

    @staticmethod
    def _leads_to(answer: Answer) -> str:
        assert answer.status == _SEE_OTHER, (answer.status, answer.content)
        return str(answer.headers["Location"])


def _hidden(page: Answer) -> dict[str, str]:
    assert page.status == 200, (page.status, page.content)
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(page.content.decode())}
