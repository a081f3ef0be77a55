"""One message to a receiver, and the receivers that harm nobody: tarpits, redirects, endless bodies, other people's
certificates (T-6)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from bridge.fetch.delivering import Answered, Deliveries
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault
from tests.unit.fetch.tls_server import CA, HOST, OLD_CA, Answer, Names, TlsServer, http, sends

LOOPBACK = Names(["127.0.0.1"])
BODY = b'{"type":"ping"}'
LONG, SHORT = 20.0, 0.3


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    file.write_bytes(CA.certificate_pem)
    return str(file)


def post(server: TlsServer, ca_file: str | None, **options: Any) -> Answered:
    given = {"resolve": LOOPBACK, "seconds": LONG, **options}
    return Deliveries(server.url("/hook?a=1"), ca_file=ca_file, **given).post(BODY, {"webhook-id": "msg_1"})


def test_a_message_is_sent_whole_with_its_headers_and_no_more(ca_file: str) -> None:
    with TlsServer(sends(http(b"", "204 No Content"))) as server:
        assert post(server, ca_file) == Answered(204, "")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == BODY
    line, *fields = head.decode().split("\r\n")
    assert line == "POST /hook?a=1 HTTP/1.1"
    assert {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)} == {
        "host": f"{HOST}:{server.port}",
        "user-agent": "spiffe-oauth-bridge",
        "accept-encoding": "identity",
        "connection": "close",
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "content-length": str(len(BODY)),
    }


def endless(stream: ssl.SSLSocket) -> None:
    stream.sendall(b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\n\r\n<html>")
    while True:
        stream.sendall(b"<p>" * 1000)


@pytest.mark.parametrize(
    ("answer", "answered"),
    [
        (sends(http(b"<html>", "500 Oops", content_type="text/html")), Answered(500, "")),
        (endless, Answered(500, "")),
        (sends(http(b"", "429 Slow", retry_after="30")), Answered(429, "30")),
        (sends(http(b"", "503 Slow", retry_after="9" * 65)), Answered(503, "")),
        (sends(b"HTTP/1.1 100 Continue\r\n\r\n" + http()), Answered(200, "")),
        (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), Answered(200, "")),
        (sends(http(b"", "410 Gone")), Answered(410, "")),
    ],
    ids=["html", "endless", "retry-after", "long retry-after", "interim", "announced", "gone"],
)
def test_of_an_answer_the_status_alone_is_read(ca_file: str, answer: Answer, answered: Answered) -> None:
    with TlsServer(answer) as server:
        assert post(server, ca_file) == answered


def test_a_redirect_is_not_followed(ca_file: str) -> None:
    with TlsServer() as other, TlsServer(sends(http(b"", "307 There", location=other.url()))) as server:
        assert post(server, ca_file).status == 307
        assert (server.connections, other.connections) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda stream: stream.recv(1), NetworkFault.TIMEOUT),
        (sends(b""), NetworkFault.CUT),
        (sends(b"HTTP/1.1 200"), NetworkFault.CUT),
        (sends(b"SSH-2.0-x\r\n\r\n"), DocumentFault.MALFORMED),
        (sends(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 40_000 + b"\r\n\r\n"), DocumentFault.TOO_LARGE),
        (sends(b"HTTP/1.1 102 Wait\r\n\r\n" * 5000), DocumentFault.TOO_LARGE),
    ],
    ids=["tarpit", "nothing", "half", "no http", "long head", "interim for ever"],
)
def test_who_does_not_answer_as_a_server_does_is_told_by_what_is_wrong(
    ca_file: str, answer: Answer, fault: DocumentFault | NetworkFault
) -> None:
    with TlsServer(answer) as server:
        with pytest.raises((DocumentFailure, NetworkFailure)) as failed:
            post(server, ca_file, seconds=SHORT if fault is NetworkFault.TIMEOUT else LONG)
    assert isinstance(failed.value, DocumentFailure | NetworkFailure)
    assert failed.value.fault is fault


@pytest.mark.parametrize("wrong", ["name", "ca", "expired"])
def test_nothing_is_sent_to_a_server_that_is_not_the_one(ca_file: str, wrong: str) -> None:
    options: dict[str, Any] = {"hosts": ["other.example"]} if wrong == "name" else {}
    if wrong == "expired":
        options["authority"] = OLD_CA
    with TlsServer(**options) as server:
        with pytest.raises(NetworkFailure) as failed:
            post(server, None if wrong == "ca" else ca_file)
    assert failed.value.fault is NetworkFault.TLS
    assert server.requests == []


def test_a_name_without_address_and_a_port_without_server_fail_on_the_way(ca_file: str) -> None:
    with TlsServer() as server:
        with pytest.raises(NetworkFailure) as failed:
            post(server, ca_file, resolve=Names([]))
        assert failed.value.fault is NetworkFault.RESOLVE
        url = server.url()
    with pytest.raises(NetworkFailure) as failed:
        Deliveries(url, ca_file=ca_file, resolve=LOOPBACK).post(BODY, {})
    assert failed.value.fault is NetworkFault.CONNECT


def test_what_holds_no_certificate_is_no_ca_file(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.touch()
    with pytest.raises(OSError):
        Deliveries("https://hooks.example/", ca_file=str(empty))


@pytest.mark.parametrize("url", ["http://hooks.example/", "https://user@hooks.example/", "ftp://hooks.example/"])
def test_another_url_is_none(url: str) -> None:
    with pytest.raises(DocumentFailure):
        Deliveries(url)
