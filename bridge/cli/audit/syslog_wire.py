"""Ways to a syslog receiver: a Unix datagram socket, UDP (RFC 5426), TCP with counted octets (RFC 6587), TLS (5425).

None of them tells a sender that a message arrived. Datagrams are gone once they are sent. Of a connection the kernel
knows which bytes the other side's kernel took, and that is waited for here; what its process had not read when it died
is lost all the same, and nobody here can know.
"""

from __future__ import annotations

import array
import errno
import fcntl
import re
import socket
import ssl
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

# To connect, and for each thing that is sent, in seconds.
PATIENCE = 10.0
_LOOK_AGAIN = 0.005
# Messages that one call hands to the kernel, which may take its time for each call.
_FRAMES = 8
_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}


class WireBroken(Exception):
    """The receiver is not there, or went away. `sent`: of the messages given, those that need not be sent again."""

    def __init__(self, error: OSError, sent: int = 0) -> None:
        super().__init__(error.strerror or str(error))
        self.sent = sent


class Wire(Protocol):
    """One way to one receiver; open it anew after each failure."""

    def open(self) -> None:
        """Raises: WireBroken."""
        ...

    def send(self, messages: Sequence[bytes]) -> None:
        """Send them, in order. Raises: WireBroken; MessageTooLong."""
        ...

    def close(self) -> None: ...


class MessageTooLong(ValueError):
    """The socket takes no message of that size."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to: `scheme` is unix, udp, tcp or tls; a path, or a host without brackets and a port."""

    scheme: str
    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{self.path or f'{host}:{self.port}'}"


def destination_of(url: str) -> Destination:
    """The receiver that a URL names: `unix:///dev/log`, `udp://host`, `tcp://host:601`, `tls://host:6514`.

    Raises: ValueError saying what is wrong.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("unix", *_PORTS):
        raise ValueError("write unix:///dev/log, udp://HOST:514, tcp://HOST:601 or tls://HOST:6514")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("a receiver has no query, no fragment and no user")
    if parts.scheme == "unix":
        if parts.netloc or not Path(parts.path).is_absolute():
            raise ValueError("name the socket by its whole path, with three slashes: unix:///dev/log")
        return Destination("unix", path=parts.path)
    if not parts.hostname or parts.path not in ("", "/") or not re.fullmatch(r"[!-~]+", parts.netloc):
        raise ValueError(f"name a host, and a port if it is not {_PORTS[parts.scheme]}")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    if not port:
        raise ValueError("there is no port 0")
    return Destination(parts.scheme, host=parts.hostname, port=port)


def wire_to(destination: Destination, tls: ssl.SSLContext | None) -> Wire:
    """The way to a receiver. `tls` is what it is verified by, where the scheme is tls."""
    if destination.scheme in ("unix", "udp"):
        return DatagramWire(destination)
    return StreamWire(destination, tls if destination.scheme == "tls" else None)


def tls_context(ca_file: Path | None, certificate: Path | None, private_key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later, the receiver verified by name (RFC 5425 section 5.2), by the CAs of the file alone where one is
    given. Raises: OSError when a file holds nothing of use."""
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    if certificate is not None:
        context.load_cert_chain(certificate, private_key)
    return context


class DatagramWire:
    """A message, a datagram."""

    def __init__(self, destination: Destination) -> None:
        self._to = destination
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """As the port says. Of UDP this says nothing of whether anybody is there."""
        try:
            if self._to.scheme == "unix":
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                address: object = self._to.path
            else:
                found = socket.getaddrinfo(self._to.host, self._to.port, type=socket.SOCK_DGRAM)[0]
                self._socket, address = socket.socket(found[0], found[1]), found[4]
            # A full queue of a local receiver is waited for: nothing is lost there as long as it lives.
            self._socket.settimeout(PATIENCE)
            self._socket.connect(address)  # type: ignore[arg-type]
        except OSError as error:
            self.close()
            raise WireBroken(error) from error

    def send(self, messages: Sequence[bytes]) -> None:
        """As the port says."""
        assert self._socket is not None, "open it first"
        for sent, message in enumerate(messages):
            try:
                self._socket.send(message)
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    raise MessageTooLong(f"{self._to} takes no message of {len(message):,} bytes") from error
                raise WireBroken(error, sent) from error

    def close(self) -> None:
        """As the port says."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class StreamWire:
    """A connection; each message behind the number of its octets (RFC 6587 section 3.4.1, RFC 5425 section 4.3)."""

    def __init__(self, destination: Destination, tls: ssl.SSLContext | None) -> None:
        self._to, self._tls = destination, tls
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """As the port says."""
        plain: socket.socket | None = None
        try:
            plain = socket.create_connection((self._to.host, self._to.port), timeout=PATIENCE)
            self._socket = plain if self._tls is None else self._tls.wrap_socket(plain, server_hostname=self._to.host)
        except (OSError, ValueError) as error:
            if plain is not None:
                plain.close()
            raise WireBroken(error if isinstance(error, OSError) else OSError(str(error))) from error

    def send(self, messages: Sequence[bytes]) -> None:
        """As the port says. Returns when the other side's kernel has all of it and has not hung up."""
        assert self._socket is not None, "open it first"
        try:
            frames = [b"%d %b" % (len(message), message) for message in messages]
            for start in range(0, len(frames), _FRAMES):
                self._socket.sendall(b"".join(frames[start : start + _FRAMES]))
            self._wait_until_taken(self._socket)
            self._require_open(self._socket)
        except OSError as error:
            raise WireBroken(error) from error

    def close(self) -> None:
        """Say that it ends, so that what is under way is read and not thrown away."""
        if self._socket is None:
            return
        try:
            self._socket.settimeout(1.0)
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()
            else:
                self._socket.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            # It is gone already, and there is nobody to say it to.
            self._socket.close()
        finally:
            self._socket.close()
            self._socket = None

    def _wait_until_taken(self, connection: socket.socket) -> None:
        """For as long as it takes anything: a slow receiver that was hung up on would get everything twice."""
        left, before, ends = array.array("i", [0]), 0, time.monotonic() + PATIENCE
        while True:
            fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, left)
            if not left[0]:
                return
            # What a connection that was reset had not delivered stays in its queue for ever.
            self._require_open(connection)
            if left[0] != before:
                before, ends = left[0], time.monotonic() + PATIENCE
            if time.monotonic() >= ends:
                raise TimeoutError("the receiver takes nothing more")
            time.sleep(_LOOK_AGAIN)

    @staticmethod
    def _require_open(connection: socket.socket) -> None:
        """What was sent to a connection that the other side had closed was taken by nobody. Receivers say nothing, so
        whatever else they send is passed over."""
        connection.settimeout(0)
        try:
            while True:
                if not connection.recv(4096):
                    raise ConnectionResetError("the receiver hung up")
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            connection.settimeout(PATIENCE)
