"""The parameters of a request, as a form or a query string brought them: each once, and of the right shape.

The web layer parses; nothing after it sees the raw request. What a parameter means is each door's own affair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.model.errors import InvalidRequest, ScopeNotAllowed, TargetNotAllowed
from bridge.model.reasons import Reason

# What is asked is kept in the audit log, so it has a size. No catalogue comes near.
MAX_SCOPES, MAX_SCOPE_LENGTH = 64, 256
MAX_RESOURCES, MAX_RESOURCE_LENGTH = 16, 1024
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749 section 3.3
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
