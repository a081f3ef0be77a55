"""From a parsed head and a whole body to a WSGI environ, and what in a head makes it unacceptable.

Pure. The parser (llhttp, strict) has already refused what is no HTTP; here is what two servers in a
row could read in two ways (T-52), which is refused whoever would be right.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools

Headers = list[tuple[bytes, bytes]]


class BadFraming(ValueError):
    """Where this request ends is open to more than one reading, or it names its host twice."""


def body_length(headers: Headers, version: str) -> int | None:
    """How long the body says it is; None when it comes in chunks.

    Refused (RFC 9112 sections 3.2, 6.1, 6.3): more than one Content-Length, also equal ones; one that
    is not plain digits; any Transfer-Encoding but a single `chunked`, on HTTP/1.0, or beside a
    Content-Length; no or more than one Host. Raises: BadFraming.
    """
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    hosts = sum(1 for name, _ in headers if name == b"host")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise BadFraming("Host")
    if codings:
        if lengths or version != "1.1" or len(codings) > 1 or codings[0].strip().lower() != b"chunked":
            raise BadFraming("Transfer-Encoding")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
        raise BadFraming("Content-Length")
    return int(lengths[0])


def expects_continue(headers: Headers, version: str) -> bool:
    """Whether the client waits for `100 Continue` before it sends its body (RFC 9110 section 10.1.1)."""
    return version == "1.1" and any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target in origin or absolute form (RFC 9112 section 3.2); an empty path
    for what is neither. The host of an absolute form is not looked at: no host is."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return b"", b""
    path = url.path or (b"/" if url.host else b"")
    return path, url.query or b""


def environ_of_connection(*, scheme: str, server: tuple[str, int], client: tuple[str, int]) -> dict[str, Any]:
    """The part of the environ that all requests of a connection share."""
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


# The names that clients really send, so that their environ keys are not put together again each time.
_KEYS: dict[bytes, str] = {
    name.encode(): "HTTP_" + name.upper().replace("-", "_")
    for name in (
        *("accept", "accept-encoding", "accept-language", "authorization", "cache-control", "connection", "cookie"),
        *("dpop", "expect", "host", "if-none-match", "origin", "referer", "user-agent", "x-forwarded-for"),
    )
}


def _key(name: bytes) -> str:
    return _KEYS.get(name) or "HTTP_" + name.decode("latin-1").upper().replace("-", "_")


def environ_of_request(
    connection: Mapping[str, Any],
    *,
    method: str,
    path: bytes,
    query: bytes,
    version: str,
    headers: Headers,
    body: bytes,
) -> dict[str, Any]:
    """The environ of one request, PEP 3333: strings are bytes in Latin-1, repeated fields joined.

    Repeated Content-Type fields are joined too, so that no application takes the first for the only one.
    Fields with `_` in their name are left out: `Client_Cert` would become HTTP_CLIENT_CERT.
    """
    environ = dict(connection)
    environ["REQUEST_METHOD"] = method
    environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    environ["QUERY_STRING"] = query.decode("latin-1")
    environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body)
    for name, value in headers:
        if b"_" in name or name in {b"content-length", b"transfer-encoding"}:
            continue
        key = "CONTENT_TYPE" if name == b"content-type" else _key(name)
        text = value.decode("latin-1")
        earlier = environ.get(key)
        environ[key] = text if earlier is None else f"{earlier}{'; ' if name == b'cookie' else ','}{text}"
    environ["bridge.raw_headers"] = tuple(headers)
    return environ
