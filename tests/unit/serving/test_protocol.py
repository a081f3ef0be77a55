"""HTTP/1.1 on a real socket: what is answered, what is refused, and that no client can hold others up."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from bridge.serving.options import Caps, Deadlines

HOST = b"Host: localhost\r\n"


def test_a_request_reaches_the_application_as_pep_3333_says(serve):
    with serve().connect() as client:
        client.send(
            b"POST /a%20b/%C3%A9?x=1&y=%20 HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\nContent-Length: 5\r\n"
            b"Accept: a\r\nAccept: b\r\nClient_Cert: spoof\r\n\r\nhello"
        )
        reply = client.read()
    told = reply.json()
    assert reply.status == 200
    assert told["REQUEST_METHOD"] == "POST"
    assert told["PATH_INFO"] == "/a b/é".encode().decode("latin-1")
    assert told["QUERY_STRING"] == "x=1&y=%20"
    assert told["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert told["wsgi.url_scheme"] == "http"
    assert (told["CONTENT_TYPE"], told["CONTENT_LENGTH"]) == ("text/plain", "5")
    assert told["HTTP_HOST"] == "localhost"
    assert told["HTTP_ACCEPT"] == "a,b"
    assert told["REMOTE_ADDR"] == "127.0.0.1"
    assert told["bridge.listener"] == "plain"
    assert told["chain"] == []
    assert told["body_sha256"] == hashlib.sha256(b"hello").hexdigest()


def test_a_field_with_an_underscore_is_only_among_the_raw_ones(serve):
    with serve().connect() as client:
        told = client.get(Client_Cert="dash").json()
        assert told["HTTP_CLIENT_CERT"] == "dash"
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"Client_Cert: underscore\r\n\r\n")
        told = client.read().json()
    assert "HTTP_CLIENT_CERT" not in told
    assert ["client_cert", "underscore"] in told["raw"]


def test_every_answer_has_a_fresh_request_id_that_the_application_knows(serve):
    with serve().connect() as client:
        replies = [client.get() for _ in range(3)]
    ids = [reply.headers["x-request-id"] for reply in replies]
    assert ids == [reply.json()["bridge.request_id"] for reply in replies]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{22}", each) for each in ids)


def test_an_answer_has_a_date_and_a_length_and_does_not_name_the_server(serve):
    with serve().connect() as client:
        headers = client.get().headers
    assert headers["date"].endswith(" GMT")
    assert "server" not in headers


def test_keep_alive_serves_many_requests_on_one_connection(serve):
    worker = serve()
    with worker.connect() as client:
        ports = {client.get().json()["REMOTE_PORT"] for _ in range(5)}
    assert len(ports) == 1


def test_pipelined_requests_are_answered_in_order(serve):
    with serve().connect() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\n%b\r\n" % (n, HOST) for n in range(10)))
        assert [client.read().json()["PATH_INFO"] for _ in range(10)] == [f"/{n}" for n in range(10)]
        assert client.get("/after").status == 200


def test_a_refusal_comes_behind_the_answers_that_were_due_before_it(serve):
    with serve().connect() as client:
        client.send(b"GET /first HTTP/1.1\r\n" + HOST + b"\r\nGARBAGE\r\n\r\n")
        assert client.read().json()["PATH_INFO"] == "/first"
        assert client.read().status == 400
        assert client.wait_until_closed() == b""


def test_a_connection_that_pipelines_without_end_is_dropped(serve):
    worker = serve(caps=Caps(pipelined=4))
    with worker.connect() as client:
        client.send(b"GET /wait/never HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 6)
        assert client.wait_until_closed() == b""
    with worker.connect() as client:
        assert client.get().status == 200


def test_head_has_the_length_but_not_the_body(serve):
    with serve().connect() as client:
        client.send(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n")
        head = client.read(head_only=True)
        assert int(head.headers["content-length"]) > 0
        assert client.get().status == 200


@pytest.mark.parametrize("closing", [b"HTTP/1.1\r\nConnection: close\r\n", b"HTTP/1.0\r\n"], ids=["close", "http-1.0"])
def test_the_connection_ends_after_the_answer_when_the_client_says_so(serve, closing):
    with serve().connect() as client:
        client.send(b"GET / " + closing + HOST + b"\r\n")
        reply = client.read()
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        assert client.wait_until_closed() == b""


def test_an_answer_outlives_the_deadline_for_heads_and_bodies(serve):
    worker = serve(deadlines=Deadlines(head=0.1, body=0.1, keep_alive=0.1, queue=8))
    with worker.connect() as client, worker.connect() as timer:
        client.send(b"GET /wait/gate HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
        assert worker.app.arrived.acquire(timeout=10)
        timer.send(b"GET / HTT")
        assert b" 408 " in timer.wait_until_closed()
        worker.app.gate("gate").set()
        assert client.read().status == 200


def test_a_client_may_close_its_sending_side_and_still_get_its_answer(serve):
    with serve().connect() as client:
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        client.socket.shutdown(1)
        assert client.read().status == 200


def test_another_protocol_that_is_offered_is_not_taken_up(serve):
    with serve().connect() as client:
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert client.read().status == 200
        assert client.wait_until_closed() == b""


def test_a_client_that_expects_100_continue_gets_it_and_then_its_answer(serve):
    with serve().connect() as client:
        client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.read(head_only=True).status == 100
        client.send(b"ok")
        assert client.read().json()["body_sha256"] == hashlib.sha256(b"ok").hexdigest()


def test_a_body_in_chunks_arrives_whole(serve):
    with serve().connect() as client:
        client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        client.send(b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n")
        told = client.read().json()
    assert told["body_sha256"] == hashlib.sha256(b"abcde").hexdigest()
    assert told["CONTENT_LENGTH"] == "5"
    assert "HTTP_TRANSFER_ENCODING" not in told


def _refusal(client, status):
    reply = client.read()
    assert reply.status == status
    body = json.loads(reply.body)
    assert body["error_id"] == reply.headers["x-request-id"]
    assert reply.headers["connection"] == "close"
    return body["error"]


def _post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1", target: bytes = b"/") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST " + target + b" HTTP/" + version + b"\r\n" + HOST + lines + b"\r\n" + body


SMUGGLED = {
    "length-and-chunked": (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunked-and-length": (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "two-lengths": (b"Content-Length: 5", b"Content-Length: 6"),
    "two-equal-lengths": (b"Content-Length: 5", b"Content-Length: 5"),
    "length-list": (b"Content-Length: 5, 5",),
    "length-with-sign": (b"Content-Length: +5",),
    "length-negative": (b"Content-Length: -5",),
    "length-hex": (b"Content-Length: 0x5",),
    "length-empty": (b"Content-Length:",),
    "length-overflow": (b"Content-Length: 18446744073709551621",),
    "unknown-coding": (b"Transfer-Encoding: xchunked",),
    "coding-list": (b"Transfer-Encoding: gzip, chunked",),
    "two-codings": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "identity-coding": (b"Transfer-Encoding: identity",),
    "coding-with-tab": (b"Transfer-Encoding: \x0bchunked",),
    "space-before-colon": (b"Content-Length : 5",),
    "folded-line": (b"X-A: b\r\n c",),
    "two-hosts": (b"Host: other",),
    "nul-in-value": (b"X-A: a\0b",),
    "bare-line-feed": (b"X-A: a\nContent-Length: 5",),
}


@pytest.mark.parametrize("fields", SMUGGLED.values(), ids=[f"T-52-{name}" for name in SMUGGLED])
def test_a_request_that_two_servers_could_read_in_two_ways_is_refused(serve, fields):
    worker = serve()
    with worker.connect() as client:
        client.send(_post(b"Content-Length: 5", body=b"hello"))
        assert client.read().status == 200
        client.send(_post(*fields, body=b"hello"))
        assert _refusal(client, 400) == "invalid_request"
        assert client.wait_until_closed() == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no-host"),
        pytest.param(_post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"), id="chunked-on-1.0"),
        pytest.param(_post(b"Transfer-Encoding: chunked", body=b"0\r\nX-A: b\r\n\r\n"), id="trailer"),
        pytest.param(_post(b"Transfer-Encoding: chunked", body=b"Z\r\n"), id="chunk-size"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", id="connect"),
        pytest.param(b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", id="http-2.0"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", id="asterisk"),
        pytest.param(b"get / HTTP/1.1\r\n" + HOST + b"\r\n", id="lower-case-method"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="tls-on-a-plain-port"),
        pytest.param(b"GET / HTTP/1.1\n" + HOST + b"\r\n", id="line-feed-alone"),
    ],
)
def test_what_is_no_proper_request_gets_400_with_an_id(serve, request_bytes):
    with serve().connect() as client:
        client.send(request_bytes)
        reply = client.read()
        assert reply.status == 400
        assert reply.json() == {
            "error": "invalid_request",
            "error_description": "the request is malformed",
            "error_id": reply.headers["x-request-id"],
        }


@pytest.mark.parametrize(("size", "status"), [(30_000, 200), (40_000, 431), (400_000, 431)])
def test_a_head_over_32_kib_is_refused(serve, size, status):
    worker = serve()
    with worker.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"X-Long: " + b"x" * size + b"\r\n\r\n")
        assert client.read().status == status


def test_a_header_without_end_is_refused_while_it_still_comes(serve):
    worker = serve(caps=Caps())
    with worker.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nX-Endless: ")
        for _ in range(40):
            client.send(b"x" * 1000)
        assert _refusal(client, 431) == "invalid_request"
    worker.app.serving_observer.wait_for("refused", "plain", 431, "head_too_large")


@pytest.mark.parametrize(("count", "status"), [(98, 200), (101, 431)])
def test_more_than_100_fields_are_refused(serve, count, status):
    with serve().connect() as client:
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * count + b"\r\n")
        assert client.read().status == status


@pytest.mark.parametrize(("size", "status"), [(65536, 200), (65537, 413)])
def test_a_body_over_64_kib_is_refused_by_its_length_before_it_is_sent(serve, size, status):
    with serve().connect() as client:
        client.send(_post(b"Content-Length: %d" % size))
        if status == 200:
            client.send(b"x" * size)
        assert client.read().status == status


@pytest.mark.parametrize(("chunks", "status"), [(16, 200), (17, 413)])
def test_a_body_over_64_kib_is_refused_also_in_chunks(serve, chunks, status):
    with serve().connect() as client:
        client.send(_post(b"Transfer-Encoding: chunked"))
        client.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        client.send((b"1000\r\n" + b"x" * 4096 + b"\r\n") * (chunks - 1) + b"0\r\n\r\n")
        assert client.read().status == status


def test_chunk_extensions_do_not_pass_the_cap(serve):
    with serve().connect() as client:
        client.send(_post(b"Transfer-Encoding: chunked"))
        client.send(b"1;" + b"x" * 1_000_000)
        assert _refusal(client, 413) == "invalid_request"


def test_a_client_that_expects_100_continue_learns_at_once_that_its_body_is_too_large(serve):
    with serve().connect() as client:
        client.send(_post(b"Expect: 100-continue", b"Content-Length: 70000"))
        assert _refusal(client, 413) == "invalid_request"


def test_a_client_that_sends_all_of_a_body_too_large_still_gets_its_answer(serve):
    with serve().connect() as client:
        client.send(_post(b"Content-Length: 500000", body=b"x" * 500_000))
        assert _refusal(client, 413) == "invalid_request"


def test_a_large_pipelined_body_before_a_head_in_pieces_is_no_large_head(serve):
    with serve().connect() as client:
        client.send(_post(b"Content-Length: 60000", body=b"x" * 60_000) + b"GET /next HTTP/1.1\r\nHo")
        assert client.read().status == 200
        client.send(b"st: a\r\n\r\n")
        assert client.read().json()["PATH_INFO"] == "/next"


def test_a_head_that_trickles_is_refused_at_its_deadline(serve):
    worker = serve(deadlines=Deadlines(head=0.3))
    with worker.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        client.socket.settimeout(0.02)
        for _ in range(500):
            try:
                if client.socket.recv(1, 2):
                    break
            except TimeoutError:
                client.send(b"X")
        client.socket.settimeout(10)
        assert _refusal(client, 408) == "invalid_request"
    worker.app.serving_observer.wait_for("refused", "plain", 408, "head_too_slow")


def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word(serve):
    with serve(deadlines=Deadlines(head=0.2)).connect() as client:
        assert client.wait_until_closed() == b""


def test_a_connection_that_only_sends_empty_lines_is_closed(serve):
    with serve(deadlines=Deadlines(head=0.3)).connect() as client:
        client.send(b"\r\n\r\n")
        assert client.wait_until_closed() == b""


def test_a_body_that_does_not_come_is_refused_at_its_deadline(serve):
    worker = serve(deadlines=Deadlines(body=0.3))
    with worker.connect() as client:
        client.send(_post(b"Content-Length: 10", body=b"half"))
        assert _refusal(client, 408) == "invalid_request"
    worker.app.serving_observer.wait_for("refused", "plain", 408, "body_too_slow")


def test_a_body_that_comes_in_two_halves_in_time_is_served(serve):
    with serve().connect() as client:
        client.send(_post(b"Content-Length: 10", body=b"half"))
        client.send(b"whole!")
        assert client.read().json()["body_sha256"] == hashlib.sha256(b"halfwhole!").hexdigest()


def test_an_idle_connection_is_closed_after_the_keep_alive_time(serve):
    with serve(deadlines=Deadlines(keep_alive=0.2)).connect() as client:
        assert client.get().status == 200
        assert client.wait_until_closed() == b""


def test_the_head_deadline_of_a_kept_connection_begins_with_its_first_byte(serve):
    with serve(deadlines=Deadlines(head=0.2, keep_alive=8)).connect() as client:
        assert client.get().status == 200
        client.send(b"GET")
        assert _refusal(client, 408) == "invalid_request"


def test_half_sent_bodies_hold_no_one_up(serve):
    worker = serve(threads=2)
    held = [worker.connect() for _ in range(200)]
    for connection in held:
        connection.send(_post(b"Content-Length: 10", body=b"half"))
    with worker.connect() as client:
        assert [client.get().status for _ in range(50)] == [200] * 50
    for connection in held:
        connection.send(b"whole!")
    assert [connection.read().status for connection in held] == [200] * 200
    for connection in held:
        connection.socket.close()


def test_a_client_that_does_not_read_its_answer_is_dropped_in_the_end(serve):
    worker = serve(deadlines=Deadlines(write=0.3))
    with worker.connect() as client:
        client.send(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.socket.recv(1) == b"H"
        worker.app.serving_observer.forget_load()
        worker.app.serving_observer.wait_for_load(connections=0)
        assert len(client.wait_until_closed()) < 8 * 1024 * 1024


def test_a_client_that_reads_gets_a_large_answer_whole(serve):
    with serve().connect() as client:
        assert len(client.get("/large").body) == 8 * 1024 * 1024
        assert client.get().status == 200


def test_a_failing_application_is_a_500_with_an_id_and_no_word_of_why(serve, caplog):
    with serve().connect() as client:
        reply = client.get("/fail")
        assert reply.status == 500
        assert reply.json() == {
            "error": "server_error",
            "error_description": "the service failed to answer",
            "error_id": reply.headers["x-request-id"],
        }
        assert client.get().status == 200
    assert "the application's own fault" in caplog.text


def test_an_answer_with_a_line_break_in_a_field_never_leaves(serve):
    with serve().connect() as client:
        reply = client.get("/injection")
    assert reply.status == 500
    assert "set-cookie" not in reply.headers
