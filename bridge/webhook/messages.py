"""What a message says of a change: a small JSON object after the Standard Webhooks convention (`type`, `timestamp`,
`data`), made once, when the change is written, so that every try sends the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from urllib.parse import urlencode

from bridge.model.record_change import ChangeKind, RecordChange
from bridge.model.spiffe_id import SCHEME
from bridge.model.times import rfc3339
from bridge.store.ports.notices import Notice

# A name has at most two thousand characters and a note five hundred: a whole message stays far below what it may have.
MAX_BODY_BYTES = 32 * 1024
PING = "ping"
# Before a random part, as the convention has it; also what tells an id from an option in a command line.
ID_PREFIX = "msg_"

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode


class Composer:
    """Makes the notices of those changes that the configuration names."""

    def __init__(
        self,
        *,
        kinds: Collection[ChangeKind],
        trust_domains: Collection[str] | None,
        approvals_url: str | None,
        new_id: Callable[[], str],
    ) -> None:
        """`trust_domains`: whose records alone are told of; None: all, and those of no trust domain too.
        `approvals_url` is the console's page of one client that waits; None where there is no console with a URL."""
        self._kinds = frozenset(kinds)
        self._prefixes = None if trust_domains is None else tuple(f"{SCHEME}{name}/" for name in sorted(trust_domains))
        self._approvals_url, self._new_id = approvals_url, new_id

    def notice(self, change: RecordChange) -> Notice | None:
        """The message of a change; None for one that nobody asked for."""
        if change.kind not in self._kinds:
            return None
        if self._prefixes is not None and not change.subject.startswith(self._prefixes):
            return None
        # Text that is not Unicode would fail the whole commit.
        client_id = change.client_id.encode("utf-8", "replace").decode("utf-8")
        change = replace(change, client_id=client_id)
        body = message(change.kind.value, change.time, self._data(change))
        return Notice(ID_PREFIX + self._new_id(), change.kind.value, change.client_id, body)

    def _data(self, change: RecordChange) -> dict[str, object]:
        data: dict[str, object] = {
            "client_id": change.client_id,
            "subject": change.subject,
            "spiffe_id": change.subject if change.subject.startswith(SCHEME) else None,
            "state": change.state.value,
            "rule": change.rule,
            "outcome": change.outcome,
            "reason": change.reason,
            "door": change.door,
            "operator": change.operator,
            "correlation_id": change.id,
            "policy_version": change.policy_version,
        }
        said = {name: value for name, value in data.items() if value}
        if change.kind is ChangeKind.PENDING and self._approvals_url is not None:
            said["approve_at"] = f"{self._approvals_url}?{urlencode({'client': change.client_id})}"
        return said


def ping(now: int) -> str:
    """The body of a message that tells of nothing, for an operator who tries the way."""
    return message(PING, now, {"note": "sent by `bridge webhook test`"})


def message(kind: str, at: int, data: dict[str, object]) -> str:
    """The body of a message. One that would be too long, by a name that no check of ours lets pass, says as much of
    whose change it is as fits, and that it was cut."""
    body = _encode({"type": kind, "timestamp": rfc3339(at), "data": data})
    if len(body) <= MAX_BODY_BYTES:
        return body
    short = {"client_id": str(data.get("client_id", ""))[:2048], "state": data.get("state"), "cut": True}
    return _encode({"type": kind, "timestamp": rfc3339(at), "data": short})
