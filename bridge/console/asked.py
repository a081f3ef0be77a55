"""What an audit row says was asked, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bridge.model.audit import AuditEvent
from bridge.model.authority import Authority, of_audit
from bridge.model.inert import in_short

_NAMED = (("scope", "scopes"), ("resource", "resources"), ("key proved by", "proved"))
# What has a line of its own.
_TOLD = frozenset({"grant_type", "scopes", "resources", "proved", "authorities"})


def asked_words(ask: Mapping[str, object]) -> str:
    """What was asked for in a few words: the scopes, else those that were given, else the resources, else the grant
    type."""
    for name in ("scopes", "granted", "resources"):
        values = ask.get(name)
        if isinstance(values, list) and values:
            return in_short(" ".join(str(value) for value in values))
    return in_short(str(ask.get("grant_type", "")))


def authorities_of(event: AuditEvent) -> Sequence[Authority]:
    """Who vouched for who asked. Nobody where the row is not as we write it; to name such rows is for
    `bridge audit verify`."""
    try:
        return of_audit(event.ask.get("authorities", []))
    except ValueError:
        return ()


def request_words(ask: Mapping[str, object]) -> str:
    """A request in one line; empty where the row is about none."""
    if "grant_type" not in ask:
        return ""
    parts = [_words(ask["grant_type"])]
    parts += [f"{name} {_words(ask.get(key)) or 'none named'}" for name, key in _NAMED]
    return ", ".join(parts)


def further_of(ask: Mapping[str, object]) -> list[tuple[str, str]]:
    """What else stands beside a request, by name."""
    told = _TOLD if "grant_type" in ask else frozenset({"authorities"})
    return [(name, _words(value)) for name, value in ask.items() if name not in told]


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return " ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
