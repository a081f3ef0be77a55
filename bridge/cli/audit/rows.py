"""Audit rows as commands read and show them: page by page, in the shape of `audit tail --json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from bridge.cli.output import aligned, emit_table, printable, timestamp
from bridge.model.audit import AuditEventKind, AuditRow
from bridge.model.authority import Authority, of_audit
from bridge.model.inert import in_short

if TYPE_CHECKING:
    from bridge.store.ports import AuditStore

PAGE = 1000
_COLUMNS = ("time", "event", "subject", "asked", "rule", "outcome", "reason", "count", "id")


def row_fields(row: AuditRow) -> dict[str, object]:
    """A row in the shape of `audit tail --json`, and what else is kept of it."""
    event = row.event
    return {
        "id": event.id,
        "time": timestamp(event.time),
        "event": event.event.value,
        "door": event.door,
        "subject": event.subject,
        "evidence": event.evidence,
        "ask": _ask_fields(event.ask),
        "rule": event.rule,
        "outcome": event.outcome,
        "reason": event.reason,
        "client_id": event.client_id,
        "jti": event.jti,
        "count": event.count,
        "source_address": event.source_address,
        "credential": event.credential,
        "key_id": event.key_id,
        "issued": event.issued,
        "policy_version": event.policy_version,
        "bundle_sequence": event.bundle_sequence,
        "row": row.rowid,
        "writer": row.writer,
        "sequence": row.sequence,
        "mac": row.mac,
    }


def _ask_fields(ask: Mapping[str, object]) -> dict[str, object]:
    """What was asked, with each authority by its whole names: whoever has one looks for that."""
    fields = dict(ask)
    if "authorities" in fields:
        # What nobody of ours wrote stays as it is: to name such rows is for `audit verify`.
        with suppress(ValueError):
            fields["authorities"] = [_authority_fields(each) for each in of_audit(fields["authorities"])]
    return fields


def _authority_fields(authority: Authority) -> dict[str, object]:
    return {"kind": authority.kind.value, "authority": authority.name, "key_id": authority.key_id}


def emit_rows(rows: Iterator[Mapping[str, object]] | Sequence[Mapping[str, object]]) -> None:
    """Rows for people, the columns that say who asked what and how it ended. At a terminal, where a row may take
    several lines, none of them says that it counts once."""
    shown = ({**row, "count": None} if row["count"] == 1 and aligned() else row for row in rows)
    emit_table(_COLUMNS, ([*_cells(row)] for row in shown))


def tab_line(row: Mapping[str, object]) -> str:
    """One row as a line of its own, for output that grows while it is read."""
    return "\t".join(printable(cell) for cell in _cells(row))


def _cells(row: Mapping[str, object]) -> Iterator[object]:
    for column in _COLUMNS:
        yield _asked(row["ask"]) if column == "asked" else row[column]


def _asked(ask: object) -> str:
    """What was asked for in a few words: the scopes, else the resources, else the grant type."""
    if not isinstance(ask, Mapping):
        return ""
    for name in ("scopes", "resources"):
        values = ask.get(name)
        if isinstance(values, list) and values:
            return in_short(" ".join(str(value) for value in values))
    return in_short(str(ask.get("grant_type", "")))


def rows_after(
    store: AuditStore,
    after: int,
    *,
    since: int | None = None,
    events: Sequence[AuditEventKind] = (),
    correlation_id: str | None = None,
) -> Iterator[AuditRow]:
    """All rows behind the row `after`, in the order of writing, a page in memory at a time."""
    while page := store.rows(since=since, events=events, correlation_id=correlation_id, after=after, limit=PAGE):
        yield from page
        after = page[-1].rowid
