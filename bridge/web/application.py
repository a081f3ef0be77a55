"""The Flask application: routes, one boundary for errors, and what every answer carries."""

from __future__ import annotations

import time
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from bridge.model.errors import BridgeError
from bridge.web.errors import error_response, http_error_response
from bridge.web.metadata import WELL_KNOWN
from bridge.web.services import INTROSPECT, JWKS, REVOKE, TOKEN, Services
from bridge.web.token_endpoints import TokenEndpoints
from bridge.web.wellknown import WellKnown

REQUEST_ID = "X-Request-Id"


def create_app(services: Services) -> Flask:
    """The public endpoints (interface section 4) as a WSGI application."""
    app = Flask("bridge.web", static_folder=None, template_folder=None)
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


def create_metrics_app(services: Services) -> Flask:
    """What `metrics_listen` shows: metrics and the detail of readiness. Never on the public listeners."""
    app = Flask("bridge.metrics", static_folder=None, template_folder=None)
    documents = WellKnown(services)
    app.add_url_rule("/metrics", "metrics", documents.metrics, provide_automatic_options=False)
    app.add_url_rule("/readyz", "readyz_detail", documents.readyz_detail, provide_automatic_options=False)
    app.add_url_rule("/healthz", "healthz", documents.healthz, provide_automatic_options=False)
    _add_boundary(app, services)
    return app


def _add_boundary(app: Flask, services: Services) -> None:
    observer = services.observer

    def begin() -> None:
        g.started = time.perf_counter()
        g.request_id = request.environ.get("bridge.request_id") or services.new_id()

    def finish(response: Response) -> Response:
        response.headers[REQUEST_ID] = g.request_id
        observer.answered(request.endpoint or "none", response.status_code, time.perf_counter() - g.started)
        return response

    def on_bridge_error(error: BridgeError) -> Response:
        observer.refused(request.endpoint or "none", error, g.request_id, request.environ.get("REMOTE_ADDR", ""))
        return error_response(error, g.request_id, basic_was_tried="Authorization" in request.headers)

    def on_http_error(error: HTTPException) -> Response:
        response = http_error_response(error.code or 500, g.request_id)
        allowed = cast("list[str] | None", getattr(error, "valid_methods", None))
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    def on_defect(error: Exception) -> Response:
        # The one place that takes any exception: whatever it is, the client gets an id and no detail.
        observer.failed(request.endpoint or "none", g.request_id)
        return http_error_response(500, g.request_id)

    app.before_request(begin)
    app.after_request(finish)
    app.register_error_handler(BridgeError, on_bridge_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(Exception, on_defect)
