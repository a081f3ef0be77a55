"""What a person sees when something is refused before it is known where the client may be told (OAS-7, CIMD-18)."""

from __future__ import annotations

from bridge.grants.answers import AnsweredByRedirect
from bridge.model.errors import BridgeError, EvidenceRejected, LimitReached, PolicyDenied, Unavailable
from bridge.web.answers import location_of
from bridge.web.errors import HTTP_ERRORS, Family, wire_error
from bridge.web.lean import Response
from bridge.web.pages.rendering import Pages, see_other

# Of a client that nobody knows, whatever is wrong with it: who sends people here may try things out (T-39).
_UNKNOWN_CLIENT = "The application that sent you here is not one that may ask for access in your name."
_DEFECT = "Something went wrong here."


class ErrorPages:
    """The answers to refusals at the endpoints that people see."""

    def __init__(self, pages: Pages, *, issuer: str) -> None:
        self._pages, self._issuer = pages, issuer

    def refused(self, error: BridgeError, error_id: str) -> Response:
        """A page; or the way back to the client, for an error that says where that is."""
        if isinstance(error, AnsweredByRedirect):
            return see_other(location_of(error.answer, issuer=self._issuer))
        wire = wire_error(error, Family.OAUTH)
        # The person before the page has no credential to send: 401 would ask for one.
        status = 400 if wire.status == 401 else wire.status
        words = _UNKNOWN_CLIENT if isinstance(error, EvidenceRejected | PolicyDenied) else _sentence(wire.words or "")
        again = isinstance(error, LimitReached | Unavailable)
        response = self._show(status, words, wire.code, error_id, may_try_again=again)
        if isinstance(error, LimitReached | Unavailable):
            response.headers["Retry-After"] = str(max(1, error.retry_after))
        return response

    def misdirected(self, status: int, error_id: str) -> Response:
        """The page for what is no request of a form that the endpoint takes, or for a defect of ours."""
        code, words = HTTP_ERRORS.get(status, HTTP_ERRORS[400])
        return self._show(status, _DEFECT if status == 500 else _sentence(words), code, error_id, may_try_again=False)

    def _show(self, status: int, words: str, error: str, error_id: str, *, may_try_again: bool) -> Response:
        return self._pages.show(
            "error.html", status=status, words=words, error=error, error_id=error_id, may_try_again=may_try_again
        )


def _sentence(words: str) -> str:
    """Words of the wire as a sentence. A parameter's name stays as it is written."""
    first = words.partition(" ")[0]
    return f"{words}." if "_" in first else f"{words[:1].upper()}{words[1:]}."
