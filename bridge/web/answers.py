"""An authorization response as a URL: the client's redirect URI with the answer in its query (RFC 6749 section
4.1.2)."""

from __future__ import annotations

from urllib.parse import urlencode

from bridge.grants.answers import AuthorizationAnswer
from bridge.model.errors import BridgeError
from bridge.web.errors import Family, describe, wire_error

# RFC 6749 section 4.1.2.1, RFC 8707 section 2.
_CODES = frozenset(
    {
        "access_denied", "invalid_request", "invalid_scope", "invalid_target", "server_error",
        "temporarily_unavailable", "unauthorized_client", "unsupported_response_type",
    }
)  # fmt: skip


def location_of(answer: AuthorizationAnswer, *, issuer: str) -> str:
    """Where to send the browser. `iss` and `state` are in every answer, errors too (OAS-8, PCR-23; RFC 9207).

    The redirect URI was matched before; it has no fragment, and its query holds none of these names.
    """
    parameters: list[tuple[str, str]] = []
    if answer.error is not None:
        code, words = _error(answer.error)
        parameters += [("error", code), ("error_description", words)]
    elif answer.code is not None:
        parameters.append(("code", answer.code))
    if answer.state is not None:
        parameters.append(("state", answer.state))
    parameters.append(("iss", issuer))
    separator = "&" if "?" in answer.redirect_uri else "?"
    return f"{answer.redirect_uri}{separator}{urlencode(parameters)}"


def _error(error: BridgeError) -> tuple[str, str]:
    """The code that this error has in an authorization response, and its words. A client is not authenticated
    here: what would be `invalid_client` elsewhere is that it may not do this."""
    wire = wire_error(error, Family.OAUTH)
    code = "unauthorized_client" if wire.code == "invalid_client" else wire.code
    return code if code in _CODES else "invalid_request", describe(wire.words or "")
