"""An answer that is held back until what it stands on is durable.

A WSGI answer is an iterable. This one waits, while it is iterated, for the audit row behind it, and only then
says which status it has: any WSGI server gives it when it is true, and not before. A server that knows more
does not let a thread wait: it has itself told by `then` (`bridge.serving.adapter`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol
from wsgiref.types import StartResponse, WSGIEnvironment

from bridge.grants.granter import IssuedToken
from bridge.grants.promise import PromisedToken
from bridge.model.errors import BridgeError
from bridge.model.pending import PendingWrite
from bridge.web.boundary import Boundary
from bridge.web.lean import Response


class Hold(Protocol):
    """What an answer waits for, and what becomes of it then."""

    @property
    def is_ready(self) -> bool:
        """Whether `settle` neither waits nor takes long."""
        ...

    def then(self, call: Callable[[], None]) -> None:
        """Have `call` called once when `settle` makes sense; not called when that takes too long."""
        ...

    def settle(self, held: Response) -> Response:
        """Wait, and give the answer: the one that was held, or another. Raises: BridgeError."""
        ...


@dataclass(frozen=True, slots=True)
class TokenHold:
    """Holds a token until its row is durable.

    `render` makes the answer anew, should another token than the promised one come of it; `kept` is called
    when a token leaves.
    """

    promise: PromisedToken
    render: Callable[[IssuedToken], Response]
    kept: Callable[[], None]

    @property
    def is_ready(self) -> bool:
        return self.promise.is_kept

    def then(self, call: Callable[[], None]) -> None:
        self.promise.then(call)

    def settle(self, held: Response) -> Response:
        token = self.promise.result()
        self.kept()
        return held if token is self.promise.token else self.render(token)


@dataclass(frozen=True, slots=True)
class RefusalHold:
    """Holds a refusal until its row is durable (interface section 8)."""

    row: PendingWrite

    @property
    def is_ready(self) -> bool:
        return self.row.is_durable

    def then(self, call: Callable[[], None]) -> None:
        self.row.then(call)

    def settle(self, held: Response) -> Response:
        self.row.result()
        return held


class HeldResponse(Response):
    """The answer that most probably is the one to be given."""

    hold: Hold
    boundary: Boundary
    endpoint: str

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """As a WSGI application; `start_response` is called when the iterable is asked for its first part."""
        return HeldAnswer(self, environ, start_response)

    def give(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Give it now, as any other response."""
        return super().__call__(environ, start_response)


class HeldAnswer:
    """The iterable."""

    __slots__ = ("_environ", "_held", "_start_response")

    def __init__(self, held: HeldResponse, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self._held, self._environ, self._start_response = held, environ, start_response

    @property
    def is_ready(self) -> bool:
        """Whether iterating it neither waits nor takes long."""
        return self._held.hold.is_ready

    def then(self, call: Callable[[], None]) -> None:
        """Have `call` called once when iterating makes sense; not called when that takes too long."""
        self._held.hold.then(call)

    def __iter__(self) -> Iterator[bytes]:
        held, environ, start_response = self._held, self._environ, self._start_response
        with held.boundary.resumed(environ):
            try:
                response = held.hold.settle(held)
            except BridgeError as error:
                response = self._refused(error)
            held.boundary.finish(environ, held.endpoint, response)
        give = response.give if isinstance(response, HeldResponse) else response
        return iter(give(environ, start_response))

    def _refused(self, error: BridgeError) -> Response:
        """What came of it is a refusal. Its own row is waited for here: this is rare."""
        boundary, environ, endpoint = self._held.boundary, self._environ, self._held.endpoint
        response = boundary.refuse(environ, endpoint, error)
        try:
            if error.row is not None:
                error.row.result()
        except BridgeError as failure:
            return boundary.refuse(environ, endpoint, failure)
        return response


def refusal_held(response: Response, error: BridgeError, boundary: Boundary, endpoint: str) -> Response:
    """The answer to a refused request, held while its audit row is on its way."""
    if error.row is None or error.row.is_durable:
        return response
    held = HeldResponse(response.get_data(), response.status_code, response.headers)
    held.hold, held.boundary, held.endpoint = RefusalHold(error.row), boundary, endpoint
    return held
