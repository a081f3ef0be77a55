"""A browser of few abilities: it keeps cookies, follows 303s, and fills in the forms it is shown."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.flows.client import FORM, Client
from tests.flows.inprocess import InProcess

_INPUT = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
_ACTION = re.compile(r'<form method="post" action="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser has before it, or where it was sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    text: str

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)

    @property
    def location(self) -> str | None:
        return self.header("Location")

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of the page's forms."""
        return {name: html.unescape(value) for name, value in _INPUT.findall(self.text)}

    @property
    def answer(self) -> dict[str, str]:
        """The authorization response in the redirect."""
        assert self.status == 303, (self.status, self.text)
        query = urlsplit(self.location or "").query
        pairs = parse_qsl(query, keep_blank_values=True)
        assert len(dict(pairs)) == len(pairs), query
        return dict(pairs)


class Send(Protocol):
    """One request to the service, and what it answers."""

    def __call__(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> Page: ...


class Browser:
    """One browser at one service, whose `origin` it knows."""

    def __init__(self, send: Send, origin: str) -> None:
        self._send, self._origin = send, origin
        self.cookies: dict[str, str] = {}

    def get(self, target: str) -> Page:
        """One GET; nothing is followed."""
        return self._call("GET", target)

    def post(self, target: str, fields: Mapping[str, str]) -> Page:
        return self._call("POST", target, urlencode(fields).encode())

    def visit(self, target: str, *, user: str = "ann") -> Page:
        """GET and follow, signing in on the way if asked to, until a page stays or the client is answered."""
        page = self.get(target)
        for _ in range(8):
            if page.status == 200 and 'name="user"' in page.text:
                page = self.post("/sign-in", {**page.hidden, "user": user})
            elif page.status == 303 and (page.location or "").startswith("/"):
                page = self.get(page.location or "")
            else:
                break
        return page

    def authorize(self, *, user: str = "ann", **parameters: str) -> Page:
        """What comes of `/authorize` with these parameters."""
        return self.visit("/authorize?" + urlencode(parameters), user=user)

    def decide(self, page: Page, button: str = "approve") -> Page:
        """Press a button of the consent page."""
        assert page.status == 200, page.text
        action = _ACTION.search(page.text)
        assert action is not None, page.text
        return self.post(action[1], {**page.hidden, button: button})

    def _call(self, method: str, target: str, body: bytes = b"") -> Page:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = [("Cookie", cookie)] if cookie else []
        if method == "POST":
            headers += [("Content-Type", FORM), ("Origin", self._origin)]
        page = self._send(method, target, headers, body)
        for name, value in page.headers:
            if name.lower() == "set-cookie":
                self._keep(value)
        return page

    def _keep(self, said: str) -> None:
        name, _, value = said.partition(";")[0].partition("=")
        if "Max-Age=0" in said:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def in_process(process: InProcess) -> Browser:
    """A browser of a worker in this process."""

    def send(method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> Page:
        path, _, query = target.partition("?")
        raw = [(name.lower().encode(), value.encode()) for name, value in headers]
        answer = process.call(body, method=method, path=path.encode(), query=query.encode(), headers=raw)
        return Page(int(answer.status[:3]), tuple(answer.headers), answer.body.decode())

    return Browser(send, process.settings.issuer)


def over_tls(client: Client) -> Browser:
    """A browser of a real service."""

    def send(method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> Page:
        answer = client.request(method, target, body=body if method == "POST" else None, headers=headers)
        return Page(answer.status, tuple(answer.headers.items()), answer.content.decode())

    return Browser(send, client.issuer)
