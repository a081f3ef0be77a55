"""`bridge policy unused`: which rules decided nothing for a while, as far as the audit log goes back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import ConfigurationRefused, Moment, config_option, json_option, moment_at, settings_of
from bridge.cli.output import Progress, emit_json, emit_table, note, paint, printable, say, timestamp
from bridge.cli.policy.folder import defaults_of
from bridge.model.audit import AuditEventKind

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.policy.folder import Checked
    from bridge.policy.rule import Rule
    from bridge.store.ports import AuditStore, RuleUse

# Each piece is one short read of the database.
_ROWS_AT_ONCE = 20_000
_DAY = 86_400
# What the check of the files says of a rule that explains why it decides nothing.
_SHADOWS = ("unreachable", "fully-denied", "ineffective-subset")


@dataclass(frozen=True, slots=True)
class _Idle:
    """A rule that decided nothing lately. `use`: the last time it did, None where the log has none. `because` is what
    the check of the files knows; `but` what it does beside deciding, which no row tells."""

    rule: Rule
    line: int
    use: RuleUse | None
    because: str
    but: str


@dataclass(frozen=True, slots=True)
class _Uses:
    """What the log says. `begins` and `changed` (epoch seconds): its first row, and the last change of policies that it
    knows; None where there is none. `unkept`: refusals of which it keeps only the number."""

    by_rule: dict[str, RuleUse]
    begins: int | None
    changed: int | None
    unkept: int


@click.command()
@click.option(
    "--since",
    type=Moment(),
    metavar="TIME",
    help='How long ago ("30d"), or RFC 3339.  [default: as far as the log goes]',
)
@config_option
@json_option
def unused(since: int | None, config: Path, as_json: bool) -> int:
    """Say which rules of the policies in force decided no request in that time, by the audit log: where they stand,
    when they decided last, and how far back the log goes. Exit 1 when there is one.

    A rule counts as used with each row that names it: tokens, registrations, approvals by users, refusals. Beside that,
    a rule may say which client an identity is, and a deny of scopes or resources narrows what others give: no row says
    so, and such rules are marked. Rules are known by their id: one that was changed has the uses of its former self.

    \b
    Example:
      bridge policy unused --since 30d
    """
    from bridge.ambient import now
    from bridge.opening import open_store
    from bridge.policy.folder import check_folder

    settings = settings_of(config)
    checked = check_folder(settings.policy_directory, defaults_of(settings))
    if checked.policy_set is None:
        raise ConfigurationRefused([f"{settings.policy_directory}: does not load, see `bridge policy check`"])
    at = now()
    start = moment_at(since, at)
    with closing(open_store(settings)) as store:
        uses = _uses(store.audit)
    idle = _idle(settings, checked, uses, start)
    if as_json:
        _emit(idle, uses, start)
    else:
        _say(idle, uses, start, len(checked.policy_set.rules), at)
    return 1 if idle else 0


def _uses(audit: AuditStore) -> _Uses:
    """All rows up to the last one that is there now."""
    first = audit.rows(limit=1)
    changes = audit.rows(events=[AuditEventKind.POLICY_CHANGED], limit=1, newest_first=True)
    found: dict[str, RuleUse] = {}
    unkept = 0
    after, end = audit.span()
    progress, begin = Progress("rows looked at"), after
    while after < end:
        until = min(after + _ROWS_AT_ONCE, end)
        for use in audit.rule_uses(after, until):
            if use.rule is None:
                unkept += use.requests
            else:
                found[use.rule] = _joined(found.get(use.rule), use)
        after = until
        progress.at(after - begin)
    progress.end(end - begin)
    return _Uses(found, first[0].event.time if first else None, changes[0].event.time if changes else None, unkept)


def _joined(one: RuleUse | None, other: RuleUse) -> RuleUse:
    if one is None:
        return other
    later = other if other.last >= one.last else one
    return later._replace(requests=one.requests + other.requests)


def _idle(settings: Settings, checked: Checked, uses: _Uses, start: int | None) -> list[_Idle]:
    """The rules without a use since then, by file and line."""
    from bridge.policy.locate import Lines

    assert checked.policy_set is not None, "looked at before"
    because = {
        finding.rule: f"{finding.code}: {finding.message}" for finding in checked.findings if finding.code in _SHADOWS
    }
    lines = dict[str, Lines]()
    found = []
    for rule in checked.policy_set.rules:
        use = uses.by_rule.get(rule.id)
        if use is not None and (start is None or use.last >= start):
            continue
        if rule.file not in lines:
            lines[rule.file] = Lines((settings.policy_directory / rule.file).read_text(encoding="utf-8"))
        line = lines[rule.file].of(("rule", rule.number))
        found.append(_Idle(rule, line, use, because.get(rule.id, ""), _beside(rule)))
    return sorted(found, key=lambda one: (one.rule.file, one.line, one.rule.id))


def _beside(rule: Rule) -> str:
    if rule.client is not None:
        return "says which client others are"
    return "narrows what other rules give" if rule.scopes or rule.resources else ""


def _reaches(uses: _Uses, start: int | None) -> bool:
    """Whether the log goes back as far as was asked."""
    return uses.begins is not None and (start is None or uses.begins <= start)


def _emit(idle: list[_Idle], uses: _Uses, start: int | None) -> None:
    rules = [
        {
            "rule": one.rule.id,
            "file": one.rule.file,
            "line": one.line,
            "effect": one.rule.effect.value,
            "why": one.rule.why,
            "last_match": None if one.use is None else timestamp(one.use.last),
            "last_id": None if one.use is None else one.use.id,
            "finding": one.because or None,
            "beside": one.but or None,
        }
        for one in idle
    ]
    told = {"since": timestamp(start), "audit_since": timestamp(uses.begins), "reaches": _reaches(uses, start)}
    emit_json({**told, "policies_changed": timestamp(uses.changed), "unkept": uses.unkept, "rules": rules})


def _say(idle: list[_Idle], uses: _Uses, start: int | None, rules: int, now: int) -> None:
    """For people: the rules, then what has to be known before one of them is removed."""
    if idle:
        columns = ("place", "rule", "effect", "last match", "beside", "finding")
        places = ((f"{one.rule.file}:{one.line}", one) for one in idle)
        emit_table(
            columns,
            (
                (
                    place,
                    one.rule.id,
                    one.rule.effect.value,
                    "never" if one.use is None else timestamp(one.use.last),
                    one.but,
                    one.because,
                )
                for place, one in places
            ),
        )
        say(f"{len(idle)} of {rules} rules decided nothing")
    else:
        say(f"{paint('ok')}  each of the {rules} rules decided something")
    if uses.begins is None:
        note("the audit log is empty: nothing can be said")
    elif not _reaches(uses, start):
        assert start is not None, "without it the log goes back far enough"
        days, wanted = (now - uses.begins) // _DAY, -(-(now - start) // _DAY)
        note(f"the audit log goes back {days} days only: nothing can be said for {wanted}")
    if idle and uses.changed is not None:
        note(f"policies changed last {printable(timestamp(uses.changed))}: younger rules have had less time")
    if idle and uses.unkept:
        note(f"refusals of which the log keeps only the number: {uses.unkept:,}; a deny may have decided some of them")
