"""How a difference of policies looks: a sentence for each change, and as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from bridge.cli.output import paint, printable, say
from bridge.cli.policy.reach_words import TITLES, WayIn, together, ways_in
from bridge.model.terms import Effect
from bridge.policy.diff import Change, Who
from bridge.policy.differences import Difference
from bridge.policy.durations import spelled
from bridge.policy.introspection_diff import IntrospectionChange
from bridge.policy.permits import TERMS, Naming, Permit

_SIGNS = {"gains": ("+", "green"), "loses": ("-", "red"), "changes": ("~", "yellow")}
_SECONDS = frozenset({"token_ttl", "refresh_ttl", "lease"})
_MOST_NAMED = 5


def change_as_json(change: Change) -> dict[str, object]:
    """One element of `policy diff --json`."""
    difference, who = change.difference, change.who
    return {
        "change": change.kind,
        "source": change.source.value,
        "pattern": who.pattern,
        "but_not": list(who.but_not),
        "actor": who.actor.pattern,
        "actor_but_not": list(who.actor.but_not),
        "named": difference.question.naming.value,
        "resource": " ".join(difference.question.resources) or None,
        "scope": " ".join(difference.question.scopes) or None,
        "evidence": change.evidence.value,
        "door": change.door.value,
        "grant_types": list(change.grant_types),
        "before": permit_as_json(difference.before),
        "after": permit_as_json(difference.after),
        "terms": list(difference.terms),
        "rules_before": list(change.rules_before),
        "rules_after": list(change.rules_after),
    }


def permit_as_json(permit: Permit | None) -> dict[str, object] | None:
    """What a request gets, with all terms."""
    if permit is None:
        return None
    terms = {name: getattr(permit, name) for name in TERMS}
    terms["approval"] = permit.approval[0] if permit.approval else None
    granted = {"scopes": list(permit.scopes), "resources": list(permit.resources)}
    return {**{name: list(value) if isinstance(value, tuple) else value for name, value in terms.items()}, **granted}


def introspection_as_json(change: IntrospectionChange) -> dict[str, object]:
    """The same fields for who may introspect tokens."""
    empty = ("actor", "scope", "evidence", "door", "before", "after")
    return {
        **dict.fromkeys(empty),
        "change": "gains" if change.gained else "loses",
        "source": "catalogue",
        "pattern": change.pattern,
        "but_not": list(change.but_not),
        "actor_but_not": [],
        "named": "introspection",
        "resource": change.resource,
        "grant_types": [],
        "terms": [],
        "rules_before": [],
        "rules_after": [],
    }


def say_changes(changes: Iterable[Change]) -> None:
    """A heading for each source, and each change as a sentence with its conditions below it."""
    for number, (source, group) in enumerate(groupby(changes, key=lambda change: change.source)):
        say(("\n" if number else "") + TITLES[source])
        for kind, sentence, below in _told(list(group)):
            sign, colour = _SIGNS[kind]
            say(f"{paint(sign, colour)} {printable(sentence)}")
            for line in below:
                say(f"    {printable(line)}")


def say_introspection(change: IntrospectionChange) -> None:
    """The same for who may introspect tokens."""
    sign, colour = _SIGNS["gains" if change.gained else "loses"]
    verb = "may introspect" if change.gained else "may no longer introspect"
    say(f"{paint(sign, colour)} {printable(change.pattern)} {verb} tokens for {printable(change.resource)}")
    for line in _but_not(change.but_not):
        say(f"    {printable(line)}")


# What a sentence is about, beside the scopes: whom, what kind of change, in which words, by which rules.
_About = tuple[Who, str, str, tuple[str, ...], tuple[str, ...]]


def _told(changes: Sequence[Change]) -> Iterable[tuple[str, str, list[str]]]:
    """What can be told in one sentence together: kind, sentence, and the lines below it."""
    found: dict[_About, dict[tuple[str, str], set[WayIn]]] = defaultdict(lambda: defaultdict(set))
    for change in changes:
        about = (change.who, change.kind, _words(change.difference), change.rules_before, change.rules_after)
        ways = {(grant_type, change.door) for grant_type in change.grant_types}
        found[about][change.evidence, _named(change.difference)] |= ways
    for (who, kind, words, before, after), by in found.items():
        for named, evidence, how in together(by):
            sentence = f"{who.pattern} {words.replace('{}', ' '.join(named))}"
            conditions = f"with {', '.join(evidence)} by {ways_in(how, changes[0].source)}"
            acting = [] if who.actor.pattern is None else [f"while {who.actor.pattern} acts for it"]
            below = [conditions, *acting, *_but_not(who.actor.but_not, "while it is not "), *_by(kind, before, after)]
            yield kind, sentence, [*below, *_but_not(who.but_not)]


def _named(difference: Difference) -> str:
    """What goes into the place of `{}`: scopes that may be told together."""
    return " ".join(difference.question.scopes) if difference.question.naming is Naming.SCOPE else ""


def _words(difference: Difference) -> str:
    """The sentence behind the pattern; `{}` stands for the scopes of requests for a single one."""
    before, after, question = difference.before, difference.after, difference.question
    waits = " after approval" if after is not None and after.effect is Effect.ASK else ""
    what = "{}" if question.naming is Naming.SCOPE else f"{' '.join(question.scopes)} in one request"
    if question.naming in (Naming.SCOPE, Naming.TOGETHER):
        if before is None:
            return f"gains {what}{waits}"
        return f"loses {what}" if after is None else f"gets {what} on other terms: {spelled_terms(before, after)}"
    asked = f"that names only {' '.join(question.resources)}" if question.resources else "that names nothing"
    if before is None or after is None:
        granted = after or before
        scopes = " ".join(granted.scopes) if granted is not None else ""
        return f"with a request {asked} gets {scopes}{waits}" if before is None else f"no longer gets {scopes} {asked}"
    instead = f"gets {' '.join(after.scopes)}, not {' '.join(before.scopes)}"
    terms = [f"on other terms: {spelled_terms(before, after)}"] if difference.terms else []
    return f"with a request {asked} " + ", ".join([instead] * (before.scopes != after.scopes) + terms)


def spelled_terms(before: Permit, after: Permit) -> str:
    """The terms that are others, in words."""
    names = before.differs_from(after)
    if "effect" in names:
        names = tuple(name for name in names if name != "approval")
    return ", ".join(_term(name, before, after) for name in names)


def _term(name: str, before: Permit, after: Permit) -> str:
    if name == "approval":
        return "has to be approved anew"
    return f"{name} {_value(name, getattr(before, name))} -> {_value(name, getattr(after, name))}"


def _value(name: str, value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name in _SECONDS:
        return spelled(value)
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _by(kind: str, before: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
    """Which rules it comes by."""
    one, other = ", ".join(before), ", ".join(after)
    if kind == "gains":
        return [f"by rule {other}" + (f", where {one} denied it" if one else "")]
    if kind == "loses":
        return [f"by rule {one}" + (f", where {other} denies it now" if other else "")]
    return [f"by rule {one}" if one == other else f"by rule {other}, not {one}"]


def _but_not(patterns: Sequence[str], words: str = "but not ") -> list[str]:
    if not patterns:
        return []
    more = f" and {len(patterns) - _MOST_NAMED} more (--json)" if len(patterns) > _MOST_NAMED else ""
    return [words + ", ".join(patterns[:_MOST_NAMED]) + more]
