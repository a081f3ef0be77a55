"""The form of a request, read once and strictly. No view touches the raw request after this."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from bridge.grants.form import Form, parse_resources, parse_scope
from bridge.model.errors import InvalidRequest, UnsupportedGrantType
from bridge.model.evidence import Door
from bridge.model.reasons import Reason
from bridge.model.terms import Ask

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 64
REPEATABLE = frozenset({"resource"})  # RFC 8707 section 2
_CONTROL = re.compile(r"[\x00-\x1F\x7F]")


def parse_form(body: bytes) -> Form:
    """Parse the whole body of a form request whose content type was already checked.

    Raises: InvalidRequest for a repeated parameter (T-31), too many, bytes that are no UTF-8, or a
    control character. Not read: the query string, which is no place for parameters here.
    """
    try:
        pairs = _pairs(body.decode("ascii"))
    except ValueError as error:
        raise InvalidRequest(Reason.MALFORMED_REQUEST, "the form cannot be decoded") from error
    values: dict[str, str] = {}
    resources: list[str] = []
    for name, value in pairs:
        if _CONTROL.search(name) is not None or _CONTROL.search(value) is not None:
            raise InvalidRequest(Reason.MALFORMED_REQUEST, "a control character in the form")
        if name in REPEATABLE:
            resources += [value] if value else []
        elif name in values:
            raise InvalidRequest(Reason.REPEATED_PARAMETER, name[:40], public="a parameter is repeated")
        else:
            values[name] = value
    return Form({name: value for name, value in values.items() if value}, tuple(resources))


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and values, decoded, in order (WHATWG URL section 5.1, with UTF-8 held to).

    Raises: ValueError for too many fields, and for bytes that are no UTF-8.
    """
    parts = text.split("&", MAX_FIELDS)
    if len(parts) > MAX_FIELDS:
        raise ValueError("too many fields")
    pairs = [part.partition("=") for part in parts if part]
    return [(_decode(name), _decode(value)) for name, _, value in pairs]


def _decode(text: str) -> str:
    plain = text.replace("+", " ")
    return unquote_to_bytes(plain).decode("utf-8", "strict") if "%" in plain else plain


def parse_token_ask(form: Form, supported: frozenset[str]) -> Ask:
    """What a token request asks for.

    Raises: InvalidRequest, UnsupportedGrantType, ScopeNotAllowed, TargetNotAllowed.
    """
    grant_type = form.require("grant_type")
    if grant_type not in supported:
        raise UnsupportedGrantType(Reason.GRANT_TYPE_UNSUPPORTED, grant_type[:80])
    resources = parse_resources(form)  # A wrong resource is reported before a wrong scope.
    return Ask(Door.TOKEN, grant_type, parse_scope(form), resources)
