"""Messages to a collector of traces: where they may go, with which headers, and what its answers mean."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest

from bridge.fetch.collecting import TraceCollector, read_headers
from bridge.fetch.failures import DocumentFailure, NetworkFailure
from bridge.lab.web_ca import WebCa
from bridge.model.errors import StartRefused
from tests.collector import Collector


def headers_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "collector.headers"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_message_arrives_with_the_headers_of_the_file(tmp_path: Path) -> None:
    path = headers_file(tmp_path, "Authorization: Bearer one\n\nX-Scope-OrgID:  team a \n")
    with Collector() as collector:
        way = TraceCollector(collector.url, headers_file=path)
        way.send(b"")
        headers_file(tmp_path, "Authorization: Bearer the-second\n")
        way.send(b"")
        headers_file(tmp_path, "no header\n")
        with pytest.raises(NetworkFailure, match=r"collector\.headers:1"):
            way.send(b"")
    first, second = collector.headers
    assert (first["authorization"], first["x-scope-orgid"]) == ("Bearer one", "team a")
    assert (second["authorization"], "x-scope-orgid" in second) == ("Bearer the-second", False)
    assert first["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize(
    "text",
    ["Bearer abc", "Host: elsewhere", "Content-Length: 5", "A B: c", "A: b\x00c", "A: é", "A:"],
)
def test_a_file_that_holds_something_else_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    with pytest.raises(StartRefused) as refused:
        read_headers(headers_file(tmp_path, text))
    assert "collector.headers" in str(refused.value)
    assert "abc" not in str(refused.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    assert read_headers(headers_file(tmp_path, "A: b")) == (("A", "b"),)
    with pytest.raises(StartRefused, match="0600"):
        read_headers(headers_file(tmp_path, "A: b", 0o644))


def tls(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's certificate for loopback, and the CA to know it by."""
    ca = WebCa(now=int(time.time()))
    chain, key = ca.issue(["127.0.0.1"])
    for name, content in (("server.pem", chain), ("server.key", key), ("ca.pem", ca.certificate_pem)):
        (folder / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context, folder / "ca.pem"


def test_https_needs_a_certificate_of_a_known_ca(tmp_path: Path) -> None:
    context, ca_file = tls(tmp_path)
    with Collector(context) as collector:
        TraceCollector(collector.url, ca_file=str(ca_file)).send(b"")
        with pytest.raises(NetworkFailure, match="tls"):
            TraceCollector(collector.url).send(b"")
    assert len(collector.raw) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (202, None),
        (307, DocumentFailure),
        (401, DocumentFailure),
        (404, DocumentFailure),
        (429, NetworkFailure),
        (503, NetworkFailure),
    ],
)
def test_what_the_collector_answers_is_looked_at(status: int, error: type[Exception] | None) -> None:
    with Collector(status=status) as collector:
        way = TraceCollector(collector.url)
        if error is None:
            way.send(b"")
        else:
            with pytest.raises(error, match=str(status)):
                way.send(b"")
    assert len(collector.raw) == 1, "no redirect is followed and nothing repeated"


def test_a_collector_that_says_nothing_has_its_time() -> None:
    with Collector(hangs=True) as collector:
        with pytest.raises(NetworkFailure, match="timeout"):
            TraceCollector(collector.url, seconds=0.3).send(b"")


def test_nobody_there_is_a_failure_of_the_network() -> None:
    with Collector() as collector:
        url = collector.url
    with pytest.raises(NetworkFailure, match="connect"):
        TraceCollector(url).send(b"")
