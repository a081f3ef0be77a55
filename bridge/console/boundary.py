"""Around each request of the console: who may come in, before a page is asked; and the answers to what was raised."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, cast

from flask import request
from werkzeug.exceptions import HTTPException, NotFound

from bridge.console.refusals import Refusals
from bridge.console.services import ConsoleServices
from bridge.console.visits import Visit
from bridge.model.errors import BridgeError
from bridge.web.boundary import REQUEST_ID
from bridge.web.lean import Application, Response

VISIT = "bridge.console_visit"
_STARTED = "bridge.started"


class Boundary:
    """Settles who asks before a page is asked, and answers what was raised in between."""

    def __init__(self, services: ConsoleServices, refusals: Refusals, *, open_to_all: Collection[str]) -> None:
        """`open_to_all` are the endpoints that nobody need be known for."""
        self._services, self._refusals, self._observer = services, refusals, services.observer
        self._open = frozenset(open_to_all)

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
        if request.endpoint in self._open:
            return None
        operator = self._services.access.identify(environ, now=now)
        if isinstance(operator, Response):
            return operator
        environ[VISIT] = Visit(environ, operator, origin, environ[REQUEST_ID], now)
        return None

    def _finish(self, response: Response) -> Response:
        environ = request.environ
        if VISIT in environ:
            response = self._services.access.finish(environ, response)
        response.headers["X-Request-Id"] = environ[REQUEST_ID]
        self._observer.answered(_endpoint(), response.status_code, time.perf_counter() - environ[_STARTED])
        return response

    def _on_bridge_error(self, error: BridgeError) -> Response:
        environ = request.environ
        self._observer.refused(_endpoint(), error, environ[REQUEST_ID], environ.get("REMOTE_ADDR", ""))
        return self._refusals.refused(error, environ.get(VISIT), environ[REQUEST_ID])

    def _on_http_error(self, error: HTTPException) -> Response:
        environ = request.environ
        response = self._refusals.misdirected(error.code or 500, environ.get(VISIT), environ[REQUEST_ID])
        allowed = cast("list[str] | None", getattr(error, "valid_methods", None))
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    def _on_defect(self, error: Exception) -> Response:
        environ = request.environ
        self._observer.failed(_endpoint(), environ[REQUEST_ID])
        return self._refusals.misdirected(500, environ.get(VISIT), environ[REQUEST_ID])


def _endpoint() -> str:
    """A name of a small closed set, for metrics."""
    return request.endpoint or "console"
