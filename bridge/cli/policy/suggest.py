"""`bridge policy suggest`: the rule and the case that would have admitted a refused request."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import ConfigurationRefused, Failure, config_option, json_option, settings_of
from bridge.cli.output import emit_json, note, printable, say, timestamp
from bridge.cli.policy.folder import defaults_of, usable_folder

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.model.audit import AuditEvent
    from bridge.policy.cases import Request
    from bridge.policy.suggest import Suggestion
    from bridge.policy.suggested_cases import SuggestedCases

_PENDING = "approval_pending"


@click.command()
@click.argument("audit_id", metavar="AUDIT-ID")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="What to give to a request that named none.")
@config_option
@json_option
def suggest(audit_id: str, scopes: tuple[str, ...], config: Path, as_json: bool) -> int:
    """Write the narrowest rule that would have admitted a refused request, and a case with its refused twin.

    It names this identity alone, its evidence, its door and what it asked for. It was tried out: the policies load with
    it and admit the request; what else would change is said. Nothing is written to any file. AUDIT-ID is the
    correlation id of the refusal.

    Exit 1: no rule would help (a deny, a limit, a missing proof, ...), and what would.

    \b
    Example:
      bridge policy suggest 5f0c1d0a9b7e4c22
    """
    settings = settings_of(config)
    try:
        event, request = _refused(settings, audit_id)
        found, cases = _suggested(settings, event, request, scopes)
    except Failure as failure:
        if not as_json:
            raise
        emit_json({"rule": None, "because": failure.message})
        return 1
    if as_json:
        emit_json(_as_json(found, cases))
    else:
        _say(found, cases)
    return 0


def _refused(settings: Settings, audit_id: str) -> tuple[AuditEvent, Request]:
    """The row and its request. Raises: Failure when no rule refused it."""
    from bridge.cli.audit.lookup import decided_row, recorded_of
    from bridge.model.audit import AuditEventKind
    from bridge.opening import open_store
    from bridge.policy.cases import Request
    from bridge.policy.recorded_request import is_of_policy

    with closing(open_store(settings)) as store:
        event = decided_row(store, audit_id)
    if event.event is not AuditEventKind.REFUSED:
        by = f", by the rule {printable(event.rule)}" if event.rule else ""
        raise Failure(f"{printable(audit_id)} was not refused: it was allowed{by}")
    if not is_of_policy(event.reason) and event.reason != _PENDING:
        words = f"no rule refused it, so none can admit it: {printable(event.reason)}"
        raise Failure(f"{words}; next: `bridge audit show {printable(audit_id)}`")
    recorded = recorded_of(event)
    return event, Request(recorded.subject, recorded.ask, recorded.proved)


def _suggested(
    settings: Settings, event: AuditEvent, request: Request, scopes: tuple[str, ...]
) -> tuple[Suggestion, SuggestedCases]:
    from bridge.policy.suggest import NothingToSuggest, Workshop
    from bridge.policy.suggest import suggest as suggested
    from bridge.policy.suggested_cases import suggested_cases

    defaults = defaults_of(settings)
    workshop = Workshop(settings.policy_directory, defaults, usable_folder(settings.policy_directory, defaults))
    why = f"admits the request {event.id} of {timestamp(event.time)}: say who needs this, and for what"
    try:
        found = suggested(workshop, request, why=why, scopes=scopes)
    except NothingToSuggest as error:
        raise Failure(f"nothing to suggest: {printable(error)}") from error
    except ValueError as error:
        raise ConfigurationRefused([f"{settings.policy_directory}: {error}"]) from error
    name = f"{request.subject.actor} gets {' '.join(request.ask.scopes) or 'what it asked for'}"
    return found, suggested_cases(found.policy, request, found.file, name)


def _say(found: Suggestion, cases: SuggestedCases) -> None:
    from bridge.cli.policy.diff_words import say_changes
    from bridge.cli.policy.words import say_finding

    where = (
        f"in the place of the rule at line {found.line} of"
        if found.line
        else "a new file:"
        if found.is_new_file
        else "add to"
    )
    say(f"# {where} {printable(found.file)}")
    say(found.text)
    say(f"# add to {printable(cases.file)}")
    say(cases.text.rstrip())
    if found.also:
        say("\n# for the same identity it also means:")
        say_changes(found.also)
    for finding in found.warnings:
        say_finding(finding)
    if not cases.has_twin:
        note("no neighbour of this request is refused: look at what the rules give to everybody else")
    note(
        "tried out: with it these policies load and admit the request"
        + ("" if found.also else ", and nothing else changes")
        + "; next: write the why, then `bridge policy test`"
    )


def _as_json(found: Suggestion, cases: SuggestedCases) -> dict[str, object]:
    from bridge.cli.policy.diff_words import change_as_json
    from bridge.cli.policy.words import finding_as_json

    return {
        "file": found.file,
        "line": found.line or None,
        "new_file": found.is_new_file,
        "rule": found.rule,
        "text": found.text,
        "case_file": cases.file,
        "cases": cases.text,
        "also": [change_as_json(change) for change in found.also],
        "warnings": [finding_as_json(finding) for finding in found.warnings],
    }
