"""A browser over real connections, for preparing a measurement. No part of any figure."""

from __future__ import annotations

from tests.flows.browser import Browser, Page
from tests.flows.client import FORM, Client


class SocketBrowser(Browser):
    """The browser of the flows, at a service of its own process."""

    def __init__(self, client: Client) -> None:
        self._client, self._connection = client, client.connect()
        self.cookies = {}

    @property
    def cookie_header(self) -> str:
        """The value of the `Cookie` header."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def agree(self, user: str, **parameters: str) -> dict[str, str]:
        """Go to the authorization endpoint as this user, approve if asked, and give the authorization response."""
        page = self.authorize(user=user, **parameters)
        return (self.decide(page) if page.status == 200 else page).answer

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def _call(self, method: str, target: str, body: bytes = b"") -> Page:
        headers = [("Cookie", self.cookie_header)] if self.cookies else []
        if method == "POST":
            headers += [("Content-Type", FORM), ("Origin", self._client.issuer)]
        sent = body if method == "POST" else None
        answer = self._client.exchange(self._connection, method, target, body=sent, headers=headers)
        for value in answer.headers.get_all("Set-Cookie", []):
            self._keep(value)
        return Page(answer.status, tuple(answer.headers.items()), answer.content.decode())
