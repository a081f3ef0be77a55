"""One request and its one answer over a connection that stands, judged as the bytes arrive (CIMD-6 to 9, T-2, T-6).

The answer is parsed by h11, which reads no socket by itself: each read can have what is left of the deadline, and
the head has a bound. The standard library's client would read lines at its own pace.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import h11

from bridge.fetch.connecting import network_failure
from bridge.fetch.deadline import Deadline
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault

MAX_HEAD_BYTES = 16 * 1024
# Chunks of one byte take five more on the wire. Whoever sends more framing than that is not sending a document; and
# each chunk costs time of everybody's, so that a long document may not come in such small ones.
_FRAMING_PER_BYTE, _MOST_FRAMING = 7, 64 * 1024
_READ_BYTES = 16 * 1024
MAX_ETAG_LENGTH = 256
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
# What a form may be answered with: how it went is said in the body.
_FORM_STATUSES = {200, 400, 401, 403}
# All that anybody needs to know of a head.
_KEPT = frozenset({"age", "cache-control", "content-type", "date", "etag", "expires"})


@dataclass(frozen=True, slots=True)
class MediaTypes:
    """What kinds of documents are taken: `accept` as the request says it, `pattern` for the whole media type in
    lower case, without parameters."""

    accept: str
    pattern: re.Pattern[str]


JSON_TYPES = MediaTypes(
    "application/json, */*;q=0.1", re.compile(r"application/(?:[a-z0-9][a-z0-9!#$&^_.+-]{0,125}\+)?json")
)


@dataclass(frozen=True, slots=True)
class Get:
    """A request: `host` and `target` as the URL spells them; `etag` of a stored copy that is to be revalidated."""

    host: str
    target: str
    accept: MediaTypes
    max_bytes: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A form to be sent, with a value for `Authorization` if there is one. Never repeated by itself."""

    host: str
    target: str
    accept: MediaTypes
    max_bytes: int
    form: bytes
    authorization: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A good answer. `status` is 200; or 304 when the copy that `etag` named is still the document, `body` is empty
    then; or, to a form, what RFC 6749 section 5.2 refuses one with. `headers` are the few that say what it is and how
    long it holds, names in lower case.

    Not checked: what the body says, not even that it is JSON.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def etag(self) -> str | None:
        """The validator for the next request; None without one, or with one that no request should carry."""
        text = self.headers.get("etag", "")
        return text if is_etag(text) else None


def is_etag(text: str) -> bool:
    """Whether it is an entity tag of ASCII (RFC 9110 section 8.8.3) of at most 256 characters."""
    return len(text) <= MAX_ETAG_LENGTH and _ETAG.fullmatch(text) is not None


def exchange(stream: ssl.SSLSocket, get: Get | Post, deadline: Deadline) -> Fetched:
    """Send the request and read its answer, no further than it is good.

    Raises: DocumentFailure (REDIRECT, STATUS, TOO_LARGE, MEDIA_TYPE, ENCODING, MALFORMED); NetworkFailure
    (SERVER, TIMEOUT, CUT, TLS). Spec: RFC 9110; RFC 9112.
    """
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    _send(stream, parser, get, deadline)
    body = bytearray()
    status = 200
    headers: Mapping[str, str] = {}
    framing = MAX_HEAD_BYTES + min(_FRAMING_PER_BYTE * get.max_bytes, _MOST_FRAMING)
    for event in _events(stream, parser, framing, deadline):
        if isinstance(event, h11.Response):
            status = event.status_code
            _check_status(status, get)
            headers = _headers(event)
            if status == 304:
                return Fetched(304, b"", headers)
            _check_head(event, headers, get)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > get.max_bytes:
                raise _too_large(get.max_bytes)
    return Fetched(status, bytes(body), headers)


def _send(stream: ssl.SSLSocket, parser: h11.Connection, get: Get | Post, deadline: Deadline) -> None:
    headers = [*_standing_headers(get.host), ("Accept", get.accept.accept)]
    method, form = "GET", b""
    if isinstance(get, Post):
        method, form = "POST", get.form
        headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        if get.authorization is not None:
            headers.append(("Authorization", get.authorization))
    elif get.etag is not None:
        headers.append(("If-None-Match", get.etag))
    _send_whole(stream, parser, method, get.target, headers, form, deadline)


def _standing_headers(host: str) -> list[tuple[str, str]]:
    """What every request of ours begins with. No cookie, no credential but a form's own, nothing that tells this
    service from another of its kind."""
    return [
        ("Host", host),
        ("User-Agent", "spiffe-oauth-bridge"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]


def _send_whole(
    stream: socket.socket,
    parser: h11.Connection,
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
    deadline: Deadline,
) -> None:
    """Send one whole request. Raises: NetworkFailure."""
    if method == "POST":
        headers = [*headers, ("Content-Length", str(len(body)))]
    request = parser.send(h11.Request(method=method, target=target, headers=headers)) or b""
    data = memoryview(request + (parser.send(h11.Data(body)) or b"") + (parser.send(h11.EndOfMessage()) or b""))
    while data:
        stream.settimeout(deadline.remaining())
        try:
            data = data[stream.send(data) :]
        except OSError as error:
            raise network_failure(error, "while the request was sent") from error


def told(
    stream: socket.socket, host: str, target: str, headers: list[tuple[str, str]], body: bytes, deadline: Deadline
) -> h11.Response:
    """POST one message whose answer says all in its head; the body, which may be a page or have no end, is not read.

    Raises: DocumentFailure (MALFORMED, TOO_LARGE) for what is no HTTP; NetworkFailure.
    """
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    _send_whole(stream, parser, "POST", target, [*_standing_headers(host), *headers], body, deadline)
    for event in _events(stream, parser, 2 * MAX_HEAD_BYTES, deadline):
        if isinstance(event, h11.Response):
            return event
    raise NetworkFailure(NetworkFault.CUT, "the connection ended before the answer")


def _events(stream: socket.socket, parser: h11.Connection, budget: int, deadline: Deadline) -> Iterator[h11.Event]:
    """The parts of the answer up to its end. `budget` bounds all bytes but the body's: heads, framing and interim
    answers. The body is for whoever takes the parts to bound, and never more than one read ahead of that."""
    ended = False
    while True:
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError as error:
            raise _protocol_failure(error, ended=ended) from error
        if isinstance(event, h11.EndOfMessage):
            return
        if isinstance(event, h11.Event) and not isinstance(event, h11.ConnectionClosed):
            if isinstance(event, h11.Data):
                budget += len(event.data)
            yield event
            continue
        if event is not h11.NEED_DATA or ended:
            raise NetworkFailure(NetworkFault.CUT, "the connection ended before the answer")
        data = _receive(stream, deadline)
        ended, budget = not data, budget - len(data)
        if budget < 0:
            raise DocumentFailure(DocumentFault.TOO_LARGE, "the answer has more framing than document")
        parser.receive_data(data)


def _receive(stream: socket.socket, deadline: Deadline) -> bytes:
    stream.settimeout(deadline.remaining())
    try:
        return stream.recv(_READ_BYTES)
    except OSError as error:
        raise network_failure(error, "while the answer was read") from error


def _protocol_failure(error: h11.RemoteProtocolError, *, ended: bool) -> DocumentFailure | NetworkFailure:
    if ended:
        return NetworkFailure(NetworkFault.CUT, "the connection ended within the answer")
    if error.error_status_hint == 431:
        return DocumentFailure(DocumentFault.TOO_LARGE, f"the head of the answer has more than {MAX_HEAD_BYTES} bytes")
    return DocumentFailure(DocumentFault.MALFORMED, "the answer is not HTTP")


def _check_status(status: int, get: Get | Post) -> None:
    expected = _FORM_STATUSES if isinstance(get, Post) else {200} if get.etag is None else {200, 304}
    if status in expected:
        return
    if status >= 500:
        raise NetworkFailure(NetworkFault.SERVER, f"the server says {status}")
    if status in (301, 302, 303, 307, 308):
        raise DocumentFailure(DocumentFault.REDIRECT, f"the answer is a redirect ({status}), and none is followed")
    raise DocumentFailure(DocumentFault.STATUS, f"the answer is {status}, not 200")


def _headers(response: h11.Response) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name_bytes, value_bytes in response.headers:
        name, value = name_bytes.decode("ascii"), value_bytes.decode("latin-1")
        if name in _KEPT:
            # RFC 9110 section 5.3. What is no list is then no valid value either, and is refused or ignored.
            found[name] = f"{found[name]}, {value}" if name in found else value
    return MappingProxyType(found)


def _check_head(response: h11.Response, headers: Mapping[str, str], get: Get | Post) -> None:
    """Refuse before a byte of the body is read what the head already tells."""
    for name, value in response.headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise DocumentFailure(DocumentFault.ENCODING, "the answer is encoded, which nobody asked for")
        # h11 has checked that it is digits, and no more than twenty of them.
        if name == b"content-length" and int(value) > get.max_bytes:
            raise _too_large(get.max_bytes)
    media_type = headers.get("content-type", "").partition(";")[0].strip(" \t").lower()
    if get.accept.pattern.fullmatch(media_type) is None:
        raise DocumentFailure(DocumentFault.MEDIA_TYPE, "the answer has another content type, or none")


def _too_large(max_bytes: int) -> DocumentFailure:
    return DocumentFailure(DocumentFault.TOO_LARGE, f"the document has more than {max_bytes} bytes")
