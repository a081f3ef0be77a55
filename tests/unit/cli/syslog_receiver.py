"""Syslog receivers that take RFC 5424 and the framings to the letter, and nothing else."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 30.0
_HEADER = re.compile(
    rb"<(0|[1-9][0-9]{0,2})>([1-9][0-9]{0,2}) "
    rb"([0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
)
_NAME = rb"[!#-<>-\\^-~]{1,32}"
_ID = re.compile(rb"\[(" + _NAME + rb")")
_PARAMETER = re.compile(rb" (" + _NAME + rb')="((?:[^"\\\]]|\\["\\\]])*)"')
_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")


@dataclass(frozen=True)
class Message:
    """One message, taken apart."""

    facility: int
    severity: int
    time: str
    hostname: str
    app_name: str
    procid: str
    msgid: str
    data: dict[str, dict[str, str]]
    text: str


def parsed(raw: bytes) -> Message:
    """The message that these octets are; fails for what is none (RFC 5424 section 6)."""
    header = _HEADER.match(raw)
    assert header is not None, raw
    priority, version, *words = header.groups()
    assert int(priority) <= 191, raw
    assert version == b"1", raw
    at, data = header.end(), dict[str, dict[str, str]]()
    assert raw[at : at + 1] in (b"[", b"-"), raw
    at += raw[at : at + 1] == b"-"
    while (element := _ID.match(raw, at)) is not None:
        at, found = element.end(), dict[str, str]()
        while (parameter := _PARAMETER.match(raw, at)) is not None:
            at = parameter.end()
            found[parameter[1].decode()] = re.sub(rb'\\(["\\\]])', rb"\1", parameter[2]).decode()
        assert raw[at : at + 1] == b"]", raw
        at += 1
        assert element[1].decode() not in data, raw
        data[element[1].decode()] = found
    assert raw[at : at + 1] == b" ", raw
    text = raw[at + 1 :].decode("ascii")
    assert text.isprintable(), raw
    return Message(int(priority) // 8, int(priority) % 8, *(word.decode() for word in words), data, text)


def frames(octets: bytes) -> list[bytes]:
    """The messages of a connection (RFC 6587 section 3.4.1); the last one may be cut."""
    found = []
    while (length := _LENGTH.match(octets)) is not None and len(octets) >= length.end() + int(length[1]):
        end = length.end() + int(length[1])
        found.append(octets[length.end() : end])
        octets = octets[end:]
    assert len(octets) < 70_000, octets[:100]
    return found


class Receiver:
    """What came in, by connection; datagrams are a connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._changed = threading.Condition()
        self._connections: list[bytearray] = []
        self._datagrams: list[bytes] = []

    def take(self, connection: socket.socket) -> None:
        """Read until the other side ends."""
        octets = bytearray()
        with self._changed:
            self._connections.append(octets)
        with suppress(OSError):
            while chunk := connection.recv(65_536):
                with self._changed:
                    octets += chunk
                    self._changed.notify_all()
        connection.close()

    def took(self, datagram: bytes) -> None:
        """One message."""
        with self._changed:
            self._datagrams.append(datagram)
            self._changed.notify_all()

    def messages(self, number: int) -> list[Message]:
        """All messages, once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._raw()) >= number, DEADLINE), self._raw()
            return [parsed(raw) for raw in self._raw()]

    def _raw(self) -> list[bytes]:
        return [*self._datagrams, *(frame for octets in self._connections for frame in frames(bytes(octets)))]


@contextmanager
def datagrams(folder: Path | None) -> Iterator[Receiver]:
    """Over a Unix socket in the folder, or over UDP without one."""
    with socket.socket(socket.AF_INET if folder is None else socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0) if folder is None else str(folder / "log"))
        url = f"udp://127.0.0.1:{listener.getsockname()[1]}" if folder is None else f"unix://{folder}/log"
        receiver, ended = Receiver(url), threading.Event()
        listener.settimeout(0.05)

        def receive() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    receiver.took(listener.recv(65_536))

        thread = threading.Thread(target=receive)
        thread.start()
        try:
            yield receiver
        finally:
            ended.set()
            thread.join()


@contextmanager
def connections(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Over TCP, or TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = Receiver(f"{'tcp' if tls is None else 'tls'}://127.0.0.1:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def answer(plain: socket.socket) -> None:
            try:
                connection = plain if tls is None else tls.wrap_socket(plain, server_side=True)
            except OSError:
                plain.close()
                return
            receiver.take(connection)

        def accept() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                plain.settimeout(DEADLINE)
                threads.append(threading.Thread(target=answer, args=(plain,)))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield receiver
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            acceptor.join()
            for thread in threads:
                thread.join()
