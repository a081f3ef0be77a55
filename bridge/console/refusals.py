"""What an operator, or somebody who is none, sees when a request is refused."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.console.section import Desk
from bridge.console.visits import Visit
from bridge.model.errors import (
    BridgeError,
    ConsoleRefused,
    EvidenceRejected,
    FormRejected,
    InvalidRequest,
    LimitReached,
    SignInRejected,
    Unavailable,
)
from bridge.model.reasons import Reason
from bridge.web.lean import Response

_STATUS: Mapping[type[BridgeError], int] = {
    ConsoleRefused: 403,
    EvidenceRejected: 403,
    FormRejected: 403,
    SignInRejected: 403,
    InvalidRequest: 400,
    LimitReached: 429,
    Unavailable: 503,
    BridgeError: 500,
}
_HTTP = {
    400: "The request is malformed.",
    404: "There is no such page.",
    405: "This page does not take that method.",
    415: "That is no form of ours.",
}
_DEFECT = "Something went wrong here. The log has it under the id below."


class Refusals:
    """The pages of refusals. Whoever is no operator learns what this place is, and nothing else."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def refused(self, error: BridgeError, visit: Visit | None, error_id: str) -> Response:
        """The page of a domain error. An operator is told the exact reason, which stands in the log as well."""
        status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
        if error.reason is Reason.CONSOLE_HOST:
            status = 421
        exactly = "" if visit is None else str(error)
        response = self._show(status, _sentence(error.public), visit, error_id, exactly=exactly)
        if isinstance(error, LimitReached | Unavailable):
            response.headers["Retry-After"] = str(max(1, error.retry_after))
        return response

    def misdirected(self, status: int, visit: Visit | None, error_id: str) -> Response:
        """The page for a request that no page takes, or for a defect of ours."""
        return self._show(status, _HTTP.get(status, _DEFECT if status == 500 else _HTTP[400]), visit, error_id)

    def _show(self, status: int, words: str, visit: Visit | None, error_id: str, *, exactly: str = "") -> Response:
        return self._desk.pages.show(
            "refused.html", status=status, visit=visit, words=words, exactly=exactly, error_id=error_id
        )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
