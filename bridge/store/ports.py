"""The ports: small protocols of atomic verbs that every store implements and one contract suite holds.

All times are epoch seconds, UTC. Every method may raise `Unavailable`; nothing was written then. A
write is durable when the method returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.model.audit import AuditEvent, AuditEventKind, AuditRow
from bridge.model.client import ClientRecord, ClientState, Member, ProposedClient
from bridge.model.document import DocumentCopy, DocumentKind, FoundDocument
from bridge.model.identity import Marker
from bridge.model.pending import PendingWrite
from bridge.model.signing_key import SigningKeyRow


@dataclass(frozen=True, slots=True)
class RegistrationLimits:
    """Limits on new records of one trust domain (interface section 7).

    `records` live ones, of which `pending` may wait for an operator, and a token bucket of `burst` that fills
    by `per_second`. `instances` live leases of one identity. `rule_per_second` and `rule_burst`: the bucket of
    one rule; `identity_per_minute`: that of new instances of one identity, which holds `instances`.
    """

    records: int
    per_second: int
    burst: int
    instances: int = 1000
    pending: int = 1000
    rule_per_second: int = 200
    rule_burst: int = 2000
    identity_per_minute: int = 600


@dataclass(frozen=True, slots=True)
class Ensured:
    """What `ensure` found or made. `created` is true when it wrote a registration, be it a new record
    or the return of one that had ended."""

    record: ClientRecord
    member: Member | None
    created: bool


@dataclass(frozen=True, slots=True)
class Found:
    """One read of all that a request needs to know about its client."""

    record: ClientRecord | None
    member: Member | None
    denied: bool
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Issue:
    """The write that stands behind one issued token.

    `epoch` and `member_epoch` are what the registration saw; `subject` the SPIFFE ID (or the subject's
    name) whose tombstone is looked at; `markers` are claimed, all or none; `idle_expiry` seconds from
    `now` to the record's new end, None leaves it without end. An instance has a lease instead: with
    `lease_until` (epoch seconds) its end is moved there unless it is later already, and without `renews` it
    stays where it is, whatever else is said (interface section 9).
    """

    client_id: str
    epoch: int
    subject: str
    event: AuditEvent
    member: str | None = None
    member_epoch: int | None = None
    markers: tuple[Marker, ...] = ()
    idle_expiry: int | None = None
    lease_until: int | None = None
    renews: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """Terms that wait for an operator: which client asked for them, under which rule, since when."""

    client_id: str
    rule: str
    digest: str
    asked_at: int


@dataclass(frozen=True, slots=True)
class Access:
    """How the management of one record stands (RFC 7592). `handle` is the last part of its
    `registration_client_uri`; `digest` the hex SHA-256 of the registration access token in force (DCR-33), which
    was made for `generation` under the record's `epoch`: another epoch has ended it."""

    client_id: str
    handle: str
    epoch: int
    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class ClientFilter:
    """Which records to list. None leaves a field open. `subject_prefix` is compared byte by byte."""

    state: ClientState | None = None
    trust_domain: str | None = None
    rule: str | None = None
    parent: str | None = None
    subject_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """What an operator's verb touched: the client ids, and the members under shared clients."""

    client_ids: tuple[str, ...] = ()
    members: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.client_ids or self.members)


@dataclass(frozen=True, slots=True)
class Stale:
    """A live record, or with `member` one identity under a shared client, that is to end. `epoch` is the record's,
    or the member's, as it was seen; `event` the audit row of its end."""

    client_id: str
    epoch: int
    event: AuditEvent
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did."""

    expired: int
    removed: int
    markers: int


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

    def replace_metadata(
        self, client_id: str, *, epoch: int, rule: str, metadata: Mapping[str, object], event: AuditEvent, now: int
    ) -> ClientRecord:
        """Put other metadata in place of the record's (RFC 7592 section 2.2), and `event` beside it.

        Raises: RegistrationChanged when the record is not ACTIVE under that epoch any more.
        """
        ...

    def waiting(self, *, limit: int, after: tuple[str, str] = ("", "")) -> list[Waiting]:
        """Terms that wait for an operator, of live records, ordered by (client_id, rule), those behind `after`."""
        ...

    def await_approval(self, client_id: str, *, rule: str, digest: str, now: int) -> None:
        """Note that these terms wait for an operator. Idempotent."""
        ...

    def record_issue(self, issue: Issue, *, now: int) -> None:
        """Write the audit row of an issued token, claim its markers and prolong the record, or nothing.

        Raises: CredentialReplayed when a marker was claimed before; RegistrationChanged when the record
        (or member) is not ACTIVE under that epoch any more, or the subject has a tombstone.
        """
        ...

    def begin_issue(self, issue: Issue, *, now: int) -> PendingWrite:
        """The same without waiting for it. `result` raises as `record_issue`."""
        ...

    def get(self, client_id: str) -> ClientRecord | None:
        """One record, whatever its state."""
        ...

    def members(self, client_id: str, *, limit: int, after: str = "") -> list[Member]:
        """The members of a shared client, ordered by SPIFFE ID, those behind `after`."""
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

    def deny(self, target: str, *, absent: ProposedClient | None, event: AuditEvent, now: int) -> Changed:
        """As `revoke`, and put a tombstone that refuses its return. `absent` is the record to make for an
        identity never seen; without it an unknown target changes nothing."""
        ...

    def undeny(self, target: str, *, event: AuditEvent, now: int) -> Changed:
        """Take the tombstone away. The record stands as REVOKED: the next valid request registers anew."""
        ...

    def approve(self, target: str, *, note: str, event: AuditEvent, now: int) -> Changed:
        """Approve all terms that wait for this client; a PENDING record becomes ACTIVE. One of an instance
        then ends after an hour, unless the instance comes back and begins its lease."""
        ...

    def sweep(
        self, *, now: int, keep_ended: int, pending_expiry: int, batch: int, event: Callable[[ClientRecord], AuditEvent]
    ) -> Swept:
        """Mark idle records EXPIRED (with an audit row each), end PENDING ones older than
        `pending_expiry`, remove ended ones older than `keep_ended` (not denied ones), and stale
        markers. At most `batch` records a call, so that no transaction is long."""
        ...


class ManagementStore(Protocol):
    """Registration access tokens, as digests (RFC 7592, DCR-33). Rows go with their records."""

    def open(self, wanted: Access) -> Access:
        """The row of that client, made of `wanted` when there is none or when it is of an earlier epoch.

        Raises: RegistrationChanged when the record is not live under that epoch any more.
        """
        ...

    def by_handle(self, handle: str) -> Access | None:
        """The row that this handle names."""
        ...

    def rotate(self, current: Access, *, digest: str) -> Access | None:
        """Put the next generation in force, with that digest. None, and nothing written, when `current` is not
        what is in force any more, or the record is not live under its epoch."""
        ...


class BucketStore(Protocol):
    """Token buckets that all workers share. Those of registrations are spent by `ClientStore.ensure`."""

    def spend(self, kind: str, key: str, *, per_minute: int, burst: int, now: int) -> int:
        """Take one token of the bucket of that kind (a limit's name) and key. 0, or the number of seconds until
        there will be one; nothing is taken then."""
        ...

    def use(self, *, now: int) -> list[tuple[str, str, int, int]]:
        """(limit, key, level, burst) of buckets that are not full, in whole tokens, for metrics; of each
        limit a bounded number, those that will be full last."""
        ...


class TokenStore(Protocol):
    """What must be remembered of single tokens."""

    def claim(self, marker: Marker, *, now: int) -> bool:
        """Mark something as used. False: it was already."""
        ...

    def revoke_token(self, jti: str, *, expires_at: int, event: AuditEvent, now: int) -> None:
        """End one token. Idempotent; the audit row is written the first time only."""
        ...

    def is_revoked(self, jti: str) -> bool:
        """Whether that one token was ended."""
        ...


class KeyStore(Protocol):
    """Token signing keys."""

    def keys(self) -> list[SigningKeyRow]:
        """All keys that still have a row, oldest first."""
        ...

    def add_first(self, rows: Sequence[SigningKeyRow], *, event: AuditEvent) -> bool:
        """Insert `rows` if there is no key at all. False: somebody was faster."""
        ...

    def rotate(
        self, *, promote: str, signs_from: int, retire_others_at: int, successor: SigningKeyRow, event: AuditEvent
    ) -> bool:
        """Let the waiting key `promote` sign from `signs_from`, give every key that signs until then its
        end, and insert the next waiting key. False, and nothing written, if `promote` no longer waits."""
        ...

    def drop_retired(self, *, now: int) -> int:
        """Remove keys whose `retires_at` has passed."""
        ...


class LeaseStore(Protocol):
    """Chores that one process at a time should do."""

    def take(self, name: str, *, holder: str, now: int, until: int) -> bool:
        """Get or prolong the lease. False: another holder has it until later than `now`."""
        ...


class DocumentStore(Protocol):
    """Documents fetched from outside, shared by all workers, and who fetches which of them now."""

    def find(self, kind: DocumentKind, url: str) -> FoundDocument:
        """The copy, however old, and who asks. One read, no write."""
        ...

    def begin(self, kind: DocumentKind, url: str, *, holder: str, now: int, until: int) -> bool:
        """Get the right to ask a URL, until then at most. False: somebody has it, be it the same holder."""
        ...

    def keep(self, copy: DocumentCopy, *, holder: str) -> bool:
        """Put this copy in place of an older one, and give the right to ask back. False: there are as many as
        there may be, and it is not kept; none is put out for it, so that nobody's URLs can wash out another's."""
        ...

    def drop(self, copy: DocumentCopy, *, holder: str) -> None:
        """Forget this copy, if it is still the one that is there, and give the right to ask back."""
        ...

    def release(self, kind: DocumentKind, url: str, *, holder: str, until: int | None = None) -> None:
        """Give the right to ask back, at once, or keep it until then: nobody is to ask before."""
        ...

    def sweep(self, *, before: int, ended_before: int, batch: int) -> int:
        """Remove at most `batch` copies fetched before that, and rights to ask that ended before that and were
        never given back. How many copies."""
        ...


@dataclass(frozen=True, slots=True)
class ChainFault:
    """One thing that `verify` found: which writer, at which place, and what is wrong."""

    writer: str
    sequence: int
    kind: str  # "changed" | "missing" | "cut" | "writer_missing" | "checkpoint"
    message: str


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last row of one writer, for the log."""

    writer: str
    sequence: int
    mac: str


class AuditStore(Protocol):
    """The audit log. Rows are appended and, by age, pruned behind a signed checkpoint; never updated."""

    def append(self, event: AuditEvent) -> None:
        """Write one row."""
        ...

    def begin_append(self, event: AuditEvent) -> PendingWrite:
        """The same without waiting for it."""
        ...

    def rows(
        self,
        *,
        since: int | None = None,
        correlation_id: str | None = None,
        events: Sequence[AuditEventKind] = (),
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[AuditRow]:
        """Rows with a rowid above `after`, in the order of writing."""
        ...

    def heads(self) -> list[ChainHead]:
        """The last row of each writer."""
        ...

    def verify(self, *, progress: Callable[[int], None] | None = None) -> Iterator[ChainFault]:
        """Walk every chain and yield what is wrong; nothing yielded means that all is intact.

        Not checked: a copy of the whole database put back to an earlier state; for that compare the
        heads with the ones in the service's log.
        """
        ...

    def prune(self, *, before: int, now: int) -> int:
        """Remove rows older than `before`, leaving a signed checkpoint per writer."""
        ...


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where the schema stands: `current` of `latest` migrations are applied."""

    current: int
    latest: int
    pending: tuple[str, ...]


class Store(Protocol):
    """One database, as the ports above."""

    @property
    def clients(self) -> ClientStore: ...
    @property
    def management(self) -> ManagementStore: ...
    @property
    def buckets(self) -> BucketStore: ...
    @property
    def tokens(self) -> TokenStore: ...
    @property
    def keys(self) -> KeyStore: ...
    @property
    def leases(self) -> LeaseStore: ...
    @property
    def documents(self) -> DocumentStore: ...
    @property
    def audit(self) -> AuditStore: ...

    def ping(self) -> None:
        """Answer, or raise Unavailable."""
        ...

    def close(self) -> None:
        """Finish waiting writes and let go of the database."""
        ...
