"""An answer that is held back until what it stands on is durable.

A WSGI answer is an iterable. This one waits, while it is iterated, for the audit row of the token in it,
and only then says which status it has: any WSGI server gives it when it is true, and not before. A server
that knows more does not let a thread wait: it has itself told by `then` (`bridge.serving.adapter`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from wsgiref.types import StartResponse, WSGIEnvironment

from bridge.grants.granter import IssuedToken
from bridge.grants.promise import PromisedToken
from bridge.model.errors import BridgeError
from bridge.web.boundary import Boundary
from bridge.web.lean import Response


@dataclass(frozen=True, slots=True)
class Hold:
    """What an answer waits for, and what is to be done then.

    `render` makes the answer anew, should another token than the promised one come of it; `kept` is called
    when a token leaves.
    """

    promise: PromisedToken
    render: Callable[[IssuedToken], Response]
    kept: Callable[[], None]
    boundary: Boundary
    endpoint: str


class HeldResponse(Response):
    """The answer with the promised token, which most probably is the one to be given."""

    hold: Hold

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """As a WSGI application; `start_response` is called when the iterable is asked for its first part."""
        return HeldAnswer(self, environ, start_response)

    def give(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Give it now, as any other response."""
        return super().__call__(environ, start_response)


class HeldAnswer:
    """The iterable."""

    __slots__ = ("_environ", "_held", "_hold", "_start_response")

    def __init__(self, held: HeldResponse, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self._held, self._hold = held, held.hold
        self._environ, self._start_response = environ, start_response

    @property
    def is_ready(self) -> bool:
        """Whether iterating it neither waits nor takes long."""
        return self._hold.promise.is_kept

    def then(self, call: Callable[[], None]) -> None:
        """Have `call` called once when iterating makes sense; not called when that takes too long."""
        self._hold.promise.then(call)

    def __iter__(self) -> Iterator[bytes]:
        hold, environ, start_response = self._hold, self._environ, self._start_response
        try:
            token = hold.promise.result()
        except BridgeError as error:
            response = hold.boundary.refuse(environ, hold.endpoint, error)
        else:
            response = self._held if token is hold.promise.token else hold.render(token)
            hold.kept()
        hold.boundary.finish(environ, hold.endpoint, response)
        give = response.give if isinstance(response, HeldResponse) else response
        return iter(give(environ, start_response))
