"""`bridge clients`: the records, and what an operator may do with them (interface section 9)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.clients.documents import require_yes, seen_at, tell
from bridge.cli.clients.endings import Ending, ending_of, was_revoked
from bridge.cli.clients.listing import list_clients
from bridge.cli.clients.recheck import recheck
from bridge.cli.clients.records import waiting_of
from bridge.cli.clients.show import show
from bridge.cli.options import Failure, config_option, json_option, settings_of
from bridge.cli.output import emit_json, note, printable, say
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.evidence import names_document

if TYPE_CHECKING:
    from bridge.registration.seen_documents import SeenDocument
    from bridge.registration.verdicts import Verdict, Verdicts
    from bridge.store.ports import Changed


@click.group()
def clients() -> None:
    """List client records, and revoke, deny or approve them.

    \b
    Example:
      bridge clients list --state active --prefix spiffe://example.org/ns/web/
    """


clients.add_command(list_clients)
clients.add_command(recheck)
clients.add_command(show)

_argument = click.argument("identifier", metavar="ID")
_note_option = click.option("--note", default="", metavar="TEXT", help="Why; kept in the audit log.")


@clients.command()
@_argument
@_note_option
@json_option
@config_option
def revoke(identifier: str, note: str, as_json: bool, config: Path) -> int:
    """End all tokens of a client. Its next valid request registers it anew.

    ID is a client_id or a SPIFFE ID. The client_id of an instance ends that instance alone, the SPIFFE ID all
    instances of the identity; under a shared client it ends that identity alone.

    \b
    Example:
      bridge clients revoke spiffe://example.org/ns/web/sa/api --note "INC-42"
      bridge clients revoke instance-Y2hFv0q9 --note "that pod only"
    """
    return _change(
        config,
        AuditEventKind.REVOKED,
        identifier,
        note,
        as_json,
        lambda verdicts, verdict: verdicts.revoke(identifier, verdict),
    )


@clients.command()
@_argument
@_note_option
@json_option
@config_option
def deny(identifier: str, note: str, as_json: bool, config: Path) -> int:
    """End all tokens of a client and refuse it from now on, whatever the policies say.

    ID is a client_id, a SPIFFE ID or a document's URL; the last two need not have been seen before: the answer says
    whether they were, and whether the trust domain is configured here. A SPIFFE ID goes with all its instances, those
    to come too, and wherever it acts for a document; an instance's client_id keeps out that instance alone, and its
    identity may make another.

    \b
    Example:
      bridge clients deny spiffe://example.org/ns/web/sa/stolen --note "INC-42"
    """
    return _change(
        config,
        AuditEventKind.DENIED,
        identifier,
        note,
        as_json,
        lambda verdicts, verdict: verdicts.deny(identifier, verdict),
    )


@clients.command()
@_argument
@_note_option
@json_option
@config_option
def undeny(identifier: str, note: str, as_json: bool, config: Path) -> int:
    """Take a denial back. The next valid request registers the client anew.

    \b
    Example:
      bridge clients undeny spiffe://example.org/ns/web/sa/stolen --note "INC-42 closed"
    """
    return _change(
        config,
        AuditEventKind.UPDATED,
        identifier,
        note,
        as_json,
        lambda verdicts, verdict: verdicts.undeny(identifier, verdict),
    )


@clients.command()
@_argument
@_note_option
@click.option("--yes", is_flag=True, help="Do not ask: approve what the document at a URL says now.")
@json_option
@config_option
def approve(identifier: str, note: str, yes: bool, as_json: bool, config: Path) -> int:
    """Approve all that a client waits for. An approval is for these terms and ends with the record.

    ID is a client_id; a SPIFFE ID approves its instances that wait, too. `bridge clients list --pending` shows
    who waits, and for what.

    Of a client that is known by a URL nothing was fetched yet: its document is fetched now and shown, and you are
    asked. Where nobody can be asked, say --yes. Of what the document says later, policy decides as ever.

    \b
    Example:
      bridge clients approve spiffe://example.org/ns/web/sa/api --note "SEC-7, reviewed"
      bridge clients approve https://app.example.com/client.json
    """
    seen = _look(config, identifier, yes, as_json) if names_document(identifier) else None
    return _change(
        config,
        AuditEventKind.APPROVED,
        identifier,
        note,
        as_json,
        lambda verdicts, verdict: verdicts.approve(identifier, verdict),
        seen,
    )


def _look(config: Path, url: str, yes: bool, as_json: bool) -> SeenDocument:
    """Show the document of a client that waits, and have it approved. Raises: Failure when it is not."""
    from bridge.opening import open_store

    settings = settings_of(config)
    with closing(open_store(settings)) as store:
        if not any(waiting_of(store.clients, url)):
            raise Failure(f"{_nothing(AuditEventKind.APPROVED)} {printable(url)}; see `bridge clients list --pending`")
    seen = seen_at(settings, url)
    if not as_json:
        tell(seen)
    require_yes(url, said=yes)
    return seen


def _change(
    config: Path,
    kind: AuditEventKind,
    identifier: str,
    reason: str,
    as_json: bool,
    verb: Callable[[Verdicts, Verdict], Changed],
    seen: SeenDocument | None = None,
) -> int:
    """Take one decision, and say what it touched. `seen` is what was looked at before."""
    from bridge.ambient import new_id, now
    from bridge.cli.operator import operator_name
    from bridge.opening import open_store_to_change
    from bridge.registration.verdicts import UnfitVerdict, Verdict, Verdicts, read_note

    settings = settings_of(config)
    beside = {} if seen is None else {"document": seen.digest}
    try:
        verdict = Verdict(operator_name(), read_note(reason), new_id(), now(), beside)
    except UnfitVerdict as error:
        raise click.BadParameter(str(error), param_hint="--note") from error
    with closing(open_store_to_change(settings)) as store:
        already = was_revoked(store, identifier)
        try:
            changed = verb(Verdicts(store.clients), verdict)
        except UnfitVerdict as error:
            raise click.BadParameter(f"{printable(identifier)}: {error}", param_hint="ID") from error
        if not changed:
            raise Failure(f"{_nothing(kind)} {printable(identifier)}; see `bridge clients list`")
        ending = ending_of(store, settings, identifier, kind, changed, already=already, now=verdict.now)
    _tell_change(verdict.event(kind, identifier), changed, ending, seen, as_json)
    return 0


def _tell_change(
    event: AuditEvent, changed: Changed, ending: Ending | None, seen: SeenDocument | None, as_json: bool
) -> None:
    members = [{"client_id": client_id, "spiffe_id": spiffe_id} for client_id, spiffe_id in changed.members]
    if as_json:
        fields = {} if ending is None else ending.fields()
        fields |= {} if seen is None else {"document": seen.fields()}
        touched = {"client_ids": list(changed.client_ids), "members": members}
        emit_json({"id": event.id, "event": event.event.value, **touched, **fields})
        return
    for client_id in changed.client_ids:
        say(f"{event.outcome} {printable(client_id)}")
    for member in members:
        say(f"{event.outcome} {printable(member['spiffe_id'])} under {printable(member['client_id'])}")
    if ending is not None:
        ending.tell()
    note(f"`bridge audit show {event.id}` shows the record of this")


def _nothing(kind: AuditEventKind) -> str:
    match kind:
        case AuditEventKind.APPROVED:
            return "nothing waits for approval under"
        case AuditEventKind.UPDATED:
            return "nothing is denied under"
        case _:
            return "no client and no member goes by"
