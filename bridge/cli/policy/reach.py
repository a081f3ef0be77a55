"""`bridge policy reach`: who may do what, as one table; what one identity could get; who could get one scope."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from bridge.cli.options import Failure, config_option, json_option
from bridge.cli.output import emit_json, emit_json_array, paint, say
from bridge.cli.policy.folder import note_what_is_off, policies_option, usable_policies

if TYPE_CHECKING:
    from bridge.model.identity import PolicySubject
    from bridge.policy.evaluate import PolicySet
    from bridge.policy.reach import Reach, Survey

_SOURCES = ("spiffe", "metadata-document", "software-statement", "pushed")


@click.command()
@click.option("--subject", metavar="SUBJECT", help="SPIFFE ID, document URL, or the subject beside --issuer.")
@click.option("--issuer", metavar="URL", help="Who made the software statement.")
@click.option("--spiffe-id", metavar="ID", help="The SPIFFE ID that acts for a metadata document.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="Only this; may be given several times.")
@click.option("--source", type=click.Choice(_SOURCES), help="Only rules of this source.")
@click.option(
    "--entries",
    type=click.File("rb"),
    metavar="FILE|-",
    help="What `spire-server entry show -output json` says: compare it with the rules.",
)
@policies_option
@config_option
@json_option
def reach(
    subject: str | None,
    issuer: str | None,
    spiffe_id: str | None,
    scopes: tuple[str, ...],
    source: str | None,
    entries: IO[bytes] | None,
    policies: Path | None,
    config: Path,
    as_json: bool,
) -> int:
    """Say who may do what: everybody, one identity, or all who could get a scope.

    For one identity the answer is exact. In the table of everybody, `but not` names the denies that take a thing from
    some of those whom a pattern stands for. With --entries: entries that no rule gives anything, and rules that no
    entry fits.

    Exit 1: nobody gets anything, or entries and rules do not fit.

    \b
    Example:
      bridge policy reach
      bridge policy reach --subject spiffe://example.org/ns/web/sa/api
      bridge policy reach --scope ledger.write
      spire-server entry show -output json | bridge policy reach --entries -
    """
    from bridge.policy.reach import Survey

    if entries is not None and (subject or issuer or spiffe_id or scopes or source):
        raise click.UsageError("--entries is about all entries and all rules: leave the other options out")
    asked = _subject(subject, issuer, spiffe_id)
    policy = usable_policies(policies, config)
    survey = Survey(policy)
    if entries is not None:
        return _compare(survey, entries.read(), as_json)
    _check_scopes(policy, scopes)
    found = survey.whole() if asked is None else survey.of_subject(asked)
    rows = [row for row in found if (not scopes or row.scope in scopes) and source in (None, row.source)]
    _show(rows, as_json)
    if policies is None:
        codes = any("authorization_code" in row.grant_types and row.source != "pushed" for row in rows)
        note_what_is_off(config, pushed=any(row.source == "pushed" for row in rows), codes=codes)
    return 0 if rows else 1


def _subject(subject: str | None, issuer: str | None, spiffe_id: str | None) -> PolicySubject | None:
    """Whom the question is about; None: everybody."""
    from bridge.policy.cases import BadRequest, subject_of

    if subject is None and issuer is None and spiffe_id is None:
        return None
    try:
        return subject_of(subject, issuer=issuer, spiffe_id=spiffe_id)
    except BadRequest as error:
        raise click.UsageError(str(error)) from error


def _check_scopes(policy: PolicySet, scopes: tuple[str, ...]) -> None:
    from bridge.policy.slips import nearest

    for scope in scopes:
        if scope not in policy.catalogue.home:
            meant = nearest(scope, policy.catalogue.home)
            hint = "" if meant is None else f": did you mean '{meant}'?"
            raise Failure(f"the scope '{scope}' is not in the catalogue{hint}")


def _show(rows: list[Reach], as_json: bool) -> None:
    from bridge.cli.policy.reach_words import reach_as_json, say_reach

    if as_json:
        emit_json_array(reach_as_json(row) for row in rows)
    elif rows:
        say_reach(rows)
    else:
        say("nobody gets anything of this")


def _compare(survey: Survey, written: bytes, as_json: bool) -> int:
    from bridge.cli.policy.reach_words import say_unmatched, unmatched_as_json
    from bridge.spire.entries import MalformedEntries, parse_entries

    try:
        identities = parse_entries(written)
    except MalformedEntries as error:
        raise click.BadParameter(str(error), param_hint="--entries") from error
    unmatched = survey.unmatched(identities)
    if as_json:
        emit_json(unmatched_as_json(unmatched))
    elif not unmatched.identities and not unmatched.rules:
        say(f"{paint('ok')}  every entry has a rule, and every rule an entry; identities: {len(set(identities))}")
    else:
        say_unmatched(unmatched)
    return 1 if unmatched.identities or unmatched.rules else 0
