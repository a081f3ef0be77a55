"""Traces: what one request did and for how long, in the words of OpenTelemetry and without any library of it.

While a request is answered only times and a few words are noted, by the thread that answers it; `trace_export` makes
spans of them elsewhere and later. Of a request that is not traced nothing is noted at all. What is noted is of closed
lists, or cut to a length: names that were verified, never a token, an assertion, a key, a header or a body.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bridge.model.errors import BridgeError, Unavailable
from bridge.model.forwarding import CERTIFICATE_HEADER

# So much of a name is kept; a SPIFFE ID may have 2048 bytes, the URL of a client's document more.
MOST_CHARACTERS = 256
# Of a request that does the same again and again, as one whose record changes under it, the first steps tell enough.
MOST_STEPS = 32
# Asked by machines every few seconds, and about nobody.
QUIET = frozenset({"healthz", "readyz"})

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
# Of a later version the first fields have the same meaning, and more may follow (W3C Trace Context 3.2).
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class Stage(StrEnum):
    """What a request goes through; names of spans."""

    VERIFY = "verify"
    DECIDE = "decide"
    REGISTER = "register"
    SIGN = "sign"
    COMMIT = "commit"
    FETCH = "fetch"


class Outcome(StrEnum):
    """How a request ended: `UNAVAILABLE` is the trouble of something we depend on, `FAILED` a defect of ours."""

    ANSWERED = "answered"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage; times are seconds of `perf_counter`."""

    stage: Stage
    began: float
    ended: float
    attributes: Mapping[str, str]


@dataclass(slots=True)
class Trace:
    """One request. Ids are hex; `parent_id` is the span of a trusted proxy. `began_at` is epoch nanoseconds, `began`
    and `ended` seconds of `perf_counter`."""

    trace_id: str
    span_id: str
    parent_id: str | None
    began_at: int
    began: float
    name: str = ""
    ended: float = 0.0
    outcome: Outcome = Outcome.ANSWERED
    attributes: dict[str, str | int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def add(self, stage: Stage, began: float, ended: float, attributes: Mapping[str, str]) -> None:
        """Note a stage that is over."""
        if len(self.steps) < MOST_STEPS:
            self.steps.append(Step(stage, began, ended, attributes))


class _Here(threading.local):
    trace: Trace | None = None


# The trace of the request that this thread answers now.
_here = _Here()
_NOTHING: AbstractContextManager[None] = nullcontext()


def current() -> Trace | None:
    """The trace of the request that this thread answers, where it is traced."""
    return _here.trace


def stage(which: Stage, **attributes: str) -> AbstractContextManager[None]:
    """Note how long what is done within takes, and for which reason it failed if it did."""
    trace = _here.trace
    return _NOTHING if trace is None else _timed(trace, which, attributes)


def past(which: Stage, began: float, **attributes: str) -> None:
    """Note a stage that is over now and began at `began` (`perf_counter`)."""
    trace = _here.trace
    if trace is not None:
        trace.add(which, began, time.perf_counter(), attributes)


def note(**attributes: str) -> None:
    """Note whom the request is about and what was decided: `client_id`, `trust_domain`, `rule`, `grant_type`. Only of
    callers that were verified: whatever anybody may claim has no place in a trace."""
    trace = _here.trace
    if trace is not None:
        said = {f"bridge.{name}": value[:MOST_CHARACTERS] for name, value in attributes.items() if value}
        trace.attributes.update(said)


@contextmanager
def _timed(trace: Trace, which: Stage, attributes: dict[str, str]) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    except BridgeError as error:
        attributes["reason"] = error.reason.value
        raise
    finally:
        trace.add(which, began, time.perf_counter(), attributes)


class Tracing:
    """Begins and ends the traces of one worker."""

    def __init__(
        self,
        keep: Callable[[Trace], None],
        *,
        ratio: float,
        chance: Callable[[], float],
        new_id: Callable[[int], str],
        trust_proxies: bool,
    ) -> None:
        """`keep` gets each trace at its end and must not wait. Of `ratio` (0 to 1) of the requests one is made, by
        `chance` (0 to 1); `new_id` gives random hex of so many bytes. With `trust_proxies` a trusted proxy's
        `traceparent` says which requests are traced and what they belong to; nobody else's is ever read."""
        self._keep, self._ratio, self._chance = keep, ratio, chance
        self._new_id, self._trust_proxies = new_id, trust_proxies

    def begin(self, environ: Mapping[str, Any], correlation_id: str, route: str) -> Trace | None:
        """A request is here, whose certificate header was judged. Of this thread it is the one from now on."""
        parent = self._parent(environ)
        sampled = parent.sampled if parent is not None else self._chance() < self._ratio
        _here.trace = self._made(parent, environ, correlation_id, route) if sampled else None
        return _here.trace

    def _made(self, parent: _Parent | None, environ: Mapping[str, Any], correlation_id: str, route: str) -> Trace:
        method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in _METHODS else "_OTHER"
        trace = Trace(
            trace_id=self._new_id(16) if parent is None else parent.trace_id,
            span_id=self._new_id(8),
            parent_id=None if parent is None else parent.span_id,
            began_at=time.time_ns(),
            began=time.perf_counter(),
            name=f"{method} {route}".strip(),
        )
        trace.attributes.update({"http.request.method": method, "bridge.correlation_id": correlation_id})
        if route:
            trace.attributes["http.route"] = route
        return trace

    def _parent(self, environ: Mapping[str, Any]) -> _Parent | None:
        if not self._trust_proxies or CERTIFICATE_HEADER not in environ:
            return None
        found = _PARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
        if found is None or (found[1] == "00" and found[5] is not None):
            return None
        return _Parent(found[2], found[3], bool(int(found[4], 16) & _SAMPLED))

    def leave(self) -> None:
        """This thread goes on to something else; the request may have its answer later."""
        _here.trace = None

    @contextmanager
    def resumed(self, trace: Trace | None) -> Iterator[None]:
        """This thread goes on with that request."""
        before, _here.trace = _here.trace, trace
        try:
            yield
        finally:
            _here.trace = before

    def refused(self, trace: Trace, error: BridgeError) -> None:
        """Note for which reason, and whom it befell if that was verified."""
        trace.outcome = Outcome.UNAVAILABLE if isinstance(error, Unavailable) else Outcome.REFUSED
        trace.attributes["bridge.reason"] = error.reason.value
        if error.subject.startswith("spiffe://"):
            trace.attributes["bridge.trust_domain"] = error.subject.split("/", 3)[2]
        if error.rule:
            trace.attributes["bridge.rule"] = error.rule[:MOST_CHARACTERS]

    def finish(self, trace: Trace, endpoint: str, status: int) -> None:
        """Its answer leaves. `endpoint` is a route's name."""
        trace.ended = time.perf_counter()
        trace.attributes["http.response.status_code"] = status
        trace.attributes["bridge.endpoint"] = endpoint
        if status >= 500 and trace.outcome is not Outcome.UNAVAILABLE:
            trace.outcome = Outcome.FAILED
        trace.attributes["bridge.outcome"] = trace.outcome.value
        if endpoint not in QUIET:
            self._keep(trace)


@dataclass(frozen=True, slots=True)
class _Parent:
    trace_id: str
    span_id: str
    sampled: bool
