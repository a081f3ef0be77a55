"""The only map from domain errors to OAuth errors (interface section 6).

Looked up along the class's ancestors, so that a new error is answered as its parent until it has a line
of its own. Each error has one pair for the endpoints of RFC 6749 and its kin.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from bridge.model.errors import (
    ApprovalPending,
    BridgeError,
    EvidenceRejected,
    ForeignToken,
    GrantNotAllowed,
    InvalidRequest,
    LimitReached,
    NonceRequired,
    PolicyDenied,
    ProofRejected,
    RegistrationChanged,
    ScopeNotAllowed,
    TargetNotAllowed,
    Unavailable,
    UnsupportedGrantType,
)
from bridge.web.lean import Response

OAUTH: Mapping[type[BridgeError], tuple[str, int]] = {
    InvalidRequest: ("invalid_request", 400),
    EvidenceRejected: ("invalid_client", 401),
    ProofRejected: ("invalid_dpop_proof", 400),
    NonceRequired: ("use_dpop_nonce", 400),
    PolicyDenied: ("invalid_client", 401),
    RegistrationChanged: ("invalid_client", 401),
    GrantNotAllowed: ("unauthorized_client", 400),
    UnsupportedGrantType: ("unsupported_grant_type", 400),
    ScopeNotAllowed: ("invalid_scope", 400),
    TargetNotAllowed: ("invalid_target", 400),
    ForeignToken: ("invalid_grant", 400),
    ApprovalPending: ("unauthorized_client", 403),
    LimitReached: ("temporarily_unavailable", 429),
    Unavailable: ("temporarily_unavailable", 503),
    BridgeError: ("server_error", 500),
}
HTTP_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request", "the request is malformed"),
    404: ("not_found", "there is nothing at this path; see /.well-known/oauth-authorization-server"),
    405: ("invalid_request", "this endpoint does not take that method"),
    408: ("invalid_request", "the request did not arrive in time"),
    413: ("invalid_request", "the request is too large"),
    415: ("invalid_request", "send application/x-www-form-urlencoded"),
    500: ("server_error", "the server failed; the log has the reason under this error_id"),
}
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def oauth_error(error: BridgeError) -> tuple[str, int]:
    """The OAuth code and HTTP status of a domain error."""
    return next(OAUTH[ancestor] for ancestor in type(error).__mro__ if ancestor in OAUTH)


def describe(text: str) -> str:
    """`text` within the characters that an `error_description` may have."""
    return "".join(c if 0x20 <= ord(c) <= 0x7E and c not in '"\\' else "?" for c in text)


def error_body(code: str, description: str, error_id: str) -> bytes:
    """The JSON body of a refusal. Only `error_id` differs between credential failures (SCA-33)."""
    body = {"error": code, "error_description": describe(description), "error_id": error_id}
    return json.dumps(body, separators=(",", ":")).encode()


def error_response(error: BridgeError, error_id: str, *, basic_was_tried: bool = False) -> Response:
    """The answer to a refused request."""
    code, status = oauth_error(error)
    response = Response(error_body(code, error.public, error_id), status, NO_STORE, "application/json")
    if isinstance(error, LimitReached | Unavailable):
        response.headers["Retry-After"] = str(max(1, error.retry_after))
    if isinstance(error, NonceRequired):
        response.headers["DPoP-Nonce"] = error.nonce
    if status == 401 and basic_was_tried:
        # RFC 6749 section 5.2 asks for the scheme that the client tried.
        response.headers["WWW-Authenticate"] = 'Basic realm="token"'
    return response


def http_error_response(status: int, error_id: str) -> Response:
    """The answer to a request that no endpoint took."""
    code, description = HTTP_ERRORS.get(status, HTTP_ERRORS[400])
    return Response(error_body(code, description, error_id), status, NO_STORE, "application/json")
