"""What the port of client records takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model.audit import AuditEvent
from bridge.model.authority import Authorities
from bridge.model.authorization import GrantUse
from bridge.model.client import ClientRecord, ClientState, Member
from bridge.model.identity import Marker


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

    `epoch` None: a pushed client, which has no record to look at or to prolong. `use` is the use of a grant that
    the token comes from; it happens with this write or not at all. `authorities` vouched for the caller; they go onto
    the record with the end of a lease that this write moves.
    """

    client_id: str
    epoch: int | None
    subject: str
    event: AuditEvent
    member: str | None = None
    member_epoch: int | None = None
    markers: tuple[Marker, ...] = ()
    idle_expiry: int | None = None
    lease_until: int | None = None
    renews: bool = True
    use: GrantUse | None = None
    authorities: Authorities = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Terms that wait for an operator: which client asked for them, under which rule, since when."""

    client_id: str
    rule: str
    digest: str
    asked_at: int


@dataclass(frozen=True, slots=True)
class ClientFilter:
    """Which records to list. None leaves a field open. `subject_prefix` is compared byte by byte."""

    state: ClientState | None = None
    trust_domain: str | None = None
    rule: str | None = None
    parent: str | None = None
    subject_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class ClientPart:
    """Records by `client_id`. `after`: behind which name there may be more, None where there is none."""

    records: list[ClientRecord]
    after: str | None


# Before every use.
FIRST_USE = (0, "")
# By so many seconds at most the stored time of the last use may be behind.
USE_STEP = 60


@dataclass(frozen=True, slots=True)
class UnusedPart:
    """Records by the time of their last use. `after`: behind which time and name there may be more, None where there
    is none."""

    records: list[ClientRecord]
    after: tuple[int, str] | None


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
