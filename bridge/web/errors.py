"""The only map from domain errors to OAuth errors (interface section 6).

Looked up along the class's ancestors, so that a new error is answered as its parent until it has a line
of its own. Each error has one answer at the endpoints of RFC 6749 and its kin, and one at `/register`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from bridge.model.errors import (
    ApprovalPending,
    BridgeError,
    ConsentDenied,
    ConsoleRefused,
    EvidenceRejected,
    ForeignToken,
    FormRejected,
    GrantNotAllowed,
    GrantRejected,
    InvalidClientMetadata,
    InvalidRedirectUri,
    InvalidRequest,
    IssuerUntrusted,
    LimitReached,
    ManagementForbidden,
    NonceRequired,
    PolicyDenied,
    ProofRejected,
    RegistrationChanged,
    RegistrationTokenMissing,
    RegistrationTokenRejected,
    ResponseTypeUnsupported,
    ScopeNotAllowed,
    SignInRejected,
    TargetNotAllowed,
    Unavailable,
    UnsupportedGrantType,
)
from bridge.web.lean import Response


class Family(Enum):
    """Which specification's errors an endpoint answers with: RFC 6749 and its kin, RFC 7591, RFC 7592."""

    OAUTH = "oauth"
    REGISTRATION = "registration"
    MANAGEMENT = "management"


class Wire(NamedTuple):
    """Code, status, and the words: the error's own where None, else the same for all errors of this line."""

    code: str
    status: int
    words: str | None = None


# One body for all statements that fail, whatever was wrong with them, and one for all that nobody here accepts.
_INVALID = Wire("invalid_software_statement", 400, "the software statement is not acceptable")
_UNAPPROVED = Wire("unapproved_software_statement", 400, "this registration is not approved here")
_METADATA = Wire("invalid_client_metadata", 400)
_TOKEN = Wire("invalid_token", 401)
# RFC 7592 gives its 403 no code. RFC 6750's, insufficient_scope, would send the client away for another token,
# and none would help.
_FORBIDDEN = Wire("access_denied", 403)

OAUTH: Mapping[type[BridgeError], tuple[Wire, Wire]] = {
    InvalidRequest: (Wire("invalid_request", 400), _METADATA),
    EvidenceRejected: (Wire("invalid_client", 401), _INVALID),
    IssuerUntrusted: (Wire("invalid_client", 401), _UNAPPROVED),
    ProofRejected: (Wire("invalid_dpop_proof", 400), Wire("invalid_dpop_proof", 400)),
    NonceRequired: (Wire("use_dpop_nonce", 400), Wire("use_dpop_nonce", 400)),
    PolicyDenied: (Wire("invalid_client", 401), _UNAPPROVED),
    RegistrationChanged: (Wire("invalid_client", 401), _UNAPPROVED),
    GrantNotAllowed: (Wire("unauthorized_client", 400), _METADATA),
    UnsupportedGrantType: (Wire("unsupported_grant_type", 400), _METADATA),
    ResponseTypeUnsupported: (Wire("unsupported_response_type", 400), _METADATA),
    ConsentDenied: (Wire("access_denied", 400), _METADATA),
    ScopeNotAllowed: (Wire("invalid_scope", 400), _METADATA),
    TargetNotAllowed: (Wire("invalid_target", 400), _METADATA),
    InvalidClientMetadata: (_METADATA, _METADATA),
    InvalidRedirectUri: (Wire("invalid_redirect_uri", 400), Wire("invalid_redirect_uri", 400)),
    RegistrationTokenRejected: (_TOKEN, _TOKEN),
    ManagementForbidden: (_FORBIDDEN, _FORBIDDEN),
    ForeignToken: (Wire("invalid_grant", 400), _METADATA),
    GrantRejected: (Wire("invalid_grant", 400), _METADATA),
    FormRejected: (Wire("invalid_request", 400), _METADATA),
    SignInRejected: (Wire("access_denied", 400), _METADATA),
    # Never here: the console answers by itself, in pages.
    ConsoleRefused: (Wire("access_denied", 403), _METADATA),
    ApprovalPending: (Wire("unauthorized_client", 403), Wire("unauthorized_client", 403)),
    LimitReached: (Wire("temporarily_unavailable", 429), Wire("temporarily_unavailable", 429)),
    Unavailable: (Wire("temporarily_unavailable", 503), Wire("temporarily_unavailable", 503)),
    BridgeError: (Wire("server_error", 500), Wire("server_error", 500)),
}
# What differs from `/register` below it: no statement is presented there. Which of the two credentials failed,
# or whether the client is gone (DCR-26), is not told.
MANAGEMENT: Mapping[type[BridgeError], Wire] = {
    EvidenceRejected: _TOKEN._replace(words=RegistrationTokenRejected.public),
    RegistrationChanged: _TOKEN._replace(words=RegistrationTokenRejected.public),
    PolicyDenied: _FORBIDDEN._replace(words=ManagementForbidden.public),
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
_SEND_JSON = ("invalid_request", "send application/json")
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def wire_error(error: BridgeError, family: Family) -> Wire:
    """Code, HTTP status and words of a domain error at an endpoint of this family."""
    ancestors = type(error).__mro__
    wire: Wire | None = None
    if family is Family.MANAGEMENT:
        wire = next((MANAGEMENT[ancestor] for ancestor in ancestors if ancestor in MANAGEMENT), None)
    if wire is None:
        oauth, registration = next(OAUTH[ancestor] for ancestor in ancestors if ancestor in OAUTH)
        wire = oauth if family is Family.OAUTH else registration
    return wire if wire.words is not None else wire._replace(words=error.public)


def describe(text: str) -> str:
    """`text` within the characters that an `error_description` may have."""
    return "".join(c if 0x20 <= ord(c) <= 0x7E and c not in '"\\' else "?" for c in text)


def error_body(code: str, description: str, error_id: str) -> bytes:
    """The JSON body of a refusal. Only `error_id` differs between credential failures (SCA-33)."""
    body = {"error": code, "error_description": describe(description), "error_id": error_id}
    return json.dumps(body, separators=(",", ":")).encode()


def error_response(
    error: BridgeError, error_id: str, *, family: Family = Family.OAUTH, authorization_was_sent: bool = False
) -> Response:
    """The answer to a refused request."""
    code, status, words = wire_error(error, family)
    response = Response(error_body(code, words or "", error_id), status, NO_STORE, "application/json")
    if isinstance(error, LimitReached | Unavailable):
        response.headers["Retry-After"] = str(max(1, error.retry_after))
    if isinstance(error, NonceRequired):
        response.headers["DPoP-Nonce"] = error.nonce
    if status == 401:
        challenge = _challenge(error, family, authorization_was_sent)
        if challenge is not None:
            response.headers["WWW-Authenticate"] = challenge
    return response


def _challenge(error: BridgeError, family: Family, authorization_was_sent: bool) -> str | None:
    if family is Family.OAUTH:
        # RFC 6749 section 5.2 asks for the scheme that the client tried.
        return 'Basic realm="token"' if authorization_was_sent else None
    # RFC 6750 section 3.1: a client that sent no token at all is not told of an error with it.
    return "Bearer" if isinstance(error, RegistrationTokenMissing) else 'Bearer error="invalid_token"'


def http_error_response(status: int, error_id: str, *, family: Family = Family.OAUTH) -> Response:
    """The answer to a request that no endpoint took."""
    code, description = HTTP_ERRORS.get(status, HTTP_ERRORS[400])
    if status == 415 and family is not Family.OAUTH:
        code, description = _SEND_JSON
    return Response(error_body(code, description, error_id), status, NO_STORE, "application/json")
