"""`bridge audit`: what was decided, issued, refused and changed; and whether the log is whole."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.advice.table import advice_on
from bridge.cli.audit.choosing import events_option, since_option
from bridge.cli.audit.export import FOLLOW_SECONDS, export
from bridge.cli.audit.lookup import nothing_under
from bridge.cli.audit.rows import emit_rows, row_fields, rows_after, tab_line
from bridge.cli.options import config_option, json_option, list_options, moment_at, settings_of
from bridge.cli.output import Progress, emit_json, emit_json_line, emit_table, note, paint, printable, say
from bridge.cli.stopping import Stop
from bridge.model.audit import AuditEventKind, AuditRow
from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason
from bridge.policy.recorded_request import is_of_policy

if TYPE_CHECKING:
    from bridge.store.ports import AuditStore

# How the outcome ends where a code or refresh token came twice and its grant was ended for it.
_REUSED = "_reused"


@click.group()
def audit() -> None:
    """Read, follow, verify and export the audit log.

    \b
    Example:
      bridge audit tail --since 1h --event refused
    """


audit.add_command(export)


@audit.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with new rows until Ctrl-C.")
@since_option
@events_option
@list_options
@json_option
@config_option
def tail(
    follow: bool, since: int | None, events: tuple[str, ...], limit: int | None, as_json: bool, config: Path
) -> int:
    """Show the newest rows, oldest of them first; with --json one object a line.

    Events: registered, token_issued, refused, updated, revoked, denied, approved, expired,
    bundle_changed, policy_changed, keys_rotated, webhook_failed.

    \b
    Example:
      bridge audit tail --follow --event refused --event registered
    """
    from bridge.ambient import now
    from bridge.opening import open_store

    kinds = [AuditEventKind(event) for event in events]
    with closing(open_store(settings_of(config))) as store:
        # Where the log ends is read first: what is written after this is new, and shown by --follow only once.
        end = _end_of(store.audit)
        last = _newest(store.audit, moment_at(since, now()), kinds, limit)
        _show((row for row in last if row.rowid <= end), as_json)
        if not follow:
            return 0
        stop = Stop(signal.SIGINT)
        while not stop.wait(FOLLOW_SECONDS):
            try:
                for row in rows_after(store.audit, end, events=kinds):
                    end = max(end, row.rowid)
                    emit_json_line(row_fields(row)) if as_json else say(tab_line(row_fields(row)))
            except Unavailable as error:
                # A store that is busy for a moment does not end a watch of hours.
                note(f"waiting: {printable(error)}")
    raise KeyboardInterrupt


@audit.command()
@click.argument("identifier", metavar="ID")
@json_option
@config_option
def show(identifier: str, as_json: bool, config: Path) -> int:
    """Show all rows of one request. ID is its correlation id: `error_id` in a refusal, and the header
    `X-Request-Id` of every answer. Exit 1 when there is none.

    \b
    Example:
      bridge audit show 5Zk0cX2rQmWcVbB1nV9s3A
    """
    from bridge.opening import open_store

    with closing(open_store(settings_of(config))) as store:
        rows = [row_fields(row) for row in rows_after(store.audit, 0, correlation_id=identifier)]
    if not rows:
        raise nothing_under(identifier)
    if as_json:
        for row in rows:
            emit_json_line(row)
        return 0
    for row in rows:
        for name, value in row.items():
            if value not in ("", None, {}):
                say(f"{name:<16}{paint(printable(value))}")
        say()
    for reason in dict.fromkeys(str(row["reason"]) for row in rows if row["event"] == AuditEventKind.REFUSED.value):
        _note_advice(reason)
    reused = next((row for row in rows if str(row["outcome"]).endswith(_REUSED)), None)
    if reused is not None:
        note(_after_reuse(str(reused["jti"])))
    elif any(row["event"] == AuditEventKind.REFUSED.value for row in rows):
        note(_next_step(identifier, {str(row["reason"]) for row in rows}))
    return 0


@audit.command()
@json_option
@config_option
def verify(as_json: bool, config: Path) -> int:
    """Walk every chain and name each changed, missing or cut row. Exit 1 when there is one.

    A database put back to an earlier state is whole in itself: compare the heads shown here with the
    ones in the service's log.

    \b
    Example:
      bridge audit verify
    """
    from bridge.opening import open_store

    with closing(open_store(settings_of(config))) as store:
        seen = 0
        progress = Progress("rows verified")

        def at(done: int) -> None:
            nonlocal seen
            seen = done
            progress.at(done)

        faults = [
            {"writer": fault.writer, "sequence": fault.sequence, "kind": fault.kind, "message": fault.message}
            for fault in store.audit.verify(progress=at)
        ]
        progress.end(seen)
        heads = [{"writer": h.writer, "sequence": h.sequence, "mac": h.mac} for h in store.audit.heads()]
    if as_json:
        emit_json({"intact": not faults, "faults": faults, "heads": heads})
        return 1 if faults else 0
    for fault in faults:
        say(f"{paint('fault')} {printable(fault['message'])}")
    emit_table(("writer", "sequence", "mac"), (list(head.values()) for head in heads))
    if faults:
        note(f"faults: {len(faults)}; next: copy the database, and compare with an export of a backup")
        return 1
    say(f"{paint('ok')}: every chain is intact")
    return 0


def _note_advice(reason: str) -> None:
    """What a reason means, and what to do; nothing for one of another release."""
    advice = advice_on(reason)
    if advice is not None:
        note(f"{reason}: {advice.meaning}")
        note(f"to do ({advice.who}): {advice.fix}")


def _next_step(identifier: str, reasons: set[str]) -> str:
    """Where the rest about a refusal stands: rules explain what policy refused, and nothing else."""
    if any(is_of_policy(reason) for reason in reasons):
        return f"next: `bridge policy explain --audit {printable(identifier)}` says what each rule made of it"
    if Reason.APPROVAL_PENDING.value in reasons:
        return "next: `bridge clients list --pending`, then `bridge clients approve` or `deny`"
    if Reason.IDENTITY_DENIED.value in reasons:
        return "next: an operator denied it; `bridge audit tail --event denied` says when and why"
    if Reason.ACCESS_DENIED.value in reasons:
        return "next: nothing; the user pressed Deny"
    return "next: no rule refused this; the line of this id in the service's log says in `detail` what did"


def _after_reuse(grant_id: str) -> str:
    """What an operator has to know of a code or refresh token that came twice."""
    rows = f"`bridge audit export | grep {printable(grant_id)}`"
    return (
        f"next: {rows} shows whose grant that was and what came of it. It is ended, with its tokens, and the user has "
        "to be asked anew. Clients that repeat a request do this too; one that did not has lost a copy to somebody"
    )


def _end_of(store: AuditStore) -> int:
    newest = store.rows(newest_first=True, limit=1)
    return newest[0].rowid if newest else 0


def _newest(
    store: AuditStore, since: int | None, events: Sequence[AuditEventKind], limit: int | None
) -> Iterable[AuditRow]:
    """The last `limit` rows in the order of writing; without a limit all of them."""
    if limit is None:
        return rows_after(store, 0, since=since, events=events)
    return store.rows(since=since, events=events, limit=limit, newest_first=True)[::-1]


def _show(rows: Iterator[AuditRow], as_json: bool) -> None:
    if as_json:
        for row in rows:
            emit_json_line(row_fields(row))
    else:
        emit_rows(row_fields(row) for row in rows)
