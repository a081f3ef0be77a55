"""`guarded_post`: a form and the answer to it, under the rules of a guarded fetch."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from bridge.fetch.exchange import Fetched
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault
from bridge.fetch.fetcher import Fetcher, Purpose
from bridge.fetch.guarded import guarded_post
from bridge.fetch.guards import AddressGuard, OperatorsAddress
from bridge.fetch.slots import ThreadShare
from tests.unit.fetch.tls_server import CA, HOST, Names, TlsServer, http, sends, trusting

CONTEXT = trusting(CA)
LOOPBACK = Names(["127.0.0.1"])
FORM = b"grant_type=authorization_code&code=c"
LONG, SHORT = 20.0, 0.3


def post(server: TlsServer, **options: Any) -> Fetched:
    given = {"guard": OperatorsAddress(), "resolve": LOOPBACK, "context": CONTEXT, "seconds": LONG, **options}
    return guarded_post(server.url("/token?tenant=1"), **{"form": FORM, "authorization": None, **given})


def test_a_form_is_sent_whole_and_no_more_than_it_must_say() -> None:
    with TlsServer() as server:
        assert post(server, authorization="Basic eDp5").body == b'{"a": 1}'
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == FORM
    line, *fields = head.decode().split("\r\n")
    assert line == "POST /token?tenant=1 HTTP/1.1"
    named = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    assert named == {
        "host": f"{HOST}:{server.port}",
        "user-agent": "spiffe-oauth-bridge",
        "accept": "application/json, */*;q=0.1",
        "accept-encoding": "identity",
        "connection": "close",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(len(FORM)),
        "authorization": "Basic eDp5",
    }


def test_without_a_credential_none_is_sent() -> None:
    with TlsServer() as server:
        post(server)
    assert b"authorization:" not in server.requests[0].lower()


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "401 Unauthorized", "403 Forbidden"])
def test_an_answer_says_how_it_went_in_its_body(status: str) -> None:
    with TlsServer(sends(http(b'{"error": "x"}', status))) as server:
        answer = post(server)
    assert (answer.status, answer.body) == (int(status.split()[0]), b'{"error": "x"}')


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect", "302 Found"])
def test_a_form_goes_nowhere_else_T_2(status: str) -> None:
    with TlsServer() as other, TlsServer(sends(http(b"", status, location=other.url()))) as server:
        with pytest.raises(DocumentFailure) as failure:
            post(server)
        assert failure.value.fault is DocumentFault.REDIRECT
        assert other.connections == 0


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (http(b"", "304 Not Modified"), DocumentFault.STATUS),
        (http(b"", "404 Not Found"), DocumentFault.STATUS),
        (http(b"x" * 6000), DocumentFault.TOO_LARGE),
        (http(content_type="text/html"), DocumentFault.MEDIA_TYPE),
    ],
)
def test_an_answer_that_is_none_is_refused_T_6(answer: bytes, fault: DocumentFault) -> None:
    with TlsServer(sends(answer)) as server, pytest.raises(DocumentFailure) as failure:
        post(server)
    assert failure.value.fault is fault


def test_a_server_that_is_ill_or_slow_is_the_network_s_fault() -> None:
    with TlsServer(sends(http(b"", "502 Bad Gateway"))) as server, pytest.raises(NetworkFailure) as failure:
        post(server)
    assert failure.value.fault is NetworkFault.SERVER

    def silent(stream: ssl.SSLSocket) -> None:
        server.ending.wait(5)

    with TlsServer(silent) as server:
        with pytest.raises(NetworkFailure) as failure:
            post(server, seconds=SHORT)
        server.ending.set()
    assert failure.value.fault is NetworkFault.TIMEOUT


def test_an_inner_address_hears_nothing_unless_an_operator_named_it_T_1() -> None:
    with TlsServer() as server:
        with pytest.raises(DocumentFailure) as failure:
            post(server, guard=AddressGuard())
        assert (failure.value.fault, server.connections) == (DocumentFault.ADDRESS, 0)
        assert post(server, guard=AddressGuard(frozenset({f"{HOST}:{server.port}"}))).status == 200


def fetcher(**options: Any) -> Fetcher:
    return Fetcher(at_once=4, threads=ThreadShare(8), context=CONTEXT, resolve=LOOPBACK, seconds=LONG, **options)


def test_the_fetcher_sends_each_form_by_itself_and_counts_it() -> None:
    seen: list[tuple[str, str]] = []
    with TlsServer() as server:
        sending = fetcher(observe=lambda purpose, outcome, seconds: seen.append((purpose.value, outcome)))
        for _ in range(2):
            sending.post_configured(server.url("/token"), purpose=Purpose.LOGIN, form=FORM)
    # The same form twice is sent twice: it may mean something else the second time.
    assert len(server.requests) == 2
    assert seen == [("login", "200")] * 2


def test_the_fetcher_sends_nothing_inside_that_the_configuration_does_not_name_T_1() -> None:
    with TlsServer() as server:
        with pytest.raises(DocumentFailure):
            fetcher().post(server.url("/token"), purpose=Purpose.LOGIN, form=FORM)
        assert server.connections == 0
        exempt = fetcher(allow_hosts=frozenset({f"{HOST}:{server.port}"}))
        assert exempt.post(server.url("/token"), purpose=Purpose.LOGIN, form=FORM).status == 200
