"""The parameters of an authorization request, read strictly (RFC 6749 section 4.1.1, RFC 9126, 7636, 8707, 9449).

They are read in two steps. Where the answer goes comes first, because until somebody vouched for that place every
error is for the page that the user sees (OAS-7); all the rest comes after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.grants.form import Form, parse_resources, parse_scope
from bridge.grants.pkce import read_challenge
from bridge.metadata.uris import MAX_URI_LENGTH
from bridge.model.errors import InvalidRequest, RedirectUriRejected, ResponseTypeUnsupported
from bridge.model.evidence import Door
from bridge.model.reasons import Reason
from bridge.model.terms import Ask

AUTHORIZATION_CODE = "authorization_code"
MAX_STATE_LENGTH = 1024
# What a pushed client's `state` has at least, so that it can be a random number (PCR-3, PCR-5).
MIN_PUSHED_STATE_LENGTH = 16

_STATE = re.compile(r"[ -~]+")  # RFC 6749 appendix A.5
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a request asks for, beside where the answer goes. `dpop_jkt`: the parameter of RFC 9449 section 10."""

    ask: Ask
    code_challenge: str
    state: str | None
    dpop_jkt: str | None


def read_redirect_uri(form: Form) -> str:
    """Where the client wants to be answered. Raises: RedirectUriRejected when it does not say so: a registration may
    list one URI today and two tomorrow. Not checked: everything (`redirect_matching`)."""
    uri = form.get("redirect_uri")
    if uri is None:
        words = "redirect_uri is required"
        raise RedirectUriRejected(Reason.REDIRECT_URI_MISMATCH, words, public=words)
    if len(uri) > MAX_URI_LENGTH:
        raise RedirectUriRejected(Reason.REDIRECT_URI_MISMATCH, f"longer than {MAX_URI_LENGTH} characters")
    return uri


def read_state(form: Form) -> str | None:
    """The client's `state`, to be given back. Raises: InvalidRequest for one of other than printable ASCII, or
    of more than 1024 characters: it is stored."""
    state = form.get("state")
    if state is not None and (len(state) > MAX_STATE_LENGTH or _STATE.fullmatch(state) is None):
        raise _malformed(Reason.MALFORMED_REQUEST, f"state is not 1 to {MAX_STATE_LENGTH} printable ASCII characters")
    return state


def read_parameters(form: Form, door: Door) -> Parameters:
    """All of the request but its redirect URI and its client.

    Raises: InvalidRequest for what is missing or malformed, and for `request` and `request_uri`, which say things
    in a way that is not offered (PCR-11, T-5); ResponseTypeUnsupported for every type but `code` (T-38);
    TargetNotAllowed, ScopeNotAllowed for malformed ones, a resource before a scope. Other parameters are ignored
    (RFC 6749 section 3.1). Repeated ones were refused when the form was parsed (T-31, PCR-33).
    """
    for name in ("request_uri", "request"):
        if form.get(name) is not None:
            raise _malformed(Reason.REQUEST_URI, f"{name} is not taken here")
    _check_response(form)
    state = read_state(form)
    challenge = read_challenge(form.get("code_challenge"), form.get("code_challenge_method"))
    resources = parse_resources(form)
    ask = Ask(door, AUTHORIZATION_CODE, parse_scope(form), resources)
    return Parameters(ask, challenge, state, _thumbprint(form))


def require_random_state(parameters: Parameters) -> None:
    """That a pushed client sent a `state` that can be a random number. Raises: InvalidRequest. Spec: PCR-3, 5."""
    if len(parameters.state or "") < MIN_PUSHED_STATE_LENGTH:
        words = f"state is required, a random one of at least {MIN_PUSHED_STATE_LENGTH} characters"
        raise _malformed(Reason.MALFORMED_REQUEST, words)


def _check_response(form: Form) -> None:
    response_type = form.require("response_type")
    if response_type != "code":
        raise ResponseTypeUnsupported(Reason.RESPONSE_TYPE, response_type[:80])
    if form.get("response_mode") not in (None, "query"):
        raise _malformed(Reason.MALFORMED_REQUEST, "response_mode is query, or left out")


def _thumbprint(form: Form) -> str | None:
    thumbprint = form.get("dpop_jkt")
    if thumbprint is not None and _THUMBPRINT.fullmatch(thumbprint) is None:
        raise _malformed(Reason.MALFORMED_REQUEST, "dpop_jkt is not a JWK SHA-256 thumbprint, 43 characters")
    return thumbprint


def _malformed(reason: Reason, words: str) -> InvalidRequest:
    return InvalidRequest(reason, words, public=words)
