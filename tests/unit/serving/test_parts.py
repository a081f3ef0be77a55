"""The parts that need no socket: addresses, environs, taking turns, room, lines, options."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from pathlib import Path
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import StartRefused
from bridge.serving.adapter import call_wsgi
from bridge.serving.balance import LoadBoard
from bridge.serving.book import Book
from bridge.serving.context import BoundedLines
from bridge.serving.options import Caps, ListenerKind, ServingOptions
from bridge.serving.peer import address_of
from bridge.serving.reader import Exchange, RequestReader
from bridge.serving.request import environ_of_connection, environ_of_request, split_target
from bridge.serving.served import SilentObserver, observer_of, resolve
from bridge.serving.sockets import open_listeners, split_address


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("a.example:65535", ("a.example", 65535))],
)
def test_an_address_is_a_host_and_a_port(address, parts):
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "127.0.0.1", ":80", "a:", "a:x", "a:65536", "a:-1", "::1:80", "a:٣"])
def test_anything_else_is_no_address(address):
    with pytest.raises(ValueError, match=r"IPv6 address|host:port"):
        split_address(address)


def test_all_addresses_that_cannot_be_are_named_at_once_and_none_stays_open():
    options = ServingOptions("", "", "127.0.0.1:0", mtls_listen="nowhere", metrics_listen="127.0.0.1:x")
    with pytest.raises(StartRefused) as refused:
        open_listeners(options)
    assert len(refused.value.faults) == 2


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("192.0.2.1", 80), ("192.0.2.1", 80)),
        (("::ffff:192.0.2.1", 80, 0, 0), ("192.0.2.1", 80)),
        (("2001:db8::1", 80, 0, 0), ("2001:db8::1", 80)),
        (("::ffff:1", 80, 0, 0), ("::ffff:1", 80)),
        ("run/proxy.sock", ("", 0)),
        (None, ("", 0)),
    ],
)
def test_a_client_has_one_address_whatever_the_listener(name, address):
    assert address_of(name) == address


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/a?b=c?d", (b"/a", b"b=c?d")),
        (b"/", (b"/", b"")),
        (b"http://other.example/a?b", (b"/a", b"b")),
        (b"http://other.example", (b"/", b"")),
        (b"//other.example/a", (b"//other.example/a", b"")),
    ],
)
def test_a_target_is_split_into_path_and_query(target, parts):
    assert split_target(target) == parts


@pytest.mark.parametrize("target", [b"*", b"", b"a.example:80", b"mailto:a"])
def test_other_targets_have_no_path(target):
    assert not split_target(target)[0].startswith(b"/")


def _environ(headers, body=b""):
    connection = environ_of_connection(scheme="https", server=("127.0.0.1", 8443), client=("127.0.0.1", 1))
    return environ_of_request(
        connection, method="POST", path=b"/a", query=b"", version="1.1", headers=headers, body=body
    )


def test_the_environ_passes_the_standard_librarys_validator():
    def app(environ, start_response):
        assert environ["wsgi.input"].read(100) == b"body"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"fine"]

    environ = _environ([(b"host", b"a"), (b"content-type", b"text/plain")], b"body")
    for ours in [key for key in environ if key.startswith("bridge.")]:
        del environ[ours]
    assert call_wsgi(validator(app), environ).body == b"fine"


def test_repeated_content_types_are_not_one():
    environ = _environ([(b"content-type", b"a/b"), (b"content-type", b"c/d")])
    assert environ["CONTENT_TYPE"] == "a/b,c/d"
    assert "HTTP_CONTENT_TYPE" not in environ


NAMES = st.text("abcdefghijklmnopqrstuvwxyz-_", min_size=1, max_size=12).map(str.encode)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=20))
def test_no_header_field_can_set_what_is_not_its_own(headers):
    environ = _environ(headers)
    fixed = _environ([])
    for key, value in fixed.items():
        if key not in {"CONTENT_TYPE", "bridge.raw_headers", "wsgi.input"}:
            assert environ[key] == value
    assert all(key.startswith("HTTP_") or key == "CONTENT_TYPE" for key in environ.keys() - fixed.keys())


WHOLE = (
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"
)


def _read(pieces) -> tuple[list[Exchange], object]:
    taken: list[Exchange] = []
    reader = RequestReader(Caps(), take=taken.append, go_on=lambda: None)
    refusal = None
    for piece in pieces:
        if not reader.has_ended():
            refusal = reader.feed(piece)
    return taken, refusal


@given(st.lists(st.integers(0, len(WHOLE)), max_size=8).map(sorted))
def test_requests_are_the_same_however_the_bytes_are_cut(cuts):
    edges = [0, *cuts, len(WHOLE)]
    taken, refusal = _read(WHOLE[start:end] for start, end in itertools.pairwise(edges) if start < end)
    assert refusal is None
    assert [(each.target, bytes(each.body)) for each in taken] == [(b"/a", b"abc"), (b"/b", b"")]


@given(st.binary(max_size=300), st.integers(0, len(WHOLE)))
def test_no_bytes_make_the_reader_fail_otherwise_than_by_a_refusal(noise, at):
    taken, _ = _read([WHOLE[:at] + noise, noise, WHOLE[at:]])
    assert all(each.method for each in taken)


def test_a_worker_waits_for_nobody_who_is_not_there():
    board = LoadBoard(3)
    board.write(0, 5)
    assert board.least_elsewhere(0) > 10**6
    board.write(1, 2)
    assert (board.least_elsewhere(0), board.least_elsewhere(1)) == (2, 5)
    board.vacate(1)
    assert board.least_elsewhere(0) > 10**6


class FakeConnection:
    """What a book knows of a connection."""

    def __init__(self, *, answered: int, waiting_since: float, is_serving: bool = False) -> None:
        self.answered = answered
        self.waiting_since = waiting_since
        self.is_serving = is_serving
        self.dropped = False

    def abort(self) -> None:
        self.dropped = True


def test_room_is_made_by_those_that_never_asked_then_by_the_longest_idle():
    book = Book(LoadBoard(1), 0, cap=48)
    serving = [FakeConnection(answered=0, waiting_since=0, is_serving=True) for _ in range(44)]
    used = [FakeConnection(answered=1, waiting_since=since) for since in (2, 1)]
    fresh = [FakeConnection(answered=0, waiting_since=9)]
    for connection in (*serving, *used, *fresh):
        book.enter(connection)
    assert book.make_room()
    assert not any(each.dropped for each in (*serving, *used, *fresh))
    book.enter(FakeConnection(answered=0, waiting_since=10))
    assert book.make_room()
    assert [each.dropped for each in (*used, *fresh)] == [False, True, True]
    assert not any(each.dropped for each in serving)


def test_there_is_no_room_when_all_are_served():
    book = Book(LoadBoard(1), 0, cap=1)
    assert book.make_room()
    book.enter(FakeConnection(answered=0, waiting_since=0, is_serving=True))
    assert not book.make_room()


def test_a_flood_of_lines_is_cut_and_its_size_said(caplog):
    caplog.set_level("INFO", "bridge.serving")
    now = [100.0]
    lines = BoundedLines(per_second=2, clock=lambda: now[0])
    for _ in range(5):
        lines.info("refused", reason="x")
    assert caplog.messages == ["refused", "refused"]
    now[0] = 101.0
    lines.info("refused", reason="x")
    assert caplog.messages[2:] == ["lines about refused requests and handshakes left out: 3", "refused"]


def test_options_travel_to_other_processes_unchanged():
    options = ServingOptions("a:b", "c", "127.0.0.1:0", certificate=Path("a"), private_key=Path("b"))
    assert pickle.loads(pickle.dumps(options)) == options
    assert options.faults() == []


def test_half_a_certificate_is_a_fault():
    options = ServingOptions("a:b", "c", "127.0.0.1:0", certificate=Path("a"))
    assert "belong together" in options.faults()[0]
    assert replace(options, private_key=Path("b")).faults() == []


def test_metrics_never_speak_tls():
    options = ServingOptions("", "", "", certificate=Path("a"), private_key=Path("b"))
    assert options.speaks_tls(ListenerKind.PLAIN)
    assert options.speaks_tls(ListenerKind.MTLS)
    assert not options.speaks_tls(ListenerKind.METRICS)


def test_a_dotted_name_leads_to_its_callable_or_to_a_fault():
    assert resolve("os.path:join")("a", "b") == "a/b"
    for name in ("no.such.module:x", "os.path:nothing", "os.path:sep"):
        with pytest.raises(StartRefused):
            resolve(name)


def test_an_application_without_an_observer_is_served_all_the_same():
    observer = observer_of(object())
    assert isinstance(observer, SilentObserver)
    observer.load(1, 1)
    observer.certificate_refused("file", "why")
