"""The end of a worker: what has begun is answered, what has not is closed, the application finishes last."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import running_worker
from serving_probe import Probe

from bridge.serving.options import Deadlines

HOST = b"Host: localhost\r\n"


def test_a_request_in_service_is_answered_and_then_the_connection_ends(serve):
    worker = serve(threads=2, app=Probe())
    client, idle = worker.connect(), worker.connect()
    assert idle.get().status == 200
    client.send(b"GET /wait/gate HTTP/1.1\r\n" + HOST + b"\r\n")
    assert worker.app.arrived.acquire(timeout=10)
    worker.drain()
    assert idle.wait_until_closed() == b""
    assert worker.app.calls == []
    worker.app.gate("gate").set()
    reply = client.read()
    assert reply.status == 200
    assert reply.headers["connection"] == "close"
    assert client.wait_until_closed() == b""
    worker.join()
    assert worker.app.calls == ["close"]


def test_a_request_of_which_half_is_here_is_still_answered(serve):
    worker = serve(threads=2, app=Probe())
    client, idle = worker.connect(), worker.connect()
    assert idle.get().status == 200
    client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert client.read(head_only=True).status == 100
    worker.drain()
    assert idle.wait_until_closed() == b""
    client.send(b"rest")
    assert client.read().status == 200
    assert client.wait_until_closed() == b""


def test_a_connection_just_made_may_still_ask_once(tls_options, client_tls):
    with running_worker(tls_options, Probe()) as worker:
        idle, fresh = worker.connect(tls=client_tls()), worker.connect(tls=client_tls())
        assert idle.get().status == 200
        worker.drain()
        idle.wait_until_closed()
        reply = fresh.get()
        assert (reply.status, reply.headers["connection"]) == (200, "close")


def test_pipelined_requests_are_all_answered(serve):
    worker = serve(threads=1, app=Probe())
    client, idle = worker.connect(), worker.connect()
    assert idle.get().status == 200
    client.send(b"GET /wait/gate HTTP/1.1\r\n" + HOST + b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert worker.app.arrived.acquire(timeout=10)
    worker.drain()
    assert idle.wait_until_closed() == b""
    worker.app.gate("gate").set()
    assert [client.read().status for _ in range(2)] == [200, 200]
    assert client.wait_until_closed() == b""


@pytest.mark.parametrize("held", [True, False], ids=["beyond-the-drain", "within-it"])
def test_a_drain_does_not_wait_for_ever(tls_options, held):
    options = replace(tls_options, certificate=None, private_key=None, mtls_listen=None, plain_http=True)
    with running_worker(replace(options, deadlines=Deadlines(drain=1)), Probe()) as worker:
        client = worker.connect()
        client.send(b"GET /wait/gate HTTP/1.1\r\n" + HOST + b"\r\n")
        assert worker.app.arrived.acquire(timeout=10)
        worker.drain()
        if held:
            assert client.wait_until_closed() == b""
        worker.app.gate("gate").set()
        worker.join()
        assert worker.app.calls == ["close"]
        assert worker.server.drained is not held
