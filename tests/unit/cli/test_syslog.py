"""`bridge audit export --syslog`: one row, one message, on every way, whatever stands in the row."""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cli.audit import export_ways
from bridge.cli.audit.export_ways import Syslog, ToldToStop
from bridge.cli.audit.rows import row_fields
from bridge.cli.audit.syslog_message import LEAST_SIZE, Origin, row_message
from bridge.cli.audit.syslog_wire import StreamWire, WireBroken, destination_of
from bridge.cli.options import Failure
from bridge.cli.stopping import Stop
from bridge.lab.web_ca import WebCa
from bridge.model.audit import AuditEvent, AuditEventKind, AuditRow
from bridge.model.inert import inert
from bridge.store.ports import Store
from tests.unit.cli.conftest import NOW, Run
from tests.unit.cli.syslog_receiver import Receiver, connections, datagrams, frames, parsed

HOSTILE = '\n<34>1 2026-01-01T00:00:00Z host su - ID47 - forged\r\n5 <0>1 \x1b[2J\x00\u202e]"\\ [x@1 a="b"] 😀 é'
ORIGIN = Origin(10, "host.example", "bridge", "", 8192)


def event(kind: AuditEventKind = AuditEventKind.REFUSED, **fields: Any) -> AuditEvent:
    return AuditEvent(**{"id": "id-1", "time": NOW, "event": kind, **fields})


def row(**fields: Any) -> AuditRow:
    return AuditRow(7, "abc123", 3, "ab" * 32, event(**fields))


@pytest.fixture
def web_ca(folder: Path) -> WebCa:
    ca = WebCa(now=int(time.time()))
    (folder / "ca.pem").write_bytes(ca.certificate_pem)
    (folder / "other.pem").write_bytes(WebCa(now=int(time.time())).certificate_pem)
    certificate, key = ca.issue(["127.0.0.1"])
    (folder / "server.pem").write_bytes(certificate + key)
    return ca


def serving(way: str, folder: Path, short: Path) -> AbstractContextManager[Receiver]:
    if way in ("unix", "udp"):
        return datagrams(short if way == "unix" else None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if way == "tls":
        context.load_cert_chain(folder / "server.pem")
    return connections(context if way == "tls" else None)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="syslog") as folder:
        yield Path(folder)


@pytest.mark.parametrize("way", ["unix", "udp", "tcp", "tls"])
def test_every_row_arrives_as_one_message_on_every_way(
    run: Run, store: Store, folder: Path, short: Path, web_ca: WebCa, way: str
) -> None:
    store.audit.append(event(subject=HOSTILE, reason=HOSTILE, rule=HOSTILE, ask={"scopes": [HOSTILE]}))
    store.audit.append(event(AuditEventKind.TOKEN_ISSUED, id="id-2"))
    store.audit.append(event(AuditEventKind.DENIED, id="id-3", outcome="denied"))
    wanted = run("audit", "tail", "--json", "--all").lines
    with serving(way, folder, short) as receiver:
        words = ["--syslog-ca", folder / "ca.pem"] if way == "tls" else []
        ran = run("audit", "export", "--syslog", receiver.url, "--sd-id", "row@32473", *words)
        assert (ran.code, ran.out) == (0, "")
        messages = receiver.messages(len(wanted))
    assert [json.loads(message.text) for message in messages] == wanted
    assert [message.data["meta"]["sequenceId"] for message in messages] == [str(n + 1) for n in range(len(wanted))]
    assert [message.severity for message in messages[-3:]] == [4, 6, 5]
    assert messages[-1].data["row@32473"]["outcome"] == "denied"
    assert {(m.facility, m.app_name) for m in messages} == {(10, "bridge")}
    assert [(m.msgid, m.procid) for m in messages] == [(one["event"], one["writer"]) for one in wanted]


TEXTS = st.text(max_size=60) | st.sampled_from([HOSTILE, "a]b", 'c"d', "e\\f", "\\", "x" * 3000, "\ud800"])


@settings(max_examples=60, deadline=None)
@given(
    subject=TEXTS, reason=TEXTS, rule=TEXTS, outcome=TEXTS, id_=TEXTS, writer=TEXTS, most=st.integers(LEAST_SIZE, 9000)
)
def test_nothing_in_a_row_splits_or_forges_a_message(
    subject: str, reason: str, rule: str, outcome: str, id_: str, writer: str, most: int
) -> None:
    """T-49."""
    one = AuditRow(7, writer, 3, "ab" * 32, event(id=id_, subject=subject, reason=reason, rule=rule, outcome=outcome))
    raw = row_message(row_fields(one), 1, Origin(10, f"host {rule}", reason or "-", "row@1", most))
    assert len(raw) <= most
    message = parsed(raw)
    text = json.loads(message.text)
    if "cut" not in text:
        assert (text["subject"], text["rule"], text["outcome"]) == (subject, rule, outcome)
        assert message.data["row@1"].get("rule", "") == inert(rule[:96])
    assert frames(b"%d %b" % (len(raw), raw)) == [raw]


def test_a_row_that_is_too_large_says_what_was_cut() -> None:
    whole = parsed(row_message(row_fields(row(ask={"scopes": ["a"] * 100})), 1, ORIGIN))
    assert "cut" not in json.loads(whole.text)
    cut = json.loads(parsed(row_message(row_fields(row(ask={"scopes": ["a"] * 9000})), 1, ORIGIN)).text)
    assert (cut["cut"], "ask" in cut, cut["row"], cut["client_id"]) == (["ask"], False, 7, "")
    long = Origin(10, "h" * 300, "a" * 60, "row@1", LEAST_SIZE)
    least = row_message(row_fields(row(subject="s" * 9000, rule="r" * 9000, outcome="\u2028" * 900)), 2**31, long)
    assert len(least) <= LEAST_SIZE
    assert json.loads(parsed(least).text)["row"] == 7
    assert parsed(least).data["meta"]["sequenceId"] == "1"


# --- who is at the other end ----------------------------------------------------------------------


def test_a_receiver_is_verified_by_the_ca_that_was_named(
    run: Run, store: Store, folder: Path, short: Path, web_ca: WebCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_ways, "_REST", 0.01)
    store.audit.append(event())
    with serving("tls", folder, short) as receiver:
        other = run("audit", "export", "--syslog", receiver.url, "--syslog-ca", folder / "other.pem")
        assert other.code == 1
        assert "CERTIFICATE_VERIFY_FAILED" in other.err
        assert run("audit", "export", "--syslog", receiver.url, "--syslog-ca", folder / "ca.pem").code == 0
        receiver.messages(1)


def test_what_is_sent_to_a_connection_that_was_closed_is_not_taken_for_sent() -> None:
    """TCP itself takes it: only the answer shows that nobody does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = StreamWire(destination_of(f"tcp://127.0.0.1:{listener.getsockname()[1]}"), None)
        wire.open()
        connection, _ = listener.accept()
        wire.send([b"<13>1 first"])
        assert connection.recv(100) == b"11 <13>1 first"
        connection.close()
        with pytest.raises(WireBroken) as broken:
            wire.send([b"<13>1 second"])
        assert broken.value.sent == 0
        wire.close()


class Breaking:
    """A way that breaks again and again, each time after some messages."""

    def __init__(self, *after: int | None) -> None:
        self._after, self._is_open = list(after), False
        self.took: list[bytes] = []

    def open(self) -> None:
        assert not self._is_open
        if self._after and self._after[0] is None:
            self._after.pop(0)
            raise WireBroken(ConnectionRefusedError(111, "Connection refused"))
        self._is_open = True

    def send(self, messages: Sequence[bytes]) -> None:
        assert self._is_open
        sent = self._after.pop(0) if self._after else None
        self.took += messages[:sent]
        if sent is not None:
            raise WireBroken(OSError(104, "Connection reset by peer"), sent)

    def close(self) -> None:
        self._is_open = False


def rows(number: int) -> list[AuditRow]:
    return [AuditRow(place, "abc", place, "", event(id=f"id-{place}")) for place in range(1, number + 1)]


def test_a_receiver_that_goes_away_again_and_again_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_ways, "_REST", 0.001)
    wire = Breaking(None, 3, None, None, 0, 2, None, 1)
    Syslog(wire, "there", ORIGIN, Stop(), patient=True, now=lambda: NOW).write(rows(10))
    assert [json.loads(parsed(raw).text)["row"] for raw in wire.took] == list(range(1, 11))


def test_an_export_that_does_not_follow_gives_up_and_one_that_does_ends_when_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_ways, "_REST", 0.001)
    way = Syslog(Breaking(*[None] * 9), "there", ORIGIN, Stop(), patient=False, now=lambda: NOW)
    with pytest.raises(Failure, match="Connection refused"):
        way.write(rows(2))
    stop = Stop()
    stop._told.set()
    with pytest.raises(ToldToStop):
        Syslog(Breaking(*[None] * 9), "there", ORIGIN, stop, patient=True, now=lambda: NOW).write(rows(2))


# --- how it is said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("unix:///dev/log", "unix:///dev/log"),
        ("udp://logs.example", "udp://logs.example:514"),
        ("tcp://[::1]:99", "tcp://[::1]:99"),
        ("tls://logs.example", "tls://logs.example:6514"),
    ],
)
def test_a_receiver_is_named_by_a_url(url: str, said: str) -> None:
    assert str(destination_of(url)) == said


@pytest.mark.parametrize(
    "url",
    [
        *("/dev/log", "unix://dev/log", "unix:dev/log", "http://a", "tcp://", "tcp://a/b", "tcp://a?b", "tls://u@a"),
        *("tcp://a:0", "tcp://a:99999", "udp://[::1", "a"),
    ],
)
def test_what_names_no_receiver_is_wrong_usage(run: Run, store: Store, url: str) -> None:
    ran = run("audit", "export", "--syslog", url)
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize(
    "words",
    [
        ("--facility", "24"),
        ("--facility", "lpr2"),
        ("--sd-id", "bridge"),
        ("--sd-id", "a b@1"),
        ("--max-size", "2047"),
        ("--syslog-ca", "ca.pem"),
    ],
    ids=" ".join,
)
def test_options_that_no_message_can_have_are_wrong_usage(
    run: Run, store: Store, short: Path, words: tuple[str, ...]
) -> None:
    good = ("--facility", "local0", "--sd-id", "row@32473", "--max-size", "2048", "--app-name", "two words")
    with datagrams(short) as receiver:
        assert run("audit", "export", "--syslog", receiver.url, *good).code == 0
        assert {(m.facility, m.app_name) for m in receiver.messages(1)} == {(16, "two_words")}
        assert run("audit", "export", "--syslog", receiver.url, *words).code == 2
    assert run("audit", "export", "--facility", "local0").code == 2
