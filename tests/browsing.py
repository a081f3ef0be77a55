"""A browser without a window: cookies as browsers keep them, forms as they are in the page, redirects on request.

It speaks to a WSGI application in this process, through the server's own code, and checks on the way what every
page has to carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit
from wsgiref.types import WSGIApplication

from bridge.serving.adapter import call_wsgi
from bridge.serving.request import environ_of_connection, environ_of_request

FORM = b"application/x-www-form-urlencoded"


@dataclass
class Form:
    """A form of a page: where it goes, its fields with their values, and its buttons."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    buttons: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes |= set(found)
        if tag == "form":
            self.forms.append(Form(found.get("method", "get"), found["action"]))
        elif tag == "input":
            self.forms[-1].fields[found["name"]] = found.get("value", "")
            if found["type"] in ("text", "search"):
                self.forms[-1].texts.append(found["name"])
        elif tag == "button" and found.get("name"):
            self.forms[-1].buttons[found["name"]] = found.get("value", "")


@dataclass(frozen=True)
class Page:
    """An answer, and the URL that it is the answer of."""

    url: str
    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    text: str

    @property
    def location(self) -> str:
        assert self.status == 303, f"{self.status}: {self.text}"
        return self.headers["Location"]

    @property
    def forms(self) -> list[Form]:
        return self._parsed().forms

    @property
    def form(self) -> Form:
        forms = self.forms
        assert len(forms) == 1, self.text
        return forms[0]

    @property
    def tags(self) -> list[str]:
        return self._parsed().tags

    @property
    def attributes(self) -> set[str]:
        return self._parsed().attributes

    def _parsed(self) -> _Forms:
        parser = _Forms()
        parser.feed(self.text)
        return parser


class Browser:
    """One browser with its cookies."""

    def __init__(
        self,
        app: Callable[[], WSGIApplication],
        *,
        issuer: str,
        address: str = "127.0.0.1",
        connection: Mapping[str, Any] | None = None,
    ) -> None:
        """`app` gives the application; `address` is where the browser comes from, `connection` what else the server
        says of its connections."""
        self._app, self.issuer, self._address = app, issuer, address
        self.connection = connection or {"bridge.listener": "plain", "bridge.peer_chain": ()}
        self.cookies: dict[str, str] = {}

    def get(self, url: str, *headers: tuple[bytes, bytes]) -> Page:
        """Ask for one page; nothing is followed."""
        return self._ask("GET", url, b"", headers)

    def post(self, url: str, fields: Mapping[str, str], *headers: tuple[bytes, bytes]) -> Page:
        """Send a form."""
        return self._ask("POST", url, urlencode(fields).encode(), [(b"content-type", FORM), *headers])

    def submit(self, page: Page, button: str | None = None, /, **filled: str) -> Page:
        """Fill in the page's one form and press a button of it."""
        form = page.form
        assert form.method == "post"
        pressed = {} if button is None else {button: form.buttons[button]}
        return self.post(urljoin(page.url, form.action), {**form.fields, **filled, **pressed})

    def follow(self, page: Page) -> Page:
        """Go on through redirects as long as they lead to this service; the first answer that does not."""
        while page.status == 303 and self.is_here(urljoin(page.url, page.location)):
            page = self.get(urljoin(page.url, page.location))
        return page

    def is_here(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self.issuer)[:2]

    def _ask(self, method: str, url: str, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Page:
        url = urljoin(self.issuer, url)
        parts = urlsplit(url)
        assert self.is_here(url), f"{url} is not {self.issuer}"
        connection = environ_of_connection(
            scheme=parts.scheme, server=("127.0.0.1", parts.port or 443), client=(self._address, 4711)
        )
        connection |= self.connection
        given = [*headers]
        if not any(name == b"host" for name, _ in given):
            given.append((b"host", parts.netloc.encode()))
        if self.cookies:
            given.append((b"cookie", "; ".join(f"{n}={v}" for n, v in self.cookies.items()).encode()))
        environ: dict[str, Any] = environ_of_request(
            connection,
            method=method,
            path=parts.path.encode(),
            query=parts.query.encode(),
            version="1.1",
            headers=given,
            body=body,
        )
        answer = call_wsgi(self._app(), environ)
        cookies = tuple(value for name, value in answer.headers if name == "Set-Cookie")
        for cookie in cookies:
            self._keep(cookie)
        return Page(url, int(answer.status.split()[0]), dict(answer.headers), cookies, answer.body.decode())

    def _keep(self, cookie: str) -> None:
        pair, *attributes = cookie.split("; ")
        name, _, value = pair.partition("=")
        if "Max-Age=0" in attributes:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value
