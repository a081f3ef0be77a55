"""From a template to an answer: escaped, without a script, and in nobody's frame (OAS-36, T-43, T-44)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bridge.metadata.uris import UnfitUri, read_web
from bridge.web.lean import Response

_FOLDER = Path(__file__).parent
# What all pages have in common: colours, type, controls.
PALETTE = _FOLDER / "palette.css"
STYLE = "/style.css"
STYLE_MAX_AGE = 86400
# The charset is added to it.
HTML = "text/html"
# What a page may load: our style, and nothing else at all.
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # For browsers that do not know `frame-ancestors`.
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def as_it_is(value: object) -> object:
    """What a template is given, unchanged."""
    return value


class Pages:
    """The templates of one folder, and one style sheet for all. Thread-safe."""

    def __init__(
        self,
        *,
        base: str,
        host: str,
        folder: Path = _FOLDER,
        sheets: Sequence[Path] = (PALETTE, _FOLDER / "style.css"),
        referrer: str = "no-referrer",
        finalize: Callable[[object], object] = as_it_is,
    ) -> None:
        """`base` is the path of the issuer, before all our paths; `host` is whose pages people are told these are.
        `referrer` is the policy of that name; `finalize` sees every value before a template shows it."""
        self._style = b"\n".join(sheet.read_bytes() for sheet in sheets)
        version = hashlib.sha256(self._style).hexdigest()[:12]
        self._headers = {**_HEADERS, "Referrer-Policy": referrer}
        self._environment = Environment(
            loader=FileSystemLoader(folder / "templates"),
            finalize=finalize,
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(base=base, host=host, style=f"{base}{STYLE}?v={version}")

    def show(self, template: str, *, status: int = 200, leads_to: str | None = None, **values: object) -> Response:
        """The page. `leads_to`: a verified redirect URI where the answer to a form of it may send the browser, which
        browsers hold against `form-action` too, redirect by redirect."""
        targets = "'self'" if leads_to is None else f"'self' {_source(leads_to)}"
        return self._answer(template, status, f"{_POLICY}; form-action {targets}", values)

    def show_leading_anywhere(self, template: str, **values: object) -> Response:
        """As `show`, for a form whose answer may send the browser to any client's redirect URI. Only for a page that
        holds nothing of anybody's."""
        return self._answer(template, 200, _POLICY, values)

    def _answer(self, template: str, status: int, policy: str, values: Mapping[str, object]) -> Response:
        text = self._environment.get_template(template).render(**values)
        return Response(text, status, {**self._headers, "Content-Security-Policy": policy}, HTML)

    def add_filters(self, **filters: Callable[..., object]) -> None:
        """Words that templates may use behind a `|`."""
        self._environment.filters.update(filters)

    def add_globals(self, **values: object) -> None:
        """Values that every template sees."""
        self._environment.globals.update(values)

    def style(self) -> Response:
        """The one style sheet. Its address changes when it does."""
        headers = {
            "Cache-Control": f"public, max-age={STYLE_MAX_AGE}, immutable",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        return Response(self._style, 200, headers, "text/css")


def see_other(location: str) -> Response:
    """303: the browser goes on with a GET and takes nothing of this request along (OAS-32, PCR-25)."""
    headers = {"Location": location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(b"", 303, headers, HTML)


def _source(redirect_uri: str) -> str:
    """The source expression that covers a URI (CSP3 section 2.3.1), which has no IPv6 address and no user part."""
    try:
        web = read_web(redirect_uri)
    except UnfitUri:
        return redirect_uri.partition(":")[0] + ":"
    if web.host.startswith("["):
        return f"{web.scheme}:"
    return f"{web.scheme}://{web.host}" + ("" if web.port is None else f":{web.port}")
