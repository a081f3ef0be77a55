"""The one boundary for errors, and what every answer carries. Where a request is: its environ (PEP 3333)."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from werkzeug.exceptions import HTTPException

from bridge.model.errors import BridgeError
from bridge.observe.tracing import Trace
from bridge.web.errors import Family, error_response, http_error_response
from bridge.web.known_sender import recognise
from bridge.web.lean import Response
from bridge.web.pages.errors import ErrorPages
from bridge.web.services import Observer, Services

REQUEST_ID = "bridge.request_id"
_STARTED, _TRACE = "bridge.started", "bridge.trace"

Environ = dict[str, Any]

# The endpoints whose errors are not those of RFC 6749.
REGISTRATION, MANAGEMENT = "register", "registration"
# Those that people see: routes' names.
PAGES = frozenset({"authorize", "consent", "account", "sign_in", "callback", "sign_out"})
_NOTHING: AbstractContextManager[None] = nullcontext()
_FAMILIES = {REGISTRATION: Family.REGISTRATION, MANAGEMENT: Family.MANAGEMENT}


class Boundary:
    """Begins and finishes requests, and answers what was raised in between. `endpoint` is a route's name."""

    def __init__(self, services: Services, pages: ErrorPages | None = None) -> None:
        """`pages` answers for the endpoints that people see."""
        self._pages = pages
        self._observer: Observer = services.observer
        self._new_id = services.new_id
        self._verify_chain, self._clock = services.verify_chain, services.clock
        self._tracing = services.tracing

    def begin(self, environ: Environ, route: str = "") -> None:
        """A whole request is here, and `route` is the rule that took it. `bridge.request_id` is in its environ when the
        server made it."""
        environ[_STARTED] = time.perf_counter()
        if not environ.get(REQUEST_ID):
            environ[REQUEST_ID] = self._new_id()
        if self._verify_chain is not None:
            recognise(environ, self._verify_chain, self._clock)
        if self._tracing is not None:
            environ[_TRACE] = self._tracing.begin(environ, environ[REQUEST_ID], route)

    def hold(self) -> None:
        """This thread is done with a request whose answer is held."""
        if self._tracing is not None:
            self._tracing.leave()

    def resumed(self, environ: Environ) -> AbstractContextManager[None]:
        """This thread goes on with a request whose answer was held."""
        return _NOTHING if self._tracing is None else self._tracing.resumed(environ.get(_TRACE))

    def finish(self, environ: Environ, endpoint: str, response: Response) -> Response:
        """Its answer is ready to leave."""
        response.headers["X-Request-Id"] = environ[REQUEST_ID]
        self._observer.answered(endpoint, response.status_code, time.perf_counter() - environ[_STARTED])
        if self._tracing is not None:
            trace: Trace | None = environ.get(_TRACE)
            if trace is not None:
                self._tracing.finish(trace, endpoint, response.status_code)
            self._tracing.leave()
        return response

    def refuse(self, environ: Environ, endpoint: str, error: BridgeError) -> Response:
        """The answer to a domain error."""
        request_id = environ[REQUEST_ID]
        self._observer.refused(endpoint, error, request_id, environ.get("REMOTE_ADDR", ""))
        if self._tracing is not None and environ.get(_TRACE) is not None:
            self._tracing.refused(environ[_TRACE], error)
        if self._pages is not None and endpoint in PAGES:
            return self._pages.refused(error, request_id)
        return error_response(
            error, request_id, family=_family(endpoint), authorization_was_sent="HTTP_AUTHORIZATION" in environ
        )

    def misdirected(self, environ: Environ, endpoint: str, error: HTTPException) -> Response:
        """The answer to a request that no endpoint took, or that is of no form which `endpoint` takes."""
        response = self._http_error(error.code or 500, environ, endpoint)
        allowed = cast("list[str] | None", getattr(error, "valid_methods", None))
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    def failed(self, environ: Environ, endpoint: str) -> Response:
        """The answer to a defect of ours, whatever it is: an id and no detail. Called while it is handled."""
        self._observer.failed(endpoint, environ[REQUEST_ID])
        return self._http_error(500, environ, endpoint)

    def _http_error(self, status: int, environ: Environ, endpoint: str) -> Response:
        if self._pages is not None and endpoint in PAGES:
            return self._pages.misdirected(status, environ[REQUEST_ID])
        return http_error_response(status, environ[REQUEST_ID], family=_family(endpoint))


def _family(endpoint: str) -> Family:
    return _FAMILIES.get(endpoint, Family.OAUTH)
