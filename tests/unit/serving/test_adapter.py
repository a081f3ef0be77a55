"""The bounded queue before the threads: early 503 instead of long waiting, and work for nobody is not done (L-8)."""

from __future__ import annotations

import socket
import struct

import pytest

from bridge.serving.adapter import BrokenApplication, call_wsgi
from bridge.serving.answers import Answer, BadAnswer, render
from bridge.serving.options import Caps, Deadlines, ListenerKind

HOST = b"Host: localhost\r\n"


def _ask(worker, path):
    client = worker.connect()
    client.send(b"GET %b HTTP/1.1\r\n%b\r\n" % (path.encode(), HOST))
    return client


def _fill(worker, threads):
    clients = [_ask(worker, "/wait/gate") for _ in range(threads)]
    for _ in clients:
        assert worker.app.arrived.acquire(timeout=10)
    return clients


def _is_busy(reply):
    body = reply.json()
    return (
        reply.status == 503
        and body["error"] == "temporarily_unavailable"
        and body["error_id"] == reply.headers["x-request-id"]
        and int(reply.headers["retry-after"]) >= 1
    )


def test_what_does_not_fit_in_the_queue_gets_503_at_once_and_the_connection_stays(serve):
    worker = serve(threads=1, caps=Caps(waiting=0))
    [waiting] = _fill(worker, 1)
    with worker.connect() as client:
        assert _is_busy(client.get())
        assert _is_busy(client.get())
        worker.app.gate("gate").set()
        assert waiting.read().status == 200
        assert client.get().status == 200
    worker.app.serving_observer.wait_for("refused", "plain", 503, "queue_full", times=2)


def test_what_fits_in_the_queue_is_served_in_its_turn(serve):
    worker = serve(threads=1, caps=Caps(waiting=3))
    clients = [*_fill(worker, 1), *(_ask(worker, f"/{n}") for n in range(3))]
    worker.app.gate("gate").set()
    assert [client.read().status for client in clients] == [200] * 4


def test_what_waited_too_long_gets_503_and_is_never_begun(serve):
    worker = serve(threads=1, deadlines=Deadlines(queue=0.05))
    [waiting] = _fill(worker, 1)
    late = _ask(worker, "/wait/never")
    # The only thread is held for longer than the queue's deadline.
    assert not worker.app.arrived.acquire(timeout=0.2)
    worker.app.gate("gate").set()
    assert waiting.read().status == 200
    assert _is_busy(late.read())
    assert not worker.app.arrived.acquire(blocking=False)
    worker.app.serving_observer.wait_for("refused", "plain", 503, "waited_too_long")


def test_a_request_whose_client_has_gone_is_not_begun(serve):
    worker = serve(threads=1, caps=Caps())
    [waiting] = _fill(worker, 1)
    gone = _ask(worker, "/wait/never")
    worker.app.serving_observer.forget_load()
    # With a reset: a mere end of sending could be a client that still wants its answer.
    gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.socket.close()
    worker.app.serving_observer.wait_for_load(connections=1)
    worker.app.gate("gate").set()
    assert waiting.read().status == 200
    with worker.connect() as client:
        assert client.get().status == 200
    assert not worker.app.arrived.acquire(blocking=False)


def test_health_is_answered_while_all_threads_are_busy(serve):
    worker = serve(threads=1, caps=Caps(waiting=0))
    clients = _fill(worker, 1)
    with worker.connect() as client:
        assert client.get("/healthz").status == 200
        assert _is_busy(client.get("/other"))
    worker.app.gate("gate").set()
    assert clients[0].read().status == 200


def test_metrics_have_a_listener_and_threads_of_their_own(serve):
    worker = serve(threads=1, caps=Caps(waiting=0), metrics_listen="127.0.0.1:0")
    clients = _fill(worker, 1)
    with worker.connect(ListenerKind.METRICS) as client:
        assert client.get("/metrics").body == b"numbers"
    worker.app.gate("gate").set()
    assert clients[0].read().status == 200


class Closing:
    """An iterable that remembers that it was closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = iter(chunks)
        self.closed = False

    def __iter__(self):
        return self.chunks

    def close(self) -> None:
        self.closed = True


def test_the_whole_answer_is_collected_and_the_iterable_closed():
    body = Closing(b"b", b"c")

    def app(environ, start_response):
        start_response("200 OK", [("A", "b")])(b"a")
        return body

    assert call_wsgi(app, {}) == Answer("200 OK", [("A", "b")], b"abc")
    assert body.closed


def test_an_error_page_replaces_what_was_begun():
    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("500 No", [("A", "b")], (None, None, None))
        return [b"sorry"]

    assert call_wsgi(app, {}) == Answer("500 No", [("A", "b")], b"sorry")


def test_an_application_must_start_exactly_one_answer():
    def twice(environ, start_response):
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(BrokenApplication, match="twice"):
        call_wsgi(twice, {})
    with pytest.raises(BrokenApplication, match="not called"):
        call_wsgi(lambda environ, start_response: [], {})


def _render(answer, *, close=False, head_only=False):
    return render(answer, request_id="id", common=b"Date: now\r\n", close=close, head_only=head_only)


def test_the_length_is_counted_and_fields_of_the_connection_are_the_servers():
    headers = [("Content-Length", "99"), ("Connection", "x"), ("X-Request-Id", "forged"), ("A", "b")]
    message = _render(Answer("200 OK", headers, b"body"), close=True)
    head, _, body = message.partition(b"\r\n\r\n")
    assert body == b"body"
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"X-Request-Id: id",
        b"A: b",
        b"Content-Length: 4",
        b"Connection: close",
        b"Date: now",
    ]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_have_neither_body_nor_length(status):
    assert _render(Answer(status, [], b"x")) == f"HTTP/1.1 {status}\r\nX-Request-Id: id\r\nDate: now\r\n\r\n".encode()


def test_a_head_answer_keeps_the_length_that_the_application_states():
    message = _render(Answer("200 OK", [("Content-Length", "99")], b""), head_only=True)
    assert b"Content-Length: 99\r\n" in message


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "a\0", "\u20ac"])
def test_a_field_that_would_break_the_message_is_refused(value):
    assert _render(Answer("200 OK", [("A", "b")], b""))
    with pytest.raises(BadAnswer):
        _render(Answer("200 OK", [("A", value)], b""))
    with pytest.raises(BadAnswer):
        _render(Answer("200 OK", [(value, "b")], b""))
    with pytest.raises(BadAnswer):
        _render(Answer(f"200 {value}", [], b""))
