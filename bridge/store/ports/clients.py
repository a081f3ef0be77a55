"""The port of client records: who is registered, for how long, and what was issued to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from bridge.model.audit import AuditEvent
from bridge.model.client import ClientRecord, ClientState, Member, ProposedClient, Provenance
from bridge.model.identity import Marker
from bridge.model.pending import PendingWrite
from bridge.store.ports.management import Rotation
from bridge.store.ports.records import (
    FIRST_USE,
    Changed,
    ClientFilter,
    ClientPart,
    Ensured,
    Found,
    Issue,
    RegistrationLimits,
    Stale,
    Swept,
    UnusedPart,
    Waiting,
)


class ClientStore(Protocol):
    """Client records by stable subject, their members, tombstones and approvals."""

    def find(
        self, client_id: str, *, subject: str, member: str | None = None, terms: tuple[str, str] | None = None
    ) -> Found:
        """Read the record, the member under it, whether `subject` has a tombstone, and whether `terms`
        (rule, digest) were approved for this client. One read, no write."""
        ...

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
        """Insert `proposed`, or return the record that already owns its (kind, subject).

        The record's end is `now` + `idle_expiry`, or `lease_until` (later than `now`) where given; a PENDING
        instance has no lease yet. `markers` are claimed, all or none, if and only if a registration is
        written; a caller that finds `created` false has claimed none.

        A live record is returned as it is. One that ended (expired by time or by sweep, revoked) comes
        back under a new epoch with its approvals gone. `event` (REGISTERED) is written if and only if
        a registration was, in the same transaction. With `member`, the member is inserted too, and a
        member that was revoked comes back under a new epoch (also a registration).

        Raises: IdentityDenied (record, member or tombstone), LimitReached, CredentialReplayed (a marker was
        claimed before), EvidenceRejected (CLIENT_ID_RESERVED) when `client_id` belongs to another kind,
        subject or trust domain.
        """
        ...

    def foresee(self, proposed: ProposedClient, *, limits: RegistrationLimits, now: int) -> Ensured | None:
        """What `ensure` would come to at this moment: the record that it would return as it is, or None where it would
        write a registration. Nothing is written, and nothing taken of a limit. Raises: as `ensure`, but for markers."""
        ...

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
        """Put other metadata in place of the record's (RFC 7592 section 2.2), and `event` beside it. `provenance`
        is replaced where given, and has to be `was` before, where that is; with `ends_tokens` the record stands under
        a new epoch afterwards, so that all tokens of before are dead (CIMD-28). `rotation`: of two updates that came
        with one registration access token, one is made.

        Raises: RegistrationChanged when the record is not ACTIVE under that epoch any more, has not the provenance
        that was seen, or the token of `rotation` is not in force.
        """
        ...

    def waiting(self, *, limit: int, after: tuple[str, str] = ("", "")) -> list[Waiting]:
        """Terms that wait for an operator, of live records, ordered by (client_id, rule), those behind `after`."""
        ...

    def waiting_since(self) -> int | None:
        """When the terms that wait longest began to (epoch seconds); None while nobody waits. For metrics."""
        ...

    def await_approval(self, client_id: str, *, rule: str, digest: str, now: int) -> None:
        """Note that these terms wait for an operator. Idempotent."""
        ...

    def record_issue(self, issue: Issue, *, now: int) -> None:
        """Write the audit row of an issued token, claim its markers, use its grant and prolong the record, or
        nothing.

        Raises: CredentialReplayed when a marker was claimed before; RegistrationChanged when the record
        (or member) is not ACTIVE under that epoch any more, or the subject has a tombstone; GrantSpent when the
        grant is gone, over, or was used in between: of many who redeem one code, or one refresh token, one does.
        """
        ...

    def begin_issue(self, issue: Issue, *, now: int) -> PendingWrite:
        """The same without waiting for it. `result` raises as `record_issue`."""
        ...

    def get(self, client_id: str) -> ClientRecord | None:
        """One record, whatever its state."""
        ...

    def members(self, client_id: str, *, limit: int, after: str = "") -> list[Member]:
        """The members of a shared client, or of one known by a document, ordered by SPIFFE ID, those behind `after`."""
        ...

    def memberships(self, spiffe_id: str, *, limit: int, after: str = "") -> list[Member]:
        """Where a SPIFFE ID is a member, ordered by `client_id`, those behind `after`."""
        ...

    def part(self, where: ClientFilter, *, after: str, until: str, limit: int, scan: int) -> ClientPart:
        """At most `limit` records that meet `where` (its prefix aside) with a `client_id` above `after` and below
        `until`, in order. At most about `scan` are looked at, so that it is always quick; a part may be empty and not
        the last."""
        ...

    def unused(
        self, where: ClientFilter, *, until: int, after: tuple[int, str] = FIRST_USE, limit: int, scan: int
    ) -> UnusedPart:
        """At most `limit` records that meet `where` and whose last token, or without one whose registration, was at
        `until` (epoch seconds) or before: those first that are unused longest, then by `client_id`; those behind
        `after`. At most about `scan` are looked at, so that it is always quick; a part may be empty and not the last.

        Not seen: the seconds of the last minute (`record_issue`), so whoever must be sure leaves out one more.
        """
        ...

    def parents(self, *, after: str, low: str, until: str, limit: int) -> list[str]:
        """Names of identities that have instances, whatever their state: above `after`, from `low` on and below
        `until`, in order."""
        ...

    def list(self, where: ClientFilter, *, limit: int, after: str = "") -> list[ClientRecord]:
        """Records ordered by `client_id`, those behind `after`."""
        ...

    def count_by_state(self) -> dict[tuple[str, ClientState], int]:
        """Number of records by (kind, stored state), for metrics."""
        ...

    def count_live(self) -> dict[str, tuple[int, int]]:
        """(live, of these PENDING) records by whom they count against: a trust domain, the issuer of statements
        or, with a colon before it, a kind. Live by stored state, as limits count; for metrics."""
        ...

    def revoke(self, target: str, *, event: AuditEvent, now: int) -> Changed:
        """End the tokens of a client id, or of a SPIFFE ID: its own record, its instances, and it alone
        as a member. Approvals end too. Empty result: nobody by that name."""
        ...

    def end_as_seen(self, stale: Sequence[Stale], *, now: int) -> tuple[Stale, ...]:
        """As `revoke`, for single records and members and nothing beside them: those that are still live under
        the epoch that was seen. One transaction, so the caller bounds their number. The result is who ended."""
        ...

    def deny(
        self, target: str, *, absent: ProposedClient | None, event: AuditEvent, now: int, once: bool = False
    ) -> Changed:
        """As `revoke`, and put a tombstone that refuses its return. `absent` is the record to make for an
        identity never seen; without it an unknown target changes nothing. With `once` a target that has a tombstone
        changes nothing either."""
        ...

    def undeny(self, target: str, *, event: AuditEvent, now: int) -> Changed:
        """Take the tombstone away. The record stands as REVOKED: the next valid request registers anew."""
        ...

    def approve(
        self,
        target: str,
        *,
        note: str,
        event: AuditEvent,
        now: int,
        terms: Collection[tuple[str, str]] | None = None,
    ) -> Changed:
        """Approve all terms that wait for this client, or of the one record of that name these (rule, digest); a
        PENDING record becomes ACTIVE. One of an instance then ends after an hour, unless the instance comes back and
        begins its lease."""
        ...

    def sweep(
        self, *, now: int, keep_ended: int, pending_expiry: int, batch: int, event: Callable[[ClientRecord], AuditEvent]
    ) -> Swept:
        """Mark idle records EXPIRED (with an audit row each), end PENDING ones older than
        `pending_expiry`, remove ended ones older than `keep_ended` (not denied ones), and stale
        markers. At most `batch` records a call, so that no transaction is long."""
        ...
