"""Traces to a collector that the configuration names (OTLP over HTTP): in the clear only within this machine, no
redirect, no proxy of the environment, one deadline; of the answer its status alone is read (T-6)."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

from bridge.fetch.connecting import connect_plain, tls_context
from bridge.fetch.deadline import Clock, Deadline
from bridge.fetch.exchange import told
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault
from bridge.fetch.guarded import CONNECT_SECONDS, Place, addresses_of, connected
from bridge.fetch.guards import HTTPS_PORT, OperatorsAddress
from bridge.fetch.resolving import Resolver, SystemResolver
from bridge.files.paths import FileFingerprint, fingerprint, read_secret
from bridge.metadata.uris import require_secure
from bridge.model.errors import StartRefused

SEND_SECONDS = 10.0
HTTP_PORT = 80
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([!-~]+(?:[ \t]+[!-~]+)*)[ \t]*")
# What a message is and where it ends is ours to say.
_OURS = frozenset(
    {"host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "accept-encoding"}
    | {"user-agent", "expect", "te", "trailer", "upgrade"}
)

Headers = tuple[tuple[str, str], ...]


def read_headers(path: Path) -> Headers:
    """The headers of a file: `Name: value` a line, for credentials. Raises: StartRefused when it cannot be read, others
    may read it, or a line is none or names a header that is not the file's to set."""
    found = []
    try:
        lines = read_secret(path).decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise StartRefused([f"{path}: is no ASCII: one `Name: value` a line"]) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        header = _HEADER.fullmatch(line)
        # Never the line itself: it may be half of a credential.
        if header is None or header[1].lower() in _OURS:
            raise StartRefused([f"{path}:{number}: is no header for a collector: one `Name: value` a line"])
        found.append((header[1], header[2]))
    return tuple(found)


class TraceCollector:
    """Sends OTLP messages to one configured place, one connection each. For one thread."""

    def __init__(
        self,
        url: str,
        *,
        ca_file: str | None = None,
        headers_file: Path | None = None,
        resolve: Resolver | None = None,
        seconds: float = SEND_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        """`ca_file`: CAs beside the system's. `headers_file` is read again when it changes; a bad one leaves the former
        headers in use. Raises: OSError when `ca_file` holds no certificate; StartRefused as `read_headers`."""
        web = require_secure(url)
        self._is_plain = web.scheme == "http"
        authority = web.host if web.port is None else f"{web.host}:{web.port}"
        port = web.port or (HTTP_PORT if self._is_plain else HTTPS_PORT)
        self._place = Place(web.host, port, authority, url.removeprefix(f"{web.scheme}://{authority}") or "/")
        self._context = tls_context(ca_file)
        self._headers_file = headers_file
        self._seen = self._look()
        self._headers: Headers = () if headers_file is None else read_headers(headers_file)
        self._resolve, self._seconds, self._clock = resolve or SystemResolver(), seconds, clock

    def send(self, message: bytes) -> None:
        """Send one message, once. Units: everything within `seconds`. Raises: NetworkFailure, DocumentFailure."""
        deadline = Deadline.after(self._seconds, self._clock)
        sent = [("Content-Type", "application/x-protobuf"), *self._current_headers()]
        with self._connected(deadline) as stream:
            response = told(stream, self._place.authority, self._place.target, sent, message, deadline)
        _require_taken(response.status_code)

    def _connected(self, deadline: Deadline) -> socket.socket:
        if not self._is_plain:
            guard = OperatorsAddress()
            return connected(self._place, guard, self._resolve, self._context, CONNECT_SECONDS, deadline)
        addresses = addresses_of(self._place, self._resolve, deadline)
        return connect_plain(addresses, self._place.port, each=CONNECT_SECONDS, deadline=deadline)

    def _look(self) -> FileFingerprint | None:
        return None if self._headers_file is None else fingerprint(self._headers_file)

    def _current_headers(self) -> Headers:
        seen = self._look()
        if self._headers_file is not None and seen != self._seen:
            self._seen = seen
            try:
                self._headers = read_headers(self._headers_file)
            except StartRefused as fault:
                raise NetworkFailure(NetworkFault.CONNECT, f"the headers: {fault}") from fault
        return self._headers


def _require_taken(status: int) -> None:
    """Raises: NetworkFailure for what passes, DocumentFailure for what a collector will say again."""
    if 200 <= status < 300:
        return
    if status >= 500 or status == 429:
        raise NetworkFailure(NetworkFault.SERVER, f"the collector says {status}")
    raise DocumentFailure(DocumentFault.STATUS, f"the collector says {status}: is it the whole URL, and who may send?")
