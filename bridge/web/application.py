"""The Flask application: routes, one boundary for errors, and what every answer carries."""

from __future__ import annotations

import time
from typing import cast
from urllib.parse import urlsplit

from flask import request
from werkzeug.exceptions import HTTPException, NotFound

from bridge.model.errors import BridgeError
from bridge.web.errors import error_response, http_error_response
from bridge.web.lean import Application, Response
from bridge.web.metadata import WELL_KNOWN
from bridge.web.services import INTROSPECT, JWKS, REVOKE, TOKEN, Services
from bridge.web.token_endpoints import TokenEndpoints
from bridge.web.wellknown import WellKnown

REQUEST_ID = "bridge.request_id"
STARTED = "bridge.started"


def create_app(services: Services) -> Application:
    """The public endpoints (interface section 4) as a WSGI application."""
    app = Application("bridge.web")
    base = urlsplit(services.endpoints.issuer).path
    tokens, documents = TokenEndpoints(services), WellKnown(services)
    app.add_url_rule(base + TOKEN, "token", tokens.token, methods=["POST"], provide_automatic_options=False)
    app.add_url_rule(
        base + INTROSPECT, "introspect", tokens.introspect, methods=["POST"], provide_automatic_options=False
    )
    app.add_url_rule(base + REVOKE, "revoke", tokens.revoke, methods=["POST"], provide_automatic_options=False)
    app.add_url_rule(base + JWKS, "jwks", documents.jwks, provide_automatic_options=False)
    app.add_url_rule(WELL_KNOWN + base, "metadata", documents.metadata, provide_automatic_options=False)
    app.add_url_rule("/healthz", "healthz", documents.healthz, provide_automatic_options=False)
    app.add_url_rule("/readyz", "readyz", documents.readyz, provide_automatic_options=False)
    _add_boundary(app, services)
    return app


def create_metrics_app(services: Services) -> Application:
    """What `metrics_listen` shows: metrics and the detail of readiness. Never on the public listeners."""
    app = Application("bridge.metrics")
    documents = WellKnown(services)
    app.add_url_rule("/metrics", "metrics", documents.metrics, provide_automatic_options=False)
    app.add_url_rule("/readyz", "readyz_detail", documents.readyz_detail, provide_automatic_options=False)
    app.add_url_rule("/healthz", "healthz", documents.healthz, provide_automatic_options=False)
    _add_boundary(app, services)
    return app


def _add_boundary(app: Application, services: Services) -> None:
    observer = services.observer

    # What belongs to a request is in its environ, where `bridge.request_id` is already when the server made it.

    def begin() -> None:
        environ = request.environ
        environ[STARTED] = time.perf_counter()
        if not environ.get(REQUEST_ID):
            environ[REQUEST_ID] = services.new_id()
        if environ["PATH_INFO"].startswith("//"):
            # The router would pass over a leading slash; a proxy that guards `/introspect` would not.
            raise NotFound

    def finish(response: Response) -> Response:
        environ = request.environ
        response.headers["X-Request-Id"] = environ[REQUEST_ID]
        observer.answered(request.endpoint or "none", response.status_code, time.perf_counter() - environ[STARTED])
        return response

    def on_bridge_error(error: BridgeError) -> Response:
        environ = request.environ
        request_id = environ[REQUEST_ID]
        observer.refused(request.endpoint or "none", error, request_id, environ.get("REMOTE_ADDR", ""))
        return error_response(error, request_id, basic_was_tried="HTTP_AUTHORIZATION" in environ)

    def on_http_error(error: HTTPException) -> Response:
        response = http_error_response(error.code or 500, request.environ[REQUEST_ID])
        allowed = cast("list[str] | None", getattr(error, "valid_methods", None))
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    def on_defect(error: Exception) -> Response:
        # The one place that takes any exception: whatever it is, the client gets an id and no detail.
        request_id = request.environ[REQUEST_ID]
        observer.failed(request.endpoint or "none", request_id)
        return http_error_response(500, request_id)

    app.before_request(begin)
    app.after_request(finish)
    app.register_error_handler(BridgeError, on_bridge_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(Exception, on_defect)
