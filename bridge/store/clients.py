"""The client store over SQLite: reads on the caller's own connection, writes through the group commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import cast

from bridge.model.audit import AuditEvent
from bridge.model.client import ClientKind, ClientRecord, ClientState, Member, ProposedClient, Provenance
from bridge.model.errors import LimitReached, RegistrationChanged
from bridge.model.identity import Marker
from bridge.model.pending import PendingWrite
from bridge.model.reasons import Reason
from bridge.model.record_change import ChangeKind, RecordChange
from bridge.store import (
    admission,
    client_parts,
    endings,
    foreseeing,
    listing,
    registering,
    sweeping,
    unadmitted,
    unused_clients,
)
from bridge.store import statements as sql
from bridge.store.connections import Readers
from bridge.store.exhausted import Exhausted
from bridge.store.group_commit import GroupCommit
from bridge.store.issuing import IssueWrite
from bridge.store.management import rotate
from bridge.store.ports import (
    FIRST_USE,
    Changed,
    ClientFilter,
    ClientPart,
    Ensured,
    Found,
    Issue,
    RegistrationLimits,
    Rotation,
    Stale,
    Swept,
    UnusedPart,
    Waiting,
)
from bridge.store.registering import Registering
from bridge.store.rows import CLIENT_FIELDS, client_of, member_of, metadata_text, provenance_text
from bridge.store.sweeping import Sweeping
from bridge.store.transaction import Transaction

# Where the columns begin in a row of `FIND`.
_RECORD = 2
_MEMBER = _RECORD + len(CLIENT_FIELDS)


class SqliteClients:
    """See `ports.ClientStore`, whose docstrings are the contract."""

    def __init__(self, readers: Readers, commit: GroupCommit, exhausted: Exhausted, *, marker_limit: int) -> None:
        self._readers, self._commit = readers, commit
        self._exhausted, self._marker_limit = exhausted, marker_limit

    def find(
        self, client_id: str, *, subject: str, member: str | None = None, terms: tuple[str, str] | None = None
    ) -> Found:
        """`denied` is also true where the record or the member itself stands as DENIED."""
        rule, digest = terms if terms is not None else (None, None)
        row = self._readers.rows(sql.FIND, (subject, client_id, client_id, rule, digest, client_id, member))[0]
        record, seen = client_of(row, _RECORD), member_of(row, _MEMBER)
        denied = (
            bool(row[0])
            or (record is not None and record.state is ClientState.DENIED)
            or (seen is not None and seen.state is ClientState.DENIED)
        )
        return Found(record, seen, denied, bool(row[1]))

    def ensure(
        self,
        proposed: ProposedClient,
        *,
        limits: RegistrationLimits,
        idle_expiry: int,
        event: AuditEvent,
        now: int,
        lease_until: int | None = None,
        markers: tuple[Marker, ...] = (),
    ) -> Ensured:
        """A live record is answered from a read alone, and so is a registration over a limit that was just
        reached; everything else is decided again by the writer."""
        row = self._readers.rows(sql.FIND_OWNER, registering.question(proposed))[0]
        owner = registering.owner_of(row, proposed, now)
        found = registering.settled(owner, proposed, now)
        if found is not None:
            return found
        need = registering.need(owner, proposed, limits, now)
        admission.refuse_again(self._exhausted, need, self._readers.rows, now=now)
        call = Registering(proposed, limits, idle_expiry, event, now, self._marker_limit, lease_until, markers)
        try:
            return cast(Ensured, self._commit.submit(lambda tx: registering.ensure(tx, call)))
        except LimitReached as refusal:
            admission.remember(self._exhausted, need, refusal, now=now)
            raise

    def foresee(self, proposed: ProposedClient, *, limits: RegistrationLimits, now: int) -> Ensured | None:
        """As the port says."""
        return foreseeing.foresee(self._readers, proposed, limits, now=now)

    def replace_metadata(
        self,
        client_id: str,
        *,
        epoch: int,
        rule: str,
        metadata: Mapping[str, object],
        event: AuditEvent,
        now: int,
        provenance: Provenance | None = None,
        was: Provenance | None = None,
        ends_tokens: bool = False,
        rotation: Rotation | None = None,
    ) -> ClientRecord:
        """As the port says."""

        def put(tx: Transaction) -> ClientRecord:
            row = tx.row(sql.GET, (client_id,))
            record = None if row is None else client_of(row)
            if record is None or record.epoch != epoch or record.state_at(now) is not ClientState.ACTIVE:
                raise RegistrationChanged(Reason.REGISTRATION_CHANGED, f"{client_id}: not active under epoch {epoch}")
            if was is not None and record.provenance != was:
                raise RegistrationChanged(Reason.REGISTRATION_CHANGED, f"{client_id}: another document stands there")
            if rotation is not None and rotate(tx, rotation) is None:
                raise RegistrationChanged(Reason.REGISTRATION_CHANGED, f"{client_id}: its token was rotated meanwhile")
            changed = replace(
                record,
                rule=rule,
                metadata=metadata,
                provenance=record.provenance if provenance is None else provenance,
                epoch=max(record.epoch + 1, now) if ends_tokens else record.epoch,
            )
            said = metadata_text(metadata), provenance_text(changed.provenance)
            tx.change(sql.REPLACE_METADATA, (rule, *said, changed.epoch, client_id))
            tx.audit_change(event, changed.state)
            return changed

        return cast(ClientRecord, self._commit.submit(put))

    def waiting(self, *, limit: int, after: tuple[str, str] = ("", "")) -> list[Waiting]:
        """As the port says."""
        return [Waiting(*row) for row in self._readers.rows(sql.WAITING, (*after, limit))]

    def waiting_since(self) -> int | None:
        """As the port says."""
        since: int | None = self._readers.rows(sql.WAITING_SINCE)[0][0]
        return since

    def await_approval(self, client_id: str, *, rule: str, digest: str, now: int) -> None:
        """Waiting terms of the same rule under another digest are gone: nobody can meet them any more."""
        if self._readers.rows(sql.IS_ASKED, (client_id, rule, digest)):
            return

        def ask(tx: Transaction) -> None:
            tx.change(sql.FORGET_OLD_TERMS, (client_id, rule, digest))
            if tx.change(sql.ASK, (rule, digest, now, client_id)):
                _tell_of_waiting(tx, client_id, rule=rule, now=now)

        self._commit.submit(ask)

    def record_issue(self, issue: Issue, *, now: int) -> None:
        """`last_used_at` and an idle end move in steps of at most a minute (`issuing.granularity`); the end of
        a lease is exact."""
        self.begin_issue(issue, now=now).result()

    def begin_issue(self, issue: Issue, *, now: int) -> PendingWrite:
        """As the port says."""
        return self._commit.begin(IssueWrite.of(issue, now=now, marker_limit=self._marker_limit))

    def get(self, client_id: str) -> ClientRecord | None:
        """As the port says."""
        row = self._readers.row(sql.GET, (client_id,))
        return None if row is None else client_of(row)

    def members(self, client_id: str, *, limit: int, after: str = "") -> list[Member]:
        """As the port says."""
        found = (member_of(row) for row in self._readers.rows(sql.MEMBERS, (client_id, after, limit)))
        return [member for member in found if member is not None]

    def memberships(self, spiffe_id: str, *, limit: int, after: str = "") -> list[Member]:
        """As the port says."""
        found = (member_of(row) for row in self._readers.rows(sql.MEMBERSHIPS, (spiffe_id, after, limit)))
        return [member for member in found if member is not None]

    def part(self, where: ClientFilter, *, after: str, until: str, limit: int, scan: int) -> ClientPart:
        """As the port says. `state` is the stored one."""
        query = self._readers.rows
        rows, further = client_parts.part(query, where, after=after, until=until, limit=limit, scan=scan)
        return ClientPart([record for row in rows if (record := client_of(row)) is not None], further)

    def unused(
        self, where: ClientFilter, *, until: int, after: tuple[int, str] = FIRST_USE, limit: int, scan: int
    ) -> UnusedPart:
        """As the port says. `state` is the stored one."""
        query = self._readers.rows
        rows, further = unused_clients.part(query, where, until=until, after=after, limit=limit, scan=scan)
        return UnusedPart([record for row in rows if (record := client_of(row)) is not None], further)

    def parents(self, *, after: str, low: str, until: str, limit: int) -> list[str]:
        """As the port says; one step along an index for each."""
        return client_parts.parents(self._readers.rows, after=after, low=low, until=until, limit=limit)

    def list(self, where: ClientFilter, *, limit: int, after: str = "") -> list[ClientRecord]:
        """`state` is the stored one: a record that idled out is listed as EXPIRED from its sweep on."""
        found = (client_of(row) for row in listing.page(self._readers.rows, where, limit=limit, after=after))
        return [record for record in found if record is not None]

    def count_by_state(self) -> dict[tuple[str, ClientState], int]:
        """Read from counts that are kept with every change; costs the same at any size."""
        return {
            (ClientKind(kind).value, ClientState(state)): records
            for kind, state, records in self._readers.rows(sql.COUNT_BY_STATE)
        }

    def count_live(self) -> dict[str, tuple[int, int]]:
        """As the port says, from the same counts."""
        return {quota: (live, pending) for quota, live, pending in self._readers.rows(sql.COUNT_LIVE)}

    def revoke(self, target: str, *, event: AuditEvent, now: int) -> Changed:
        """As the port says."""
        return cast(Changed, self._commit.submit(lambda tx: endings.revoke(tx, target, event=event, now=now)))

    def end_as_seen(self, stale: Sequence[Stale], *, now: int) -> tuple[Stale, ...]:
        """As the port says."""
        return cast(tuple[Stale, ...], self._commit.submit(lambda tx: unadmitted.end_as_seen(tx, stale, now=now)))

    def deny(
        self, target: str, *, absent: ProposedClient | None, event: AuditEvent, now: int, once: bool = False
    ) -> Changed:
        """As the port says."""
        return cast(
            Changed,
            self._commit.submit(lambda tx: endings.deny(tx, target, absent=absent, event=event, now=now, once=once)),
        )

    def undeny(self, target: str, *, event: AuditEvent, now: int) -> Changed:
        """As the port says."""
        return cast(Changed, self._commit.submit(lambda tx: endings.undeny(tx, target, event=event, now=now)))

    def approve(
        self,
        target: str,
        *,
        note: str,
        event: AuditEvent,
        now: int,
        terms: Collection[tuple[str, str]] | None = None,
    ) -> Changed:
        """As the port says."""
        call = endings.Approving(target, note, event, now, terms)
        return cast(Changed, self._commit.submit(lambda tx: endings.approve(tx, call)))

    def sweep(
        self, *, now: int, keep_ended: int, pending_expiry: int, batch: int, event: Callable[[ClientRecord], AuditEvent]
    ) -> Swept:
        """`event` is called by the writer's thread, inside the transaction. Members that idled out are
        swept like records; their row has the SPIFFE ID as its subject."""
        call = Sweeping(now, keep_ended, pending_expiry, batch, event)
        return cast(Swept, self._commit.submit(lambda tx: sweeping.sweep(tx, call)))


def _tell_of_waiting(tx: Transaction, client_id: str, *, rule: str, now: int) -> None:
    """New terms wait: the audit log has no event of it beside the registration and the refusal."""
    record = client_of(tx.rows(sql.GET, (client_id,))[0]) if tx.has_listener else None
    if record is not None:
        tx.tell(RecordChange(ChangeKind.PENDING, now, client_id, record.subject, record.state, rule))
