"""The console as a WSGI application: its pages, and the boundary around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from flask import request

from bridge.console.boundary import VISIT, Boundary
from bridge.console.contents import SECTIONS
from bridge.console.refusals import Refusals
from bridge.console.section import Desk, Route, Section
from bridge.console.services import ConsoleServices
from bridge.console.sign_in import sign_in_routes
from bridge.console.visits import Forms
from bridge.console.words import distance, harmless, length, minute
from bridge.model.times import rfc3339
from bridge.web.lean import Application, Response
from bridge.web.pages.rendering import PALETTE, STYLE, Pages

_FOLDER = Path(__file__).parent
_STYLE_ENDPOINT = "console_style"


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
    open_to_all = {_STYLE_ENDPOINT}
    if services.sign_in is not None:
        leaving, callback = sign_in_routes(desk, services.sign_in)
        open_to_all.add(callback.endpoint)
        for route in (leaving, callback):
            _add_route(app, route)
    Boundary(services, Refusals(desk), open_to_all=open_to_all).add_to(app)
    return app


def _add_route(app: Application, route: Route) -> None:
    def view() -> Response:
        environ = request.environ
        return route.views[environ["REQUEST_METHOD"]](environ.get(VISIT))  # type: ignore[arg-type]

    app.add_url_rule(route.path, route.endpoint, view, methods=[*route.views], provide_automatic_options=False)
    for rule in app.url_map.iter_rules(route.endpoint):
        rule.methods = set(route.views)
