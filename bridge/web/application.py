"""The Flask application: routes, one boundary for errors, and what every answer carries."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from flask import request
from werkzeug.exceptions import HTTPException, NotFound

from bridge.model.errors import BridgeError
from bridge.web.boundary import MANAGEMENT, REGISTRATION, Boundary
from bridge.web.held import HeldResponse, refusal_held
from bridge.web.lean import Application, Response
from bridge.web.metadata import OPENID_CONFIGURATION, WELL_KNOWN
from bridge.web.pages.routes import PageRoutes
from bridge.web.registration_endpoints import ManagementEndpoint, RegistrationEndpoint
from bridge.web.services import INTROSPECT, JWKS, PAR, REGISTER, REVOKE, TOKEN, Services
from bridge.web.token_endpoints import TokenEndpoints
from bridge.web.wellknown import WellKnown


def create_app(services: Services) -> Application:
    """The public endpoints (interface section 4) as a WSGI application."""
    app = Application("bridge.web")
    base = urlsplit(services.endpoints.issuer).path
    pages = None if services.pages is None else PageRoutes(services, services.pages)
    boundary = Boundary(services, None if pages is None else pages.errors)
    tokens, documents = TokenEndpoints(services, boundary), WellKnown(services)
    app.add_url_rule(base + TOKEN, "token", tokens.token, methods=["POST"], provide_automatic_options=False)
    app.add_url_rule(
        base + INTROSPECT, "introspect", tokens.introspect, methods=["POST"], provide_automatic_options=False
    )
    app.add_url_rule(base + REVOKE, "revoke", tokens.revoke, methods=["POST"], provide_automatic_options=False)
    if services.code_flow is not None:
        app.add_url_rule(base + PAR, "par", tokens.push, methods=["POST"], provide_automatic_options=False)
    _add_registration(app, base + REGISTER, services)
    if pages is not None:
        pages.add_to(app, base)
    app.add_url_rule(base + JWKS, "jwks", documents.jwks, provide_automatic_options=False)
    app.add_url_rule(WELL_KNOWN + base, "metadata", documents.metadata, provide_automatic_options=False)
    if services.openid_configuration:
        # Appended where RFC 8414 inserts.
        app.add_url_rule(
            base + OPENID_CONFIGURATION,
            "openid_configuration",
            documents.openid_configuration,
            provide_automatic_options=False,
        )
    app.add_url_rule("/healthz", "healthz", documents.healthz, provide_automatic_options=False)
    app.add_url_rule("/readyz", "readyz", documents.readyz, provide_automatic_options=False)
    _add_boundary(app, boundary)
    return app


def _add_registration(app: Application, path: str, services: Services) -> None:
    """What is not offered is not there: 404, and nothing names it."""
    if services.enrolment is not None:
        enrolment = RegistrationEndpoint(services, services.enrolment)
        app.add_url_rule(path, REGISTRATION, enrolment.register, methods=["POST"], provide_automatic_options=False)
    if services.management is not None:
        one = ManagementEndpoint(services, services.management)
        views = {"GET": one.read, "PUT": one.replace, "DELETE": one.delete}

        def manage(handle: str) -> Response:
            return views[request.environ["REQUEST_METHOD"]](handle)

        app.add_url_rule(path + "/<handle>", MANAGEMENT, manage, methods=[*views], provide_automatic_options=False)
        # A HEAD would be a GET without its body, and a read may give out a new registration access token: it
        # would be lost on the way.
        for rule in app.url_map.iter_rules(MANAGEMENT):
            rule.methods = set(views)


def create_metrics_app(services: Services) -> Application:
    """What `metrics_listen` shows: metrics and the detail of readiness. Never on the public listeners."""
    app = Application("bridge.metrics")
    documents = WellKnown(services)
    app.add_url_rule("/metrics", "metrics", documents.metrics, provide_automatic_options=False)
    app.add_url_rule("/readyz", "readyz_detail", documents.readyz_detail, provide_automatic_options=False)
    app.add_url_rule("/healthz", "healthz", documents.healthz, provide_automatic_options=False)
    # Prometheus asks every few seconds: nothing that anybody wants to see a trace of.
    _add_boundary(app, Boundary(replace(services, tracing=None)))
    return app


def _add_boundary(app: Application, boundary: Boundary) -> None:
    def begin() -> None:
        environ = request.environ
        boundary.begin(environ, "" if request.url_rule is None else request.url_rule.rule)
        if environ["PATH_INFO"].startswith("//"):
            # The router would pass over a leading slash; a proxy that guards `/introspect` would not.
            raise NotFound

    def finish(response: Response) -> Response:
        if isinstance(response, HeldResponse):
            # Nobody knows yet how it ends; it finishes itself.
            boundary.hold()
            return response
        return boundary.finish(request.environ, request.endpoint or "none", response)

    def on_bridge_error(error: BridgeError) -> Response:
        endpoint = request.endpoint or "none"
        return refusal_held(boundary.refuse(request.environ, endpoint, error), error, boundary, endpoint)

    def on_http_error(error: HTTPException) -> Response:
        return boundary.misdirected(request.environ, request.endpoint or "none", error)

    def on_defect(error: Exception) -> Response:
        # The one place that takes any exception.
        return boundary.failed(request.environ, request.endpoint or "none")

    app.before_request(begin)
    app.after_request(finish)
    app.register_error_handler(BridgeError, on_bridge_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(Exception, on_defect)
