"""`bridge clients show`: one client with everything under it, and where else its identity was seen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.audit.rows import emit_rows, row_fields
from bridge.cli.clients.records import (
    INSTANCE_COLUMNS,
    MEMBER_COLUMNS,
    MEMBERSHIP_COLUMNS,
    WAITING_COLUMNS,
    all_members,
    live_instances,
    member_fields,
    memberships,
    no_record_fields,
    record_fields,
    waiting_fields,
    waiting_of,
)
from bridge.cli.options import Failure, config_option, json_option, list_options, settings_of
from bridge.cli.output import emit_fields, emit_json, emit_table, printable, say
from bridge.model.spiffe_id import SCHEME

if TYPE_CHECKING:
    from bridge.model.audit import AuditRow
    from bridge.model.client import ClientRecord, Member
    from bridge.store.ports import ClientStore, Store

_RECENT_ROWS = 10
# The log has no index by client, so `show` looks at its newest part only.
_ROWS_SEARCHED = 5000


@click.command()
@click.argument("identifier", metavar="ID")
@list_options
@json_option
@config_option
def show(identifier: str, limit: int | None, as_json: bool, config: Path) -> int:
    """Show one client: its record, its members or live instances, what waits for approval, and its last audit rows.

    ID is a client_id; a SPIFFE ID that has no record but is a member of a client: then that client and that member;
    or an identity that has instances only. Of a SPIFFE ID also the clients it was seen under: shared ones, and the
    documents it acts for. --limit and --all are for members, instances and those.

    \b
    Example:
      bridge clients show spiffe://example.org/ns/web/sa/api
      bridge clients show https://app.example.com/client.json
    """
    from bridge.ambient import now
    from bridge.opening import open_store

    settings = settings_of(config)
    with closing(open_store(settings)) as store:
        at = now()
        instances = list(live_instances(store.clients, identifier, limit, now=at))
        under = list(memberships(store.clients, identifier, limit)) if identifier.startswith(SCHEME) else []
        record, members = _record_and_members(store.clients, identifier, () if instances else under, limit)
        if record is None and not instances:
            raise Failure(f"no record and no member goes by {printable(identifier)}; see `bridge clients list`")
        described = partial(record_fields, now=at, pending_expiry=settings.registration.pending_expiry)
        fields = no_record_fields(identifier) if record is None else described(record)
        named = [*([] if record is None else [record]), *instances]
        waits = [waiting_fields(one, name) for name in named for one in waiting_of(store.clients, name.client_id)]
        rows = [row_fields(row) for row in _recent(store, identifier)]
    shown, acts = [member_fields(member) for member in members], [member_fields(member) for member in under]
    below = [described(one) for one in instances]
    if as_json:
        emit_json({**fields, "members": shown, "member_of": acts, "instances": below, "waiting": waits, "audit": rows})
        return 0
    emit_fields(fields)
    _section(f"members ({len(shown)} of {fields['identities']} shown)", MEMBER_COLUMNS, shown)
    _section("seen under these clients", MEMBERSHIP_COLUMNS, acts)
    _section("live instances", INSTANCE_COLUMNS, below)
    _section("waiting for approval (`bridge clients approve`)", WAITING_COLUMNS, waits)
    say(f"\nlast audit rows (searched: the newest {_ROWS_SEARCHED})")
    emit_rows(rows)
    return 0


def _record_and_members(
    clients: ClientStore, identifier: str, under: Sequence[Member], limit: int | None
) -> tuple[ClientRecord | None, list[Member]]:
    """The record of that name with its members; else the first client that it is a member of, with it alone."""
    record = clients.get(identifier)
    if record is not None:
        return record, list(all_members(clients, record, limit))
    if under:
        return clients.get(under[0].client_id), [under[0]]
    return None, []


def _section(title: str, columns: Sequence[str], found: Sequence[Mapping[str, object]]) -> None:
    if found:
        say(f"\n{title}")
        emit_table(columns, ([fields[name] for name in columns] for fields in found))


def _recent(store: Store, name: str) -> list[AuditRow]:
    """The last rows about a client or a SPIFFE ID, oldest first, as far as the newest part of the log holds any."""
    newest = store.audit.rows(newest_first=True, limit=_ROWS_SEARCHED)
    about = (row for row in newest if name in (row.event.client_id, row.event.subject))
    return list(itertools.islice(about, _RECENT_ROWS))[::-1]
