"""`bridge clients recheck`: what the rules as they stand make of the records that there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.clients.records import all_members, all_records
from bridge.cli.options import ConfigurationRefused, config_option, json_option, settings_of
from bridge.cli.output import Progress, emit_json_array, emit_table, note
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientRecord, ClientState, Member
from bridge.model.errors import StartRefused
from bridge.model.evidence import Door

if TYPE_CHECKING:
    from bridge.policy.evaluate import PolicySet
    from bridge.registration.recheck import Verdict
    from bridge.store.ports import ClientFilter, ClientStore, Stale, Store

# So many records end in one transaction: live requests wait for it no longer than for a sweep.
BATCH = 200
_LIVE = (ClientState.ACTIVE, ClientState.PENDING)
_COLUMNS = ("client_id", "identity", "rule", "outcome", "new_rule", "new_client_id", "ended")


@dataclass(frozen=True, slots=True)
class _Judged:
    """A record, or one identity under it, and what the rules make of it. `ended`: it was, just now."""

    record: ClientRecord
    member: Member | None
    verdict: Verdict
    ended: bool = False

    @property
    def place(self) -> tuple[str, str | None]:
        """Which record or member it is."""
        return self.record.client_id, None if self.member is None else self.member.spiffe_id

    def cells(self) -> list[object]:
        """For people: who it is, also where the client's name does not say it, and what is new."""
        fields = {**self.fields(), "ended": "yes" if self.ended else "no"}
        fields["identity"] = self.record.subject if self.member is None else self.member.spiffe_id
        for name in ("identity", "new_client_id"):
            if fields[name] == self.record.client_id:
                fields[name] = None
        return [fields[name] for name in _COLUMNS]

    def fields(self) -> dict[str, object]:
        """For programs."""
        client_id, member = self.place
        return {
            "client_id": client_id,
            "subject": self.record.subject,
            "member": member,
            "rule": self.record.rule,
            "outcome": self.verdict.outcome.value,
            "new_rule": self.verdict.rule,
            "new_client_id": self.verdict.client_id or None,
            "because": self.verdict.because,
            "ended": self.ended,
        }


@dataclass(slots=True)
class _Tally:
    """How many were looked at, will be treated otherwise, and ended."""

    looked_at: int = 0
    changes: int = 0
    ended: int = 0


@click.command()
@click.option("--apply", "is_applied", is_flag=True, help="End those that nobody can use any more.")
@click.option("--rule", metavar="ID", help="Only records that this rule admitted.")
@click.option("--trust-domain", metavar="NAME", help="Only this trust domain.")
@click.option("--all", "everything", is_flag=True, help="Show all that were looked at, not only what changes.")
@json_option
@config_option
def recheck(
    is_applied: bool, rule: str | None, trust_domain: str | None, everything: bool, as_json: bool, config: Path
) -> int:
    """Show whom the policy files, as they stand, treat otherwise than when they registered.

    Every use of a record is decided anew, so this is for knowing beforehand and for clearing away. Outcomes:
    no_rule, denied, other_client (nobody can use the record any more; --apply ends it, with an audit row) and waits
    (an operator has to approve it; --apply leaves it). With --all also admitted and other_rule. Exit 1 when
    anything changes, 0 after --apply.

    \b
    Example:
      bridge clients recheck --rule web-reads-ledger
      bridge clients recheck --apply
    """
    from bridge.ambient import new_id, now
    from bridge.opening import open_store, open_store_to_change
    from bridge.store.ports import ClientFilter

    settings = settings_of(config)
    policy = _policies(config)
    where = ClientFilter(trust_domain=trust_domain, rule=rule)
    tally, run = _Tally(), new_id()
    with closing((open_store_to_change if is_applied else open_store)(settings)) as store:
        judged = _counted(_judged(store.clients, policy, where, now()), tally)
        if is_applied:
            judged = _ended(judged, store, policy.version, run, tally)
        shown = (one for one in judged if everything or one.verdict.changes)
        if as_json:
            emit_json_array(one.fields() for one in shown)
        else:
            emit_table(_COLUMNS, (one.cells() for one in shown))
    note(f"{tally.looked_at} looked at, {tally.changes} change, {tally.ended} ended")
    if tally.ended:
        note(f"`bridge audit show {run}` shows the record of this")
    elif tally.changes and not is_applied:
        note("`bridge clients recheck --apply` ends those that nobody can use any more")
    return 1 if tally.changes and not is_applied else 0


def _policies(config: Path) -> PolicySet:
    """The files as they stand. Raises: ConfigurationRefused (exit 2, for 1 means that something changes) with
    their errors."""
    from bridge.policy.folder import PolicyFolder
    from bridge.policy_defaults import policy_defaults

    settings = settings_of(config)
    try:
        return PolicyFolder(settings.policy_directory, policy_defaults(settings)).load().policy_set
    except StartRefused as error:
        raise ConfigurationRefused(error.faults) from error


def _judged(clients: ClientStore, policy: PolicySet, where: ClientFilter, now: int) -> Iterator[_Judged]:
    """A verdict on every live record, and on the live members of each shared client that stands."""
    from bridge.registration.recheck import recheck, recheck_member

    def approved(client_id: str, rule: str, digest: str) -> bool:
        return clients.find(client_id, subject=client_id, terms=(rule, digest)).approved

    for record in all_records(clients, where, None, now=now):
        if record.state_at(now) not in _LIVE:
            continue
        verdict = recheck(record, policy, approved=approved)
        yield _Judged(record, None, verdict)
        for member in all_members(clients, record, None) if not verdict.ends else ():
            if member.state_at(now) in _LIVE:
                yield _Judged(record, member, recheck_member(record, member, policy, approved=approved))


def _counted(judged: Iterable[_Judged], tally: _Tally) -> Iterator[_Judged]:
    progress = Progress("looked at")
    for one in judged:
        tally.looked_at += 1
        tally.changes += one.verdict.changes
        progress.at(tally.looked_at)
        yield one
    progress.end(tally.looked_at)


def _ended(judged: Iterator[_Judged], store: Store, policy_version: str, run: str, tally: _Tally) -> Iterator[_Judged]:
    """End, batch by batch, those that nobody can use, unless they changed since they were looked at."""
    from bridge.ambient import now

    while batch := list(islice(judged, BATCH)):
        at = now()
        stale = [_stale(one, policy_version, run, at) for one in batch if one.verdict.ends]
        ended = store.clients.end_as_seen(stale, now=at) if stale else ()
        places = {(one.client_id, one.member) for one in ended}
        tally.ended += len(places)
        for one in batch:
            yield replace(one, ended=one.place in places)


def _stale(one: _Judged, policy_version: str, run: str, now: int) -> Stale:
    from bridge.cli.operator import operator_name
    from bridge.store.ports import Stale

    record, member = one.record, one.member
    event = AuditEvent(
        id=run,
        time=now,
        event=AuditEventKind.REVOKED,
        door=Door.OPERATOR.value,
        source_address=operator_name(),
        subject=record.subject if member is None else member.spiffe_id,
        rule=one.verdict.rule or "",
        outcome="recheck",
        reason=f"{one.verdict.outcome.value}: {one.verdict.because}",
        client_id=record.client_id,
        policy_version=policy_version,
    )
    epoch, name = (record.epoch, None) if member is None else (member.epoch, member.spiffe_id)
    return Stale(record.client_id, epoch, event, name)
