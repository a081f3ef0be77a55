"""From noted traces to spans of OpenTelemetry, sent as OTLP from a thread of their own. The one importer of
`opentelemetry`, and imported only where `[tracing]` is configured.

However the collector does, no request waits for it: the queue is bounded, what does not fit is dropped and counted, and
what could not be sent is not sent again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from bridge import __version__
from bridge.model.errors import BridgeError
from bridge.observe import metrics
from bridge.observe.tracing import Outcome, Trace

_log = logging.getLogger("bridge.tracing")

# Traces that wait to be sent, and that go in one message; a trace has some seven spans of 300 bytes.
MOST_WAITING, MOST_AT_ONCE = 2048, 256
EVERY_SECONDS = 2.0
# So long the end of a worker waits for what is left.
FLUSH_SECONDS = 3.0
# Of a collector that stays away the log has one line in so many messages.
_SAID_EVERY = 30

_SCOPE = InstrumentationScope("bridge", __version__)
_ERRORS = frozenset({Outcome.FAILED, Outcome.UNAVAILABLE})


class TraceExport:
    """The queue and its thread. `start` after the fork, `close` at the end of the worker."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        *,
        service_name: str,
        new_id: Callable[[int], str],
        every: float = EVERY_SECONDS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """`send` takes one OTLP message, in bounded time, and raises BridgeError; `new_id` gives random hex of so many
        bytes; `every` is in seconds."""
        self._send, self._new_id, self._every, self._most = send, new_id, every, most_waiting
        # Made here and not by detectors: nothing of the environment or the machine goes along unasked.
        self._resource = Resource({"service.name": service_name, "service.version": __version__})
        self._waiting: deque[Trace] = deque()
        self._wake, self._ended, self._failures = threading.Event(), False, 0
        self._thread = threading.Thread(target=self._run, name="bridge-traces", daemon=True)
        for outcome in ("exported", "failed", "dropped"):
            metrics.spans.labels(outcome).inc(0)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def keep(self, trace: Trace) -> None:
        """Have a trace sent, or dropped where too many wait. Never waits. Two threads may pass the bound by one."""
        if len(self._waiting) >= self._most or self._ended:
            metrics.spans.labels("dropped").inc(1 + len(trace.steps))
            return
        self._waiting.append(trace)
        if len(self._waiting) >= MOST_AT_ONCE:
            self._wake.set()

    def close(self, patience: float = FLUSH_SECONDS) -> None:
        """Send what is left, for at most `patience` seconds; a collector that hangs is left to itself."""
        self._ended = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._every)
            self._wake.clear()
            # Before looking: what comes after this is dropped.
            ended = self._ended
            while self._waiting and self._send_some():
                pass
            if ended:
                self._drop_rest()
                return

    def _send_some(self) -> bool:
        """One message. Whether it arrived."""
        batch = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
        spans = [span for trace in batch for span in self._spans(trace)]
        try:
            self._send(encode_spans(spans).SerializeToString())
        except BridgeError as error:
            metrics.spans.labels("failed").inc(len(spans))
            if self._failures % _SAID_EVERY == 0:
                _log.warning("traces could not be sent, and are not sent again: %s", error)
            self._failures += 1
            return False
        metrics.spans.labels("exported").inc(len(spans))
        if self._failures:
            _log.info("traces are sent again; messages lost meanwhile: %d", self._failures)
            self._failures = 0
        return True

    def _drop_rest(self) -> None:
        while self._waiting:
            metrics.spans.labels("dropped").inc(1 + len(self._waiting.popleft().steps))

    def _spans(self, trace: Trace) -> Iterator[ReadableSpan]:
        context = _context(trace.trace_id, trace.span_id)
        parent = None if trace.parent_id is None else _context(trace.trace_id, trace.parent_id, is_remote=True)
        yield ReadableSpan(
            name=trace.name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=trace.attributes,
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR if trace.outcome in _ERRORS else StatusCode.UNSET),
            start_time=trace.began_at,
            end_time=_at(trace, trace.ended),
            instrumentation_scope=_SCOPE,
        )
        for step in trace.steps:
            yield ReadableSpan(
                name=step.stage.value,
                context=_context(trace.trace_id, self._new_id(8)),
                parent=context,
                resource=self._resource,
                attributes={f"bridge.{name}": value for name, value in step.attributes.items()},
                kind=SpanKind.CLIENT if step.stage.value == "fetch" else SpanKind.INTERNAL,
                status=Status(StatusCode.UNSET),
                start_time=_at(trace, step.began),
                end_time=_at(trace, step.ended),
                instrumentation_scope=_SCOPE,
            )


def _context(trace_id: str, span_id: str, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, TraceFlags(TraceFlags.SAMPLED))


def _at(trace: Trace, moment: float) -> int:
    """A moment of the monotonic clock as epoch nanoseconds: a step of the other clock does not turn a span over."""
    return trace.began_at + int((moment - trace.began) * 1e9)
