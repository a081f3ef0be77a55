"""What the server serves: the shape of the application object, and of whoever wants to know how it goes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast
from wsgiref.types import WSGIApplication

from bridge.model.errors import StartRefused
from bridge.model.own_svid import OwnSvid

# A number that grows with every change, and the DER certificates that a client's chain may end at.
Anchors = tuple[int, tuple[bytes, ...]]


class ServedApp(Protocol):
    """What the factory returns in each worker.

    The order of calls is `start`, then requests and any number of `reload` and `anchors` from other
    threads, then `close`. `start` and the factory may raise StartRefused; nothing else is expected.

    The WSGI environ has, beside PEP 3333's: `bridge.request_id` (str; the answer's X-Request-Id),
    `bridge.listener` (`plain`, `mtls`, `metrics`, `proxy`, `console`), `bridge.peer_chain` (tuple of DER, leaf first,
    not verified for any trust domain; empty when the client sent none), where it may be a trusted proxy that has to
    show who it is `bridge.proxy_claim`, of a connection to the console's Unix socket `bridge.peer_uid` (the account of
    the process that connected, as the kernel says it), `bridge.raw_headers` (tuple of
    (lower-case name, value) as bytes, as sent). Header fields with `_` in their name are only in the
    last: as HTTP_* they could pass for another field. The body is complete: CONTENT_LENGTH is always
    there and true.

    An answer that waits for something, say for a commit, need not keep a thread waiting. Its iterable then
    has `then(call)`, which has `call` called once, from any thread, when it is worth iterating, and
    `is_ready`, which says that iterating neither waits nor takes long. It must also be right to iterate it
    at any time, and to wait there; `start_response` may be called as late as then.
    """

    @property
    def wsgi(self) -> WSGIApplication: ...

    @property
    def metrics_wsgi(self) -> WSGIApplication | None: ...

    @property
    def console_wsgi(self) -> WSGIApplication:
        """What operators see at the console's listener. Asked for only where the options have one."""
        ...

    def start(self) -> None:
        """Start threads. Called once, in the worker, before it listens."""

    def reload(self) -> None:
        """Read changed files now (SIGHUP). Called in a thread; may take its time."""

    def close(self) -> None:
        """Finish writes and end threads. Called once, after the last request."""

    def anchors(self) -> Anchors:
        """The trust anchors for handshakes. Asked several times a second: must be cheap."""

    def own_svid(self) -> OwnSvid | None:
        """The X.509-SVID that listeners show, where the options say that they show one; None before the first.
        Asked several times a second: must be cheap, and the same object while it is the same SVID."""


class ServingObserver(Protocol):
    """Gets to know what the server saw, for metrics and readiness. An application that has one offers
    it as the attribute `serving_observer`. Called from the loop and from other threads: must not block.
    All strings are of small closed sets, fit for metric labels, but for `why`: that is for people."""

    def handshake_failed(self, listener: str, reason: str) -> None: ...

    def request_refused(self, listener: str, status: int, reason: str) -> None: ...

    def certificate_loaded(self, kind: str, not_after: int) -> None: ...

    def certificate_refused(self, kind: str, why: str) -> None: ...

    def load(self, connections: int, requests: int) -> None: ...


class SilentObserver:
    """Listens to everything and says nothing."""

    def handshake_failed(self, listener: str, reason: str) -> None:
        """Ignored."""

    def request_refused(self, listener: str, status: int, reason: str) -> None:
        """Ignored."""

    def certificate_loaded(self, kind: str, not_after: int) -> None:
        """Ignored."""

    def certificate_refused(self, kind: str, why: str) -> None:
        """Ignored."""

    def load(self, connections: int, requests: int) -> None:
        """Ignored."""


def resolve(dotted: str) -> Callable[..., Any]:
    """The callable behind `package.module:name`. Raises: StartRefused."""
    module, _, name = dotted.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise StartRefused([f"{dotted}: {error}"]) from error
    if not callable(found):
        raise StartRefused([f"{dotted}: there is no such callable"])
    return cast("Callable[..., Any]", found)


def observer_of(app: ServedApp) -> ServingObserver:
    """The application's observer, or one that ignores everything."""
    observer = getattr(app, "serving_observer", None)
    return SilentObserver() if observer is None else cast("ServingObserver", observer)
