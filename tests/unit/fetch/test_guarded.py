"""`guarded_get` against real TLS servers: every refusal beside the good answer it differs from in one thing."""

from __future__ import annotations

import gzip
import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest

from bridge.fetch.deadline import Deadline
from bridge.fetch.exchange import MAX_HEAD_BYTES, Fetched, is_etag
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault
from bridge.fetch.guarded import MAX_BYTES, guarded_get, place_of
from bridge.fetch.guards import AddressGuard, OperatorsAddress
from bridge.lab.web_ca import WebCa
from bridge.model.errors import EvidenceRejected, Unavailable
from tests.unit.fetch.tls_server import (
    CA,
    HOST,
    OLD_CA,
    Names,
    OnlyFirstLoopback,
    TlsServer,
    http,
    sends,
    trusting,
)

CONTEXT = trusting(CA)
LOOPBACK = Names(["127.0.0.1"])
# Long enough for every good answer on a slow machine, short where an answer will never come.
LONG, SHORT = 20.0, 0.3


def get(url: str, **options: Any) -> Fetched:
    options = {"guard": OperatorsAddress(), "resolve": LOOPBACK, "context": CONTEXT, "seconds": LONG, **options}
    return guarded_get(url, **options)


def document_fault(url: str, **options: Any) -> DocumentFault:
    with pytest.raises(DocumentFailure) as failure:
        get(url, **options)
    assert isinstance(failure.value, EvidenceRejected)
    return failure.value.fault


def network_fault(url: str, **options: Any) -> NetworkFault:
    with pytest.raises(NetworkFailure) as failure:
        get(url, **options)
    assert isinstance(failure.value, Unavailable)
    assert failure.value.retry_after > 0
    return failure.value.fault


def answered(data: bytes, **options: Any) -> Fetched:
    with TlsServer(sends(data)) as server:
        fetched = get(server.url(), **options)
        assert len(server.requests) == 1
        return fetched


def refused(data: bytes, **options: Any) -> DocumentFault:
    with TlsServer(sends(data)) as server:
        fault = document_fault(server.url(), **options)
        assert len(server.requests) == 1
        return fault


# --- the request ------------------------------------------------------------------------------------


def test_one_request_says_no_more_than_it_must_T_1(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with TlsServer() as server:
        fetched = get(server.url("/a/b?c=d"))
    assert (fetched.status, fetched.body) == (200, b'{"a": 1}')
    (request,) = server.requests
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /a/b?c=d HTTP/1.1"
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    assert headers == {
        "host": f"{HOST}:{server.port}",
        "user-agent": "spiffe-oauth-bridge",
        "accept": "application/json, */*;q=0.1",
        "accept-encoding": "identity",
        "connection": "close",
    }


@pytest.mark.parametrize(
    ("url", "server", "authority", "target"),
    [
        ("https://a.example/c", "a.example:443", "a.example", "/c"),
        ("https://a.example", "a.example:443", "a.example", "/"),
        ("https://a.example?q", "a.example:443", "a.example", "/?q"),
        ("https://a.example:8443/c?d=/e", "a.example:8443", "a.example:8443", "/c?d=/e"),
        ("https://[2001:db8::1]:444/", "[2001:db8::1]:444", "[2001:db8::1]:444", "/"),
    ],
)
def test_a_url_is_taken_apart_as_it_is_written(url: str, server: str, authority: str, target: str) -> None:
    place = place_of(url)
    assert (place.server, place.authority, place.target) == (server, authority, target)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("http://docs.example/c", id="http"),
        pytest.param("HTTPS://docs.example/c", id="scheme in capitals"),
        pytest.param("https://u@docs.example/c", id="T-7: user part"),
        pytest.param("https://docs.example@127.0.0.1/c", id="T-7: a host as user part"),
        pytest.param("https://docs.example\\@127.0.0.1/c", id="T-7: backslash"),
        pytest.param("https://docs.example/a/../c", id="CIMD-1: dot segment"),
        pytest.param("https://docs.example/%2e%2e/c", id="CIMD-2: encoded dot segment"),
        pytest.param("https://docs.example/c#d", id="fragment"),
        pytest.param("https://docs.example/c\r\nHost: inner", id="line break"),
        pytest.param("https://Docs.example/c", id="host in capitals"),
        pytest.param("https://docs.example:0443/c", id="odd port"),
        pytest.param("https://docs.example:0/c", id="port 0"),
        pytest.param("https://docs.example:65536/c", id="port too high"),
        pytest.param("https://docs.example:/c", id="empty port"),
        pytest.param("https://127.1/c", id="short address"),
        pytest.param("https://0x7f000001/c", id="hexadecimal address"),
        pytest.param("https://2130706433/c", id="decimal address"),
        pytest.param("https://[::ffff:127.0.0.1]/c", id="mapped address"),
        pytest.param("https://[fe80::1%25lo]/c", id="zone"),
        pytest.param("file:///etc/passwd", id="file"),
    ],
)
def test_a_url_in_another_than_its_one_spelling_is_not_even_resolved_T_7_CIMD_1(text: str) -> None:
    names = Names(["127.0.0.1"])
    assert document_fault(text, resolve=names) is DocumentFault.URL
    assert names.asked == []


# --- where it goes ----------------------------------------------------------------------------------


def test_a_host_is_resolved_once_and_its_checked_address_is_the_one_that_is_asked_T_3_CIMD_11() -> None:
    with TlsServer() as outer, TlsServer(address="127.0.0.2", port=outer.port) as inner:
        rebinding = Names(["127.0.0.1"], ["127.0.0.2"])
        assert get(outer.url(), guard=OnlyFirstLoopback(), resolve=rebinding).status == 200
        assert rebinding.asked == [(HOST, outer.port)]
        assert document_fault(outer.url(), guard=OnlyFirstLoopback(), resolve=rebinding) is DocumentFault.ADDRESS
    assert (outer.connections, inner.connections) == (1, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_one_inner_address_spoils_the_public_ones_T_1_CIMD_11(order: int) -> None:
    with TlsServer() as outer, TlsServer(address="127.0.0.2", port=outer.port) as inner:
        mixed = Names(["127.0.0.1", "127.0.0.2"][::order])
        assert document_fault(outer.url(), guard=OnlyFirstLoopback(), resolve=mixed) is DocumentFault.ADDRESS
        assert (outer.connections, inner.connections) == (0, 0)
        assert get(outer.url(), guard=OnlyFirstLoopback()).status == 200


def test_inner_hosts_hear_nothing_unless_they_are_exempt_by_host_and_port_T_1_CIMD_13() -> None:
    with TlsServer() as server:
        for guard in (AddressGuard(), AddressGuard(frozenset({f"{HOST}:443", "127.0.0.1:443", HOST}))):
            assert document_fault(server.url(), guard=guard) is DocumentFault.ADDRESS
            assert document_fault(server.url(host="127.0.0.1"), guard=guard) is DocumentFault.ADDRESS
        assert server.connections == 0
        exempt = AddressGuard(frozenset({f"{HOST}:{server.port}"}))
        assert get(server.url(), guard=exempt).status == 200
        assert document_fault(server.url(host="127.0.0.1"), guard=exempt) is DocumentFault.ADDRESS
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [["8.8.8.8", "10.0.0.1"], ["::ffff:8.8.8.8"], ["fe80::1%lo"], ["2001:4860:4860::8888", "64:ff9b::a00:1"]],
    ids=["public and private", "mapped", "scoped", "public and NAT64 of private"],
)
def test_names_that_lead_inside_are_refused_T_1(answer: Sequence[str]) -> None:
    assert (
        document_fault("https://docs.example/c", guard=AddressGuard(), resolve=Names(answer)) is DocumentFault.ADDRESS
    )


@pytest.mark.parametrize(("port", "is_good"), [(443, True), (1024, True), (8443, True), (22, False), (636, False)])
def test_ports_of_system_services_are_no_web_servers(port: int, is_good: bool) -> None:
    addresses = [IPv4Address("8.8.8.8")]
    if is_good:
        AddressGuard().check(HOST, port, addresses)
        return
    with pytest.raises(DocumentFailure) as failure:
        AddressGuard().check(HOST, port, addresses)
    assert failure.value.fault is DocumentFault.ADDRESS
    AddressGuard(frozenset({f"{HOST}:{port}"})).check(HOST, port, addresses)
    OperatorsAddress().check(HOST, port, addresses)


def test_the_next_address_is_tried_when_one_does_not_accept() -> None:
    with TlsServer() as server:
        assert get(server.url(), resolve=Names(["127.0.0.9", "127.0.0.1"])).status == 200
        assert network_fault(server.url(), resolve=Names(["127.0.0.9"])) is NetworkFault.CONNECT


def test_ipv6_literals_and_names_are_connected_to_by_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with TlsServer(address="::1") as server:
        assert get(server.url(host="[::1]")).status == 200
        assert get(server.url(), resolve=Names(["::1"])).status == 200
        assert b"Host: [::1]:" in server.requests[0]
        assert document_fault(server.url(host="[::1]"), guard=AddressGuard()) is DocumentFault.ADDRESS


# --- TLS --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "hosts", "is_good"),
    [
        pytest.param(CA, [HOST], True, id="good"),
        pytest.param(CA, ["other.example"], False, id="another name"),
        pytest.param(CA, ["127.0.0.1"], False, id="the address, not the name"),
        pytest.param(OLD_CA, [HOST], False, id="expired"),
        pytest.param(WebCa(now=1), [HOST], False, id="unknown CA"),
    ],
)
def test_the_server_has_to_prove_that_it_is_the_host_CIMD_11(
    authority: WebCa, hosts: Sequence[str], is_good: bool
) -> None:
    context = trusting(CA, OLD_CA)
    with TlsServer(authority=authority, hosts=hosts) as server:
        if is_good:
            assert get(server.url(), context=context).status == 200
        else:
            assert network_fault(server.url(), context=context) is NetworkFault.TLS
            assert server.requests == []


def test_the_name_is_sent_in_the_handshake_whatever_the_address() -> None:
    with TlsServer() as server:
        seen: list[str | None] = []
        server._context.sni_callback = lambda stream, name, context: seen.append(name)
        get(server.url())
        get(server.url(host="127.0.0.1"))
    assert seen == [HOST, None]


def test_a_port_that_speaks_no_tls_is_the_network_s_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://docs.example:{listener.getsockname()[1]}/"
        # Whoever does not accept lets the kernel answer the connection, and nobody the handshake.
        assert network_fault(url, seconds=SHORT) is NetworkFault.TIMEOUT


def test_old_tls_is_not_spoken() -> None:
    assert CONTEXT.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (CONTEXT.verify_mode, CONTEXT.check_hostname) == (ssl.CERT_REQUIRED, True)


# --- the answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_never_followed_T_2_CIMD_7(status: str) -> None:
    with TlsServer() as inner, TlsServer() as server:
        server.answer = sends(http(b"", status, location=inner.url()))
        assert document_fault(server.url()) is DocumentFault.REDIRECT
        assert (len(server.requests), inner.connections) == (1, 0)
        server.answer = sends(http())
        assert get(server.url()).status == 200


@pytest.mark.parametrize(
    "status",
    ["201 Created", "202 Accepted", "204 No Content", "206 Partial", "300 Choices", "304 Not Modified",
    "400 Bad", "401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone", "429 Too Many"]
)  # fmt: skip
def test_only_200_is_a_document_CIMD_6(status: str) -> None:
    length = None if status.startswith(("204", "304")) else 8
    data = http(b"" if length is None else b'{"a": 1}', status, content_length="" if length is None else "8")
    assert refused(data) is DocumentFault.STATUS


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "503 Unavailable", "504 Timeout"])
def test_a_server_that_says_it_is_ill_is_the_network_s_fault(status: str) -> None:
    with TlsServer(sends(http(b"x", status))) as server:
        assert network_fault(server.url()) is NetworkFault.SERVER


def test_304_revalidates_a_stored_copy_and_nothing_else_CIMD_6() -> None:
    data = http(b"", "304 Not Modified", content_length="", etag='"v2"', cache_control="max-age=60")
    with TlsServer(sends(data)) as server:
        fetched = get(server.url(), etag='"v1"')
        assert b'\r\nIf-None-Match: "v1"\r\n' in server.requests[0]
        assert (fetched.status, fetched.body, fetched.etag) == (304, b"", '"v2"')
        assert fetched.headers["cache-control"] == "max-age=60"
        assert document_fault(server.url()) is DocumentFault.STATUS
        assert document_fault(server.url(), etag='v1\r\nX: "y"') is DocumentFault.STATUS
        assert b"If-None-Match" not in server.requests[1] + server.requests[2]


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('""', True),
        ('"' + "a" * 254 + '"', True),
        ('"' + "a" * 255 + '"', False),
        ("a", False),
        ('"a', False),
        ('w/"a"', False),
        ('"a"b"', False),
        ('"a b"', False),
        ('"a"\n', False),
    ],
)
def test_only_entity_tags_go_into_a_request(text: str, is_good: bool) -> None:
    assert is_etag(text) is is_good


def test_a_document_of_exactly_the_limit_is_read_and_one_byte_more_is_not_T_6_CIMD_8() -> None:
    assert len(answered(http(b" " * MAX_BYTES)).body) == MAX_BYTES
    assert refused(http(b" " * (MAX_BYTES + 1))) is DocumentFault.TOO_LARGE
    assert len(answered(http(b" " * 9), max_bytes=9).body) == 9
    assert refused(http(b" " * 10), max_bytes=9) is DocumentFault.TOO_LARGE


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", extension: bytes = b"") -> bytes:
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return http(b"", transfer_encoding="chunked", content_length="") + body + end


def test_chunks_are_counted_and_so_is_their_framing_T_6_CIMD_8() -> None:
    assert answered(chunked(b" " * 5000, b" " * 120)).body == b" " * 5120
    assert refused(chunked(b" " * 5000, b" " * 121)) is DocumentFault.TOO_LARGE
    assert answered(chunked(*[b" "] * 300)).body == b" " * 300
    padded = chunked(*[b" "] * 300, extension=b";" + b"x" * 200)
    assert refused(padded, max_bytes=400) is DocumentFault.TOO_LARGE


def test_a_long_document_comes_in_few_chunks_or_not_at_all_T_6() -> None:
    """Each chunk takes time from everybody in this process: a million of them took eight seconds."""
    mebibyte = 1024 * 1024
    assert len(answered(chunked(*[b" " * 128] * (mebibyte // 128)), max_bytes=mebibyte).body) == mebibyte
    assert refused(chunked(*[b" "] * 40_000), max_bytes=mebibyte) is DocumentFault.TOO_LARGE


def test_a_body_without_a_length_ends_with_the_connection_if_tls_says_so() -> None:
    data = http(b'{"a": 1}', content_length="")
    assert answered(data).body == b'{"a": 1}'
    with TlsServer(sends(data), says_goodbye=False) as server:
        assert network_fault(server.url()) is NetworkFault.CUT


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-", id="half a head"),
        pytest.param(http(b'{"a"', length=8), id="half a body"),
        pytest.param(chunked(b"{}", end=b""), id="no last chunk"),
        pytest.param(chunked(b"{}", end=b"5\r\n{"), id="half a chunk"),
    ],
)
@pytest.mark.parametrize("says_goodbye", [True, False])
def test_an_answer_that_is_cut_off_is_the_network_s_fault(data: bytes, says_goodbye: bool) -> None:
    with TlsServer(sends(data), says_goodbye=says_goodbye) as server:
        assert network_fault(server.url()) is NetworkFault.CUT


def test_an_endless_body_is_left_at_the_limit_T_6_CIMD_8() -> None:
    sent = [0]

    def pour(stream: ssl.SSLSocket) -> None:
        stream.sendall(http(b"", content_length=""))
        while True:
            sent[0] += stream.send(b" " * 4096)

    with TlsServer(pour) as server:
        assert document_fault(server.url()) is DocumentFault.TOO_LARGE


@pytest.mark.parametrize("part", [b"x: y\r\n", b"x"], ids=["lines", "one line"])
def test_an_endless_head_is_left_at_its_limit_T_6(part: bytes) -> None:
    def pour(stream: ssl.SSLSocket) -> None:
        stream.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            stream.sendall(part * 512)

    with TlsServer(pour) as server:
        assert document_fault(server.url()) is DocumentFault.TOO_LARGE
    assert MAX_HEAD_BYTES < 64 * 1024


def test_interim_answers_are_passed_over_and_bounded_too() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
    assert answered(hint * 3 + http()).status == 200

    def pour(stream: ssl.SSLSocket) -> None:
        while True:
            stream.sendall(hint * 100)

    with TlsServer(pour) as server:
        assert document_fault(server.url()) is DocumentFault.TOO_LARGE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x-unknown"])
def test_an_encoded_body_is_refused_unread_T_6_CIMD_8(coding: str) -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    assert len(bomb) < MAX_BYTES
    assert refused(http(bomb, content_encoding=coding)) is DocumentFault.ENCODING
    assert answered(http(content_encoding="identity")).status == 200


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/cimd+json", "application/jwk-set+json ;x=y"],
)
def test_json_by_any_of_its_names_is_taken_CIMD_9(media_type: str) -> None:
    assert answered(http(content_type=media_type)).status == 200


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/html",
        "text/json",
        "application/jsonp",
        "application/+json",
        "application/json, text/html",
        "application/octet-stream",
        "application/json/x",
        "application/a+json+xml",
    ],
)
def test_another_content_type_is_refused_CIMD_9(media_type: str) -> None:
    assert refused(http(content_type=media_type)) is DocumentFault.MEDIA_TYPE


def test_two_content_types_are_none() -> None:
    data = http().replace(b"\r\n\r\n", b"\r\ncontent-type: text/html\r\n\r\n", 1)
    assert refused(data) is DocumentFault.MEDIA_TYPE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"SSH-2.0-x\r\n\r\n", id="another protocol"),
        pytest.param(b"<html></html>\r\n\r\n", id="HTTP/0.9"),
        pytest.param(http(content_length="8, 9"), id="two lengths"),
        pytest.param(http(content_length="-1"), id="negative length"),
        pytest.param(http(content_length="9" * 30), id="absurd length"),
        pytest.param(http(transfer_encoding="gzip, chunked", content_length=""), id="another transfer coding"),
        pytest.param(chunked(b"{}", end=b"zz\r\n"), id="no number of a chunk"),
        pytest.param(http(x="a\x00b"), id="NUL in a header"),
    ],
)
def test_what_is_no_http_is_malformed(data: bytes) -> None:
    assert refused(data) is DocumentFault.MALFORMED


def test_only_what_says_how_long_a_document_holds_is_kept_of_the_head() -> None:
    fetched = answered(
        http(set_cookie="a=b", cache_control="max-age=60", etag='W/"1"', expires="0", age="3", x_huge="x" * 9000)
    )
    assert set(fetched.headers) == {"content-type", "cache-control", "etag", "expires", "age"}
    assert fetched.etag == 'W/"1"'
    assert answered(http(etag="unquoted")).etag is None
    twice = http(cache_control="no-store").replace(b"\r\n\r\n", b"\r\nCache-Control: max-age=5\r\n\r\n", 1)
    assert answered(twice).headers["cache-control"] == "no-store, max-age=5"


def test_no_failure_says_what_the_server_sent_T_1() -> None:
    with TlsServer(sends(http(b"secret", "404 secret", x="secret"))) as server:
        with pytest.raises(DocumentFailure) as failure:
            get(server.url())
    assert "secret" not in str(failure.value)
    assert "secret" not in failure.value.public


# --- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [http(b" " * 4000), chunked(*[b" "] * 500)], ids=["head and body", "chunks"])
def test_a_trickle_does_not_stretch_the_deadline_T_6_CIMD_16(whole: bytes) -> None:
    with TlsServer() as server:

        def drip(stream: ssl.SSLSocket) -> None:
            for byte in whole:
                if server.ending.wait(0.01):
                    return
                stream.send(bytes([byte]))

        server.answer = drip
        assert network_fault(server.url(), seconds=SHORT) is NetworkFault.TIMEOUT


def test_a_server_that_says_nothing_is_left_in_time_T_6_CIMD_16() -> None:
    with TlsServer() as server:

        def say_nothing(stream: ssl.SSLSocket) -> None:
            server.ending.wait(20)

        server.answer = say_nothing
        assert network_fault(server.url(), seconds=SHORT) is NetworkFault.TIMEOUT


def test_a_host_that_accepts_no_connection_has_its_own_shorter_time_CIMD_16() -> None:
    # A listener whose queue is full: the kernel drops what comes, as a filtering router does.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        fault = network_fault(f"https://docs.example:{address[1]}/", connect_seconds=0.1)
        for one in waiting:
            one.close()
    assert fault is NetworkFault.CONNECT


def test_time_that_resolution_took_is_gone() -> None:
    moments = iter([0.0, 1.0, 99.0, 99.0])
    assert network_fault("https://docs.example/", clock=lambda: next(moments), seconds=5) is NetworkFault.TIMEOUT


@pytest.mark.parametrize(
    ("error", "fault"),
    [(TimeoutError(), NetworkFault.TIMEOUT), (socket.gaierror(socket.EAI_NONAME, "no"), NetworkFault.RESOLVE)],
)
def test_a_name_that_cannot_be_resolved_is_the_network_s_fault_T_3(error: OSError, fault: NetworkFault) -> None:
    def fail(host: str, port: int, seconds: float) -> Sequence[str]:
        raise error

    assert network_fault("https://docs.example/", resolve=fail) is fault


@pytest.mark.parametrize("answer", [[], ["127.0.0.1", "inner.example"], [""]], ids=["none", "a name", "empty"])
def test_an_odd_answer_of_a_resolver_fails_closed_T_3(answer: Sequence[str]) -> None:
    assert network_fault("https://docs.example/", resolve=Names(answer)) is NetworkFault.RESOLVE


def test_a_deadline_gives_what_is_left_and_no_more() -> None:
    clock = iter([10.0, 11.0, 12.0, 15.0]).__next__
    deadline = Deadline.after(5, clock)
    assert deadline.remaining() == 4
    assert deadline.remaining(2) == 2
    with pytest.raises(NetworkFailure):
        deadline.remaining()
