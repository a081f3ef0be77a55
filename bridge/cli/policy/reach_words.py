"""How reach looks: one JSON object for each scope and way, and for people a table that says the same in fewer lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from bridge.cli.output import emit_table, say
from bridge.model.evidence import Door
from bridge.model.identity import Source
from bridge.model.terms import Effect
from bridge.policy.reach import Reach, Unmatched
from bridge.policy.vocabulary import GRANTS_AT, VOCABULARIES

TITLES = {
    "spiffe": "workloads, by their SPIFFE ID",
    "metadata-document": "clients known by the URL of their metadata document",
    "software-statement": "clients that a pinned issuer vouches for",
    "pushed": "clients that push their metadata for one transaction",
}


def reach_as_json(row: Reach) -> dict[str, object]:
    """One element of `policy reach --json` (interface section 3)."""
    return {
        "pattern": row.pattern,
        "resource": row.resource,
        "scope": row.scope,
        "evidence": row.evidence.value,
        "door": row.door.value,
        "rule": row.rule,
        "source": row.source.value,
        "effect": row.effect.value,
        "grant_types": list(row.grant_types),
        "actor": row.actor,
        "unless": list(row.unless),
    }


def unmatched_as_json(unmatched: Unmatched) -> list[dict[str, object]]:
    """`policy reach --entries --json`: the same fields, and which of the two things is missing."""
    empty: dict[str, object] = dict.fromkeys(("pattern", "resource", "scope", "evidence", "door", "rule"))
    entries = [{**empty, "finding": "entry-without-rule", "subject": str(one)} for one in unmatched.identities]
    rules = [
        {**empty, "finding": "rule-without-entry", "subject": None, "pattern": pattern, "rule": rule}
        for pattern, rule in unmatched.rules
    ]
    return [*entries, *rules]


def say_unmatched(unmatched: Unmatched) -> None:
    """Both lists, each under its heading."""
    if unmatched.identities:
        say("entries that no rule gives anything:")
        for identity in unmatched.identities:
            say(f"  {identity}")
    if unmatched.rules:
        say("rules that fit no entry:")
        for pattern, rule in unmatched.rules:
            say(f"  {rule}: {pattern}")


def say_reach(rows: Iterable[Reach]) -> None:
    """A table for each source. Scopes, kinds of evidence and grant types that go together stand in one line; resources
    are left to the JSON, for each scope belongs to one of them."""
    for number, (source, group) in enumerate(groupby(rows, key=lambda row: row.source)):
        say(("\n" if number else "") + TITLES[source])
        emit_table(("who", "may", "with", "by", "rule", "but"), _lines(list(group)))


# Whom, by whom, rule, effect, denies: what a line is about.
_About = tuple[str, str | None, str, str, tuple[str, ...]]
# Grant type and door: a way in.
WayIn = tuple[str, Door]


def _lines(rows: Sequence[Reach]) -> list[tuple[str, ...]]:
    ways: dict[_About, dict[tuple[str, str], set[WayIn]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        about = (row.pattern, row.actor, row.rule, row.effect, row.unless)
        ways[about][row.evidence, row.scope] |= {(grant_type, row.door) for grant_type in row.grant_types}
    lines: list[tuple[str, ...]] = []
    for (pattern, actor, rule, effect, unless), found in ways.items():
        who = pattern if actor is None else f"{pattern} by {actor}"
        but = ["after approval"] * (effect == Effect.ASK) + [f"not where {name} denies" for name in unless]
        for scopes, evidence, how in together(found):
            by = ways_in(how, rows[0].source)
            lines.append((who, " ".join(scopes), ", ".join(evidence), by, rule, ", ".join(but)))
    return lines


def together(found: Mapping[tuple[str, str], set[WayIn]]) -> list[tuple[list[str], list[str], frozenset[WayIn]]]:
    """Scopes and evidence that have the same ways in, as few lines as the rows allow."""
    scopes: dict[tuple[str, frozenset[WayIn]], list[str]] = defaultdict(list)
    for (evidence, scope), how in found.items():
        scopes[evidence, frozenset(how)].append(scope)
    kinds: dict[tuple[tuple[str, ...], frozenset[WayIn]], list[str]] = defaultdict(list)
    for (evidence, ways), names in scopes.items():
        kinds[tuple(sorted(names)), ways].append(evidence)
    return [(list(names), evidence, ways) for (names, ways), evidence in kinds.items()]


def ways_in(ways: frozenset[WayIn], source: Source) -> str:
    """The grant types, each with its doors unless it may come by all that there are for it."""
    told = []
    for grant_type in sorted({grant_type for grant_type, _ in ways}):
        doors = {door for given, door in ways if given == grant_type}
        everywhere = {door for door in VOCABULARIES[source].doors if grant_type in GRANTS_AT[door]}
        told.append(grant_type if doors == everywhere else f"{grant_type} at {' and '.join(sorted(doors))} only")
    return ", ".join(told)
