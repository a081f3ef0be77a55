"""What waits for an operator, as the console shows it: the client, the terms, and whether they are still those of the
policy in force."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.model.client import ClientRecord, ClientState
from bridge.model.errors import InvalidRequest
from bridge.model.reasons import Reason
from bridge.policy.evaluate import PolicySet
from bridge.policy.rule import Rule
from bridge.store.ports import ClientStore, Waiting

# A client has few rules that ask.
_MOST = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list: who waits, under which rule, since when (epoch seconds), and what stands behind a name
    that says nothing."""

    client_id: str
    subject: str
    kind: str
    rule: str
    asked_at: int


@dataclass(frozen=True, slots=True)
class WaitingTerms:
    """Terms that wait. `rule` is the policy's as it is now, None where it has none of that name; `is_current` says
    whether its terms are still those that were asked for. Others nobody can meet any more."""

    waiting: Waiting
    rule: Rule | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class WaitingClient:
    """A client and all that it waits for. `record` is None for a name that nobody has; `behind` who stands behind a
    name that does not say it; `ends_at` (epoch seconds) when
    a record that waits is swept."""

    client_id: str
    record: ClientRecord | None
    behind: str
    waits: Sequence[WaitingTerms]
    ends_at: int | None


def waiting_page(
    clients: ClientStore, *, after: tuple[str, str], limit: int
) -> tuple[list[Line], tuple[str, str] | None]:
    """A page of those who wait, behind `after` (client and rule); and behind what the next begins, None on the last."""
    found = clients.waiting(limit=limit + 1, after=after)
    lines = [_line(one, clients.get(one.client_id)) for one in found[:limit]]
    return lines, (found[limit - 1].client_id, found[limit - 1].rule) if len(found) > limit else None


def waiting_client(
    clients: ClientStore, policy: PolicySet, client_id: str, *, now: int, pending_expiry: int
) -> WaitingClient:
    """One client, with what it waits for under the policy as it is now."""
    record = clients.get(client_id)
    found = clients.waiting(limit=_MOST, after=(client_id, ""))
    rules = {rule.id: rule for rule in policy.rules}
    waits = []
    for one in found:
        if one.client_id == client_id:
            rule = rules.get(one.rule)
            is_current = rule is not None and rule.terms is not None and rule.terms.digest == one.digest
            waits.append(WaitingTerms(one, rule, is_current))
    ends_at = None
    if record is not None and record.state_at(now) is ClientState.PENDING:
        ends_at = min(record.last_used_at + pending_expiry, record.expires_at or record.last_used_at + pending_expiry)
    return WaitingClient(client_id, record, _behind(client_id, record), waits, ends_at)


def terms_text(waits: Sequence[WaitingTerms]) -> str:
    """What a form says that its operator was shown."""
    return json.dumps([[one.waiting.rule, one.waiting.digest] for one in waits], separators=(",", ":"))


def read_terms(text: str) -> list[tuple[str, str]]:
    """The inverse of `terms_text`. Raises: InvalidRequest."""
    try:
        said = json.loads(text)
        return [(str(rule), str(digest)) for rule, digest in said]
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(Reason.MALFORMED_REQUEST, "the terms of the form are none") from error


def _line(one: Waiting, record: ClientRecord | None) -> Line:
    kind = "" if record is None else record.kind.value
    return Line(one.client_id, _behind(one.client_id, record), kind, one.rule, one.asked_at)


def _behind(client_id: str, record: ClientRecord | None) -> str:
    subject = "" if record is None else record.parent or record.subject
    return "" if subject == client_id else subject
