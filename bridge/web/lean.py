"""Flask without what this service has no use for, on the way of every request.

No cookie and no session; no view is a coroutine; no route depends on a host name, and none is ever read
(T-36); an answer is whole, in bytes, and never a redirect to somewhere. Half of what Flask spends on a
request goes into asking about these. Everything else is Flask's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Flask, Request
from flask import Response as FlaskResponse
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter


class Response(FlaskResponse):
    """An answer whose body is there in whole and whose headers are meant as they stand."""

    def get_wsgi_response(self, environ: WSGIEnvironment) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """As werkzeug's, which would look for a Location to complete and a length to count."""
        assert isinstance(self.response, list), "views answer with bytes or text"
        body = () if environ["REQUEST_METHOD"] == "HEAD" else self.response
        return body, self.status, self.headers.to_wsgi_list()


class _NoSessions(SessionInterface):
    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none


class Application(Flask):
    """A Flask application with the above left out."""

    session_interface = _NoSessions()
    response_class = Response

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None, template_folder=None)
        # `//token` is no path of ours, rather than a detour to one.
        self.url_map.merge_slashes = False

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none here is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes by method and path alone."""
        if request is None:
            return None
        environ = request.environ
        return self.url_map.bind(
            "localhost", default_method=environ["REQUEST_METHOD"], path_info=environ["PATH_INFO"], script_name=""
        )
