"""A collector of traces on loopback: takes OTLP over HTTP as the real ones do, and decodes what it was sent."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Ids are hex, an absent parent is empty; times are epoch nanoseconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    status: int
    began: int
    ended: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """`status` is what it answers; while `hangs` it reads and says nothing."""

    context: ssl.SSLContext | None = None
    status: int = 200
    hangs: bool = False
    spans: list[Span] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __enter__(self) -> Collector:
        self._changed, self._ended = threading.Condition(), threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector._take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                if collector.hangs:
                    collector._ended.wait()
                    return
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.context is not None:
            self._server.socket = self.context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        scheme = "http" if self.context is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a message came that makes it true."""
        with self._changed:
            assert self._changed.wait_for(condition, SECONDS), self.spans

    def of(self, correlation_id: str) -> list[Span]:
        """The spans of one request, its own first; empty until they are here."""
        roots = [span for span in self.spans if span.attributes.get("bridge.correlation_id") == correlation_id]
        return [*roots, *(span for span in self.spans if roots and span.parent_id == roots[0].span_id)]

    def wait_for(self, correlation_id: str) -> list[Span]:
        self.until(lambda: bool(self.of(correlation_id)))
        return self.of(correlation_id)

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        spans = decoded(body)
        with self._changed:
            self.paths.append(path)
            self.headers.append(headers)
            self.raw.append(body)
            self.spans += spans
            self._changed.notify_all()


def decoded(body: bytes) -> list[Span]:
    """The spans of one message. Raises: google.protobuf.message.DecodeError."""
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    return [
        Span(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.kind,
            span.status.code,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _values(span.attributes),
            _values(of.resource.attributes),
        )
        for of in message.resource_spans
        for scope in of.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
