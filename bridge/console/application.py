"""The console as a WSGI application: who may come in, then the pages, and one boundary for errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from flask import request
from werkzeug.exceptions import HTTPException, NotFound

from bridge.console.contents import SECTIONS
from bridge.console.refusals import Refusals
from bridge.console.section import Desk, Route, Section
from bridge.console.services import ConsoleServices
from bridge.console.visits import Forms, Visit
from bridge.console.words import distance, harmless, length, minute
from bridge.model.errors import BridgeError
from bridge.model.times import rfc3339
from bridge.web.boundary import REQUEST_ID
from bridge.web.lean import Application, Response
from bridge.web.pages.rendering import PALETTE, STYLE, Pages

_FOLDER = Path(__file__).parent
_STYLE_ENDPOINT = "console_style"
_VISIT, _STARTED = "bridge.console_visit", "bridge.started"


def create_console_app(services: ConsoleServices, sections: Sequence[Section] = SECTIONS) -> Application:
    """What the console's listener serves. Every answer but the style sheet is for an operator alone."""
    app = Application("bridge.console")
    pages = Pages(
        base="",
        host=urlsplit(services.issuer).netloc,
        folder=_FOLDER,
        sheets=(PALETTE, _FOLDER / "console.css"),
        # A form then says which origin it comes from, and nobody else learns where people were.
        referrer="same-origin",
        finalize=harmless,
    )
    pages.add_filters(rfc3339=rfc3339, minute=minute, lasting=length, distance=distance)
    pages.add_globals(sections=[(section.title, section.path) for section in sections], issuer=services.issuer)
    desk = Desk(services, pages, Forms(services.form_key))
    _add_route(app, Route(STYLE, _STYLE_ENDPOINT, {"GET": lambda visit: pages.style()}))
    for section in sections:
        for route in section.routes(desk):
            _add_route(app, route)
    _Boundary(services, Refusals(desk)).add_to(app)
    return app


def _add_route(app: Application, route: Route) -> None:
    def view() -> Response:
        environ = request.environ
        return route.views[environ["REQUEST_METHOD"]](environ.get(_VISIT))  # type: ignore[arg-type]

    app.add_url_rule(route.path, route.endpoint, view, methods=[*route.views], provide_automatic_options=False)
    for rule in app.url_map.iter_rules(route.endpoint):
        rule.methods = set(route.views)


class _Boundary:
    """Settles who asks before a page is asked, and answers what was raised in between."""

    def __init__(self, services: ConsoleServices, refusals: Refusals) -> None:
        self._services, self._refusals, self._observer = services, refusals, services.observer

    def add_to(self, app: Application) -> None:
        """Have the application call it around each request."""
        app.before_request(cast("Callable[[], Any]", self._begin))
        app.after_request(self._finish)
        app.register_error_handler(BridgeError, self._on_bridge_error)
        app.register_error_handler(HTTPException, self._on_http_error)
        # The one place of the console that takes any exception.
        app.register_error_handler(Exception, self._on_defect)

    def _begin(self) -> Response | None:
        """None: go on to the page."""
        environ = request.environ
        environ[_STARTED] = time.perf_counter()
        if not environ.get(REQUEST_ID):
            environ[REQUEST_ID] = self._services.new_id()
        # Before anything else: a page of somebody else's must not even learn that there is no such page.
        origin, now = self._services.origins.of(environ), self._services.clock()
        if environ["PATH_INFO"].startswith("//"):
            raise NotFound
        if request.endpoint == _STYLE_ENDPOINT:
            return None
        operator = self._services.access.identify(environ, now=now)
        if isinstance(operator, Response):
            return operator
        environ[_VISIT] = Visit(environ, operator, origin, environ[REQUEST_ID], now)
        return None

    def _finish(self, response: Response) -> Response:
        environ = request.environ
        response.headers["X-Request-Id"] = environ[REQUEST_ID]
        self._observer.answered(_endpoint(), response.status_code, time.perf_counter() - environ[_STARTED])
        return response

    def _on_bridge_error(self, error: BridgeError) -> Response:
        environ = request.environ
        self._observer.refused(_endpoint(), error, environ[REQUEST_ID], environ.get("REMOTE_ADDR", ""))
        return self._refusals.refused(error, environ.get(_VISIT), environ[REQUEST_ID])

    def _on_http_error(self, error: HTTPException) -> Response:
        environ = request.environ
        response = self._refusals.misdirected(error.code or 500, environ.get(_VISIT), environ[REQUEST_ID])
        allowed = cast("list[str] | None", getattr(error, "valid_methods", None))
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    def _on_defect(self, error: Exception) -> Response:
        environ = request.environ
        self._observer.failed(_endpoint(), environ[REQUEST_ID])
        return self._refusals.misdirected(500, environ.get(_VISIT), environ[REQUEST_ID])


def _endpoint() -> str:
    """A name of a small closed set, for metrics."""
    return request.endpoint or "console"
