"""`bridge clients list`: records by client_id, those that wait for an operator, or each with what stands under it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.clients.records import (
    PAGE,
    WAITING_COLUMNS,
    all_members,
    all_records,
    ends_at,
    record_fields,
    unused_records,
    waiting_fields,
)
from bridge.cli.options import Moment, config_option, json_option, list_options, moment_at, settings_of
from bridge.cli.output import aligned, emit_json_array, emit_table, note, paint, printable, say, timestamp
from bridge.model.client import ClientKind, ClientRecord, ClientState

if TYPE_CHECKING:
    from bridge.store.ports import ClientFilter, ClientStore, Waiting

# The subject is last: where it tells anything it is long.
_COLUMNS = ("client_id", "kind", "state", "rule", "identities", "created_at", "last_used_at", "expires_at", "subject")
# At a terminal, where what does not fit stands below: what is asked first comes first.
_BRIEF = ("client_id", "state", "kind", "last used", "ends", "rule", "identities", "created", "subject")
_INDENT = "  "
# An empty answer looks like one that was cut off.
_NOBODY = "no client is like that"


@click.command("list")
@click.option("--state", type=click.Choice([state.value for state in ClientState]), help="Only this state.")
@click.option("--trust-domain", metavar="NAME", help="Only this trust domain.")
@click.option("--rule", metavar="ID", help="Only records that this rule admitted.")
@click.option("--prefix", metavar="TEXT", help="Only subjects that start with this, byte by byte.")
@click.option("--parent", metavar="ID", help="Only the instances of this identity, by its SPIFFE ID or client_id.")
@click.option(
    "--unused", type=Moment(), metavar="TIME", help='Only those without a token for so long ("30d"), longest first.'
)
@click.option("--pending", is_flag=True, help="What waits for an operator: client, rule, since when.")
@click.option("--tree", is_flag=True, help="Instances and members under what they belong to, for people.")
@list_options
@json_option
@config_option
def list_clients(
    state: str | None,
    trust_domain: str | None,
    rule: str | None,
    prefix: str | None,
    parent: str | None,
    unused: int | None,
    pending: bool,
    tree: bool,
    limit: int | None,
    as_json: bool,
    config: Path,
) -> int:
    """List client records by client_id. Records that ended stay listed with their state for a while.

    With --pending also clients that have a token for other terms and wait for more; `bridge clients approve`
    is the next step. With --tree the limit is for the clients at the top, and for what is shown under each.

    With --unused those that had no token in that time, whoever asked for it: of a shared client no member, of a
    document nobody acting for it. One that never had a token counts from its registration, one that waits for an
    operator from when it asked. All states are listed unless --state names one: --state active are those that could
    still get a token.

    \b
    Example:
      bridge clients list --unused 30d --state active
      bridge clients list --trust-domain example.org --state denied --json
      bridge clients list --parent spiffe://example.org/ns/web/sa/api
      bridge clients list --tree
    """
    from bridge.ambient import now
    from bridge.opening import open_store
    from bridge.store.ports import ClientFilter

    _check_options(pending=pending, tree=tree, as_json=as_json, unused=unused, others=(state, prefix, parent))
    where = ClientFilter(ClientState(state) if state else None, trust_domain, rule, parent, prefix)
    settings = settings_of(config)
    pending_expiry = settings.registration.pending_expiry
    with closing(open_store(settings)) as store:
        if pending:
            found = (waiting_fields(*one) for one in itertools.islice(_waiting(store.clients, where), limit))
            _emit(found, WAITING_COLUMNS, as_json)
        elif tree:
            _say_tree(store.clients, where, limit, now(), pending_expiry)
        else:
            at = now()
            records = _records(store.clients, where, limit, since=moment_at(unused, at), now=at)
            if aligned() and not as_json:
                if not emit_table(_BRIEF, (_brief(record, at, pending_expiry) for record in records)):
                    note(_NOBODY)
                return 0
            fields = (record_fields(record, at, pending_expiry=pending_expiry) for record in records)
            _emit(fields if as_json else map(_told, fields), _COLUMNS, as_json)
    return 0


def _records(
    clients: ClientStore, where: ClientFilter, limit: int | None, *, since: int | None, now: int
) -> Iterator[ClientRecord]:
    if since is None:
        return all_records(clients, where, limit, now=now)
    return unused_records(clients, where, limit, since=since, now=now)


def _check_options(
    *, pending: bool, tree: bool, as_json: bool, unused: int | None, others: tuple[str | None, ...]
) -> None:
    """Raises: UsageError for options that say nothing together."""
    if unused is not None and tree:
        raise click.UsageError("--tree is ordered by name and --unused by time: leave one of them out")
    if pending and (tree or unused is not None or any(others)):
        raise click.UsageError("--pending goes with --trust-domain and --rule only")
    if tree and as_json:
        raise click.UsageError("--tree is for people; for programs each record names its `parent`")


def _emit(found: Iterator[dict[str, object]], columns: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        emit_json_array(found)
    else:
        if not emit_table(columns, ([fields[name] for name in columns] for fields in found)):
            note(_NOBODY)


def _brief(record: ClientRecord, now: int, pending_expiry: int) -> tuple[object, ...]:
    """A record for people at a terminal, its times beside now."""
    from bridge.doctor.words import relative

    fields = _told(record_fields(record, now, pending_expiry=pending_expiry))
    ends = ends_at(record, pending_expiry)
    return (
        record.client_id,
        fields["state"],
        fields["kind"],
        None if fields["last_used_at"] is None else relative(record.last_used_at, now),
        None if ends is None else relative(ends, now),
        fields["rule"],
        fields["identities"],
        relative(record.created_at, now),
        fields["subject"],
    )


def _told(fields: dict[str, object]) -> dict[str, object]:
    """For people the subject is who stands behind a derived client_id: of an instance its identity, whose key the
    name is made of anyway; nobody where the client_id says it."""
    subject = fields["parent"] or fields["subject"]
    return {**fields, "subject": None if subject == fields["client_id"] else subject}


def _waiting(clients: ClientStore, where: ClientFilter) -> Iterator[tuple[Waiting, ClientRecord | None]]:
    """What waits, by client_id and rule, each with its client's record."""
    after = ("", "")
    while page := clients.waiting(limit=PAGE, after=after):
        for one in page:
            if where.rule not in (None, one.rule):
                continue
            record = clients.get(one.client_id)
            if where.trust_domain in (None, None if record is None else record.trust_domain):
                yield one, record
        after = (page[-1].client_id, page[-1].rule)


def _say_tree(clients: ClientStore, where: ClientFilter, limit: int | None, now: int, pending_expiry: int) -> None:
    """Each client at the top with its members and instances, a line each, in the order of names."""
    for name, record in itertools.islice(_tops(clients, where, now), limit):
        own = "(instances only)" if record is None else _words(record, now, pending_expiry)
        say(f"{printable(name)}  {own}")
        for member in all_members(clients, record, limit) if record is not None else ():
            used = timestamp(member.last_used_at)
            say(f"{_INDENT}{printable(member.spiffe_id)}  member  {paint(member.state_at(now).value)}  used {used}")
        for instance in all_records(clients, replace(where, parent=name, subject_prefix=None), limit, now=now):
            say(f"{_INDENT}{printable(instance.client_id)}  {_words(instance, now, pending_expiry)}")


def _words(record: ClientRecord, now: int, pending_expiry: int) -> str:
    state = paint(record.state_at(now).value)
    ends = timestamp(ends_at(record, pending_expiry)) or "never"
    return f"{record.kind.value}  {state}  {printable(record.rule)}  used {timestamp(record.last_used_at)}  ends {ends}"


def _tops(clients: ClientStore, where: ClientFilter, now: int) -> Iterator[tuple[str, ClientRecord | None]]:
    """What stands at the top: records that are no instance, and identities that have instances only."""
    if where.parent is not None:
        yield where.parent, clients.get(where.parent)
        return
    records = all_records(clients, where, None, now=now)
    own = ((record.client_id, record) for record in records if record.kind is not ClientKind.INSTANCE)
    others = ((name, clients.get(name)) for name in _parents(clients, where, now))
    seen = None
    for name, record in heapq.merge(own, others, key=lambda top: top[0]):
        if name != seen:
            yield name, record
        seen = name


def _parents(clients: ClientStore, where: ClientFilter, now: int) -> list[str]:
    """The identities that have instances, by name."""
    found = all_records(clients, where, None, now=now)
    return sorted({record.parent for record in found if record.parent is not None})
