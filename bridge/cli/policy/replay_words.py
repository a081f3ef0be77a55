"""How a replay looks: groups by rule for people, and one object a change for programs (interface section 3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby

from bridge.cli.output import emit_json_line, emit_table, say, timestamp
from bridge.cli.policy.diff_words import permit_as_json, spelled_terms
from bridge.cli.policy.replay_book import ChangedAsk, Count
from bridge.model.inert import in_short
from bridge.model.terms import Effect
from bridge.policy.replay import RecordedAsk, Replayed, Side

_HEADINGS = {
    "gains": "would be given by rule {rule}",
    "loses": "would no longer be given by rule {rule}",
    "changes": "would be given on other terms than by rule {rule}",
}


def change_told(subject: str, recorded: RecordedAsk, replayed: Replayed) -> dict[str, object]:
    """One element of `policy replay --json`, without its counts."""
    ask = recorded.ask
    return {
        "subject": subject,
        "evidence": recorded.subject.evidence.value,
        "ask": {**ask.to_audit(), "proved": sorted(method.value for method in recorded.proved)},
        "before": _side(replayed.before),
        "after": _side(replayed.after),
        "change": replayed.kind,
        "already": replayed.already,
        "door": ask.door.value,
        "document": recorded.subject.url,
    }


def _side(side: Side) -> dict[str, object]:
    terms = permit_as_json(side.permit)
    return {
        "effect": side.effect.value,
        "rule": side.rule,
        "client_id": side.client_id,
        "because": side.because or None,
        "terms": terms,
    }


def words_of(replayed: Replayed) -> str:
    """What would come of a request, in few words."""
    before, after = replayed.before, replayed.after
    if after.effect is Effect.DENY:
        return f"denied by {after.rule}" if after.because == "policy_deny_rule" else after.because
    if before.effect is not after.effect:
        return "has to be approved" if after.effect is Effect.ASK else "allowed"
    if before.permit is None or after.permit is None:
        return f"client {after.client_id or 'derived'}, not {before.client_id}"
    scopes = [f"gets {' '.join(after.permit.scopes)}"] if before.permit.scopes != after.permit.scopes else []
    return ", ".join([*scopes, *filter(None, [spelled_terms(before.permit, after.permit)])])


def emit_changes(changes: Iterable[tuple[ChangedAsk, Count]]) -> None:
    """One JSON object a line."""
    for change, count in changes:
        counts = {"requests": count.requests, "rows": count.rows}
        times = {"first": timestamp(count.first), "last": timestamp(count.last), "id": count.id}
        emit_json_line({**json.loads(change.told), **counts, **times})


def say_changes(changes: Iterable[tuple[ChangedAsk, Count]]) -> None:
    """A table for each rule, an identity's asks a line each."""
    for number, ((already, kind, rule), group) in enumerate(groupby(changes, key=_group)):
        heading = _HEADINGS[kind].format(rule=rule or "(none)")
        say(("\n" if number else "") + heading + (", as the policies in force do already:" if already else ":"))
        emit_table(("who", "asked", "with", "requests", "last", "then", "id"), map(_line, group))


def _group(found: tuple[ChangedAsk, Count]) -> tuple[bool, str, str]:
    return found[0].already, found[0].kind, found[0].rule


def _line(found: tuple[ChangedAsk, Count]) -> tuple[object, ...]:
    change, count = found
    told = json.loads(change.told)
    who = change.subject if told["document"] in (None, change.subject) else f"{told['document']} by {change.subject}"
    return who, _asked(told["ask"]), told["evidence"], count.requests, timestamp(count.last), change.words, count.id


def _asked(ask: Mapping[str, list[str]]) -> str:
    return in_short(" ".join(ask["scopes"] or ask["resources"])) or "nothing by name"
