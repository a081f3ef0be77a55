"""The form of a request, read once and strictly. No view touches the raw request after this."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from bridge.model.errors import InvalidRequest, ScopeNotAllowed, TargetNotAllowed, UnsupportedGrantType
from bridge.model.evidence import Door
from bridge.model.reasons import Reason
from bridge.model.terms import Ask

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 64
REPEATABLE = frozenset({"resource"})  # RFC 8707 section 2
# What is asked is kept in the audit log, so it has a size. No catalogue comes near.
MAX_SCOPES, MAX_SCOPE_LENGTH = 64, 256
MAX_RESOURCES, MAX_RESOURCE_LENGTH = 16, 1024
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749 section 3.3
_CONTROL = re.compile(r"[\x00-\x1F\x7F]")
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")  # RFC 3986: absolute, and ASCII here


@dataclass(frozen=True, slots=True)
class Form:
    """Decoded parameters. An empty value counts as absent (RFC 6749 section 3.1)."""

    values: Mapping[str, str]
    resources: tuple[str, ...]

    def get(self, name: str) -> str | None:
        """The parameter's one value, or None."""
        return self.values.get(name)

    def require(self, name: str) -> str:
        """The parameter's value. Raises: InvalidRequest when it is absent."""
        value = self.values.get(name)
        if value is None:
            raise InvalidRequest(Reason.MALFORMED_REQUEST, f"no {name}", public=f"{name} is required")
        return value


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


def parse_scope(form: Form) -> tuple[str, ...]:
    """The scopes asked for, without repetition, in order. Raises: ScopeNotAllowed when malformed."""
    text = form.get("scope")
    if text is None:
        return ()
    scopes = text.split(" ", MAX_SCOPES)
    if len(scopes) > MAX_SCOPES or max(map(len, scopes)) > MAX_SCOPE_LENGTH:
        raise ScopeNotAllowed(Reason.POLICY_SCOPE, "more or longer scopes than any catalogue has")
    if not all(_SCOPE_TOKEN.fullmatch(scope) for scope in scopes):
        raise ScopeNotAllowed(Reason.POLICY_SCOPE, "the scope parameter is malformed")
    return tuple(dict.fromkeys(scopes))


def parse_resources(form: Form) -> tuple[str, ...]:
    """The resources asked for (RFC 8707): absolute URIs without fragment. Raises: TargetNotAllowed (OAS-17)."""
    if len(form.resources) > MAX_RESOURCES or any(len(r) > MAX_RESOURCE_LENGTH for r in form.resources):
        raise TargetNotAllowed(Reason.POLICY_RESOURCE, "more or longer resources than any catalogue has")
    for resource in form.resources:
        if _RESOURCE.fullmatch(resource) is None or "#" in resource:
            raise TargetNotAllowed(Reason.POLICY_RESOURCE, "a resource is an absolute URI without a fragment")
    return tuple(dict.fromkeys(form.resources))


def parse_token_ask(form: Form, supported: frozenset[str]) -> Ask:
    """What a token request asks for.

    Raises: InvalidRequest, UnsupportedGrantType, ScopeNotAllowed, TargetNotAllowed.
    """
    grant_type = form.require("grant_type")
    if grant_type not in supported:
        raise UnsupportedGrantType(Reason.GRANT_TYPE_UNSUPPORTED, grant_type[:80])
    resources = parse_resources(form)  # A wrong resource is reported before a wrong scope.
    return Ask(Door.TOKEN, grant_type, parse_scope(form), resources)
