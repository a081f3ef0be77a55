"""Answers as bytes, and the refusals that the server gives by itself, before the application is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from bridge.model.reasons import ServerReason


@dataclass(frozen=True, slots=True)
class Answer:
    """What the application said: status line text (`200 OK`), header fields, the whole body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the application never saw, or could not answer.

    `reason` is for metrics and the log; `description` is what the client gets.
    `sender_goes_on` says that the client is probably still sending: then the connection is read empty
    for a moment, because closing it at once would destroy the answer on its way (RFC 9112 section 9.6).
    """

    status: HTTPStatus
    error: str
    description: str
    reason: ServerReason
    retry_after: int | None = None
    sender_goes_on: bool = False


MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "invalid_request", "the request is malformed", ServerReason.MALFORMED)
FRAMING = Refusal(HTTPStatus.BAD_REQUEST, "invalid_request", "the request is malformed", ServerReason.FRAMING)
HEAD_TOO_LARGE = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "invalid_request",
    "the request's header is too large",
    ServerReason.HEAD_TOO_LARGE,
    sender_goes_on=True,
)
BODY_TOO_LARGE = Refusal(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "invalid_request",
    "the request's body is too large",
    ServerReason.BODY_TOO_LARGE,
    sender_goes_on=True,
)
HEAD_TOO_SLOW = Refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "invalid_request",
    "the request's header did not arrive in time",
    ServerReason.HEAD_TOO_SLOW,
)
BODY_TOO_SLOW = Refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "invalid_request",
    "the request's body did not arrive in time",
    ServerReason.BODY_TOO_SLOW,
)
QUEUE_FULL = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "temporarily_unavailable",
    "the service is busy",
    ServerReason.QUEUE_FULL,
    retry_after=1,
)
WAITED_TOO_LONG = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "temporarily_unavailable",
    "the service is busy",
    ServerReason.WAITED_TOO_LONG,
    retry_after=1,
)
FAILED = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "server_error", "the service failed to answer", ServerReason.FAILED)

# Fields that describe the message or the connection. They are the server's to set, whatever the
# application says (RFC 9110 section 7.6.1, PEP 3333 on hop-by-hop fields).
_OURS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "transfer-encoding", "trailer", "upgrade", "x-request-id"}
)
_WITHOUT_BODY = ("204", "304")


class BadAnswer(ValueError):
    """The application's answer is not one that HTTP can carry."""


def render(answer: Answer, *, request_id: str, common: bytes, close: bool, head_only: bool) -> bytes:
    """The whole message. `common` are complete field lines of the server's own (Date).

    The length is counted here and never believed, except in an answer to HEAD, which has no body to
    count. Raises: BadAnswer when a field holds a line break or what is not Latin-1: nothing that came
    from outside can add a header line.
    """
    parts = [f"HTTP/1.1 {answer.status}\r\nX-Request-Id: {request_id}\r\n"]
    lines = 2
    declared = None
    for name, value in answer.headers:
        plain = name.lower()
        if plain in _OURS:
            if plain == "content-length":
                declared = value
            continue
        parts.append(f"{name}: {value}\r\n")
        lines += 1
    without_body = answer.status.startswith(_WITHOUT_BODY)
    if not without_body:
        length = declared if head_only and declared is not None and declared.isdigit() else len(answer.body)
        parts.append(f"Content-Length: {length}\r\n")
        lines += 1
    if close:
        parts.append("Connection: close\r\n")
        lines += 1
    head = "".join(parts)
    if head.count("\n") != lines or head.count("\r") != lines or "\0" in head:
        raise BadAnswer("a header field of the answer holds a control character")
    try:
        encoded = head.encode("latin-1")
    except UnicodeEncodeError as error:
        raise BadAnswer("a header field of the answer is not Latin-1") from error
    body = b"" if head_only or without_body else answer.body
    return b"%b%b\r\n%b" % (encoded, common, body)


def answer_of(refusal: Refusal, request_id: str) -> Answer:
    """A refusal as an answer: JSON in OAuth's form, with the correlation id (interface section 6)."""
    body = {"error": refusal.error, "error_description": refusal.description, "error_id": request_id}
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if refusal.retry_after is not None:
        headers.append(("Retry-After", str(refusal.retry_after)))
    return Answer(f"{refusal.status.value} {refusal.status.phrase}", headers, json.dumps(body).encode())
