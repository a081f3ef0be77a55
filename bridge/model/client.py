"""Client records: the stable thing behind credentials that rotate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.model.authority import Authorities
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import VerifiedIdentity
from bridge.model.terms import Decision


class ClientKind(StrEnum):
    """What a record stands for. With `subject` it is the record's key: never a key thumbprint (ROFU-7)."""

    SPIFFE = "spiffe"
    SHARED = "shared"
    INSTANCE = "instance"
    STATEMENT = "statement"
    METADATA_DOCUMENT = "metadata-document"
    PUSHED = "pushed"


class ClientState(StrEnum):
    """Where a record stands; absence is the sixth state. PENDING waits for an operator; EXPIRED and
    REVOKED come back by the next valid request; DENIED does not (ROFU section 8)."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    DENIED = "denied"


def _state_at(state: ClientState, expires_at: int | None, now: int) -> ClientState:
    idle = expires_at is not None and expires_at <= now
    return ClientState.EXPIRED if idle and state in (ClientState.ACTIVE, ClientState.PENDING) else state


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a record came from; beside its metadata, never echoed to a client.

    `evidence` is the kind of evidence that granted the registration, or an instance its lease. `stated` names
    the metadata members that a statement stated (DCR-30); `statement_digest` (hex SHA-256), `statement_issuer`
    and `statement_expires_at` (epoch seconds) are of that statement (DCR-35). `document_digest` (hex SHA-256 over
    what is read of it) and `document_fetched_at` (epoch seconds) are of the document behind the metadata (T-8).
    """

    evidence: EvidenceKind | None = None
    stated: tuple[str, ...] = ()
    statement_digest: str = ""
    statement_issuer: str = ""
    statement_expires_at: int = 0
    document_digest: str = ""
    document_fetched_at: int = 0


NO_PROVENANCE = Provenance()


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """One client. Units: all times are epoch seconds, UTC.

    `epoch` grows each time the record's tokens end (revoked, denied, expired, registered anew). A
    token is alive only while the epoch it was issued under is the record's: times cannot tell a
    revocation from an issue within the same second.
    `expires_at` is when it idles out; None never. `state` is the stored one: an ACTIVE record past
    `expires_at` counts as EXPIRED (`state_at`), swept or not.
    `identities` is the number of SPIFFE IDs seen; `rule` the rule that admitted the registration.
    An INSTANCE has its identity's name as `parent`, and `expires_at` is the end of its lease; `authorities` vouched for
    whoever moved that end to where it is. Other records have none: nothing but an SVID brings them a token.
    """

    client_id: str
    kind: ClientKind
    subject: str
    trust_domain: str | None
    state: ClientState
    rule: str
    epoch: int
    created_at: int
    last_used_at: int
    expires_at: int | None
    parent: str | None = None
    identities: int = 1
    metadata: Mapping[str, object] = field(default_factory=dict)
    provenance: Provenance = NO_PROVENANCE
    authorities: Authorities = ()

    def state_at(self, now: int) -> ClientState:
        """The state that holds at `now`."""
        return _state_at(self.state, self.expires_at, now)


@dataclass(frozen=True, slots=True)
class Member:
    """One SPIFFE ID under a shared client, revocable alone. `epoch` and `expires_at` as on the record."""

    client_id: str
    spiffe_id: str
    state: ClientState
    epoch: int
    first_seen_at: int
    last_used_at: int
    expires_at: int | None = None

    def state_at(self, now: int) -> ClientState:
        """The state that holds at `now`: one that idled out counts as EXPIRED, swept or not."""
        return _state_at(self.state, self.expires_at, now)


@dataclass(frozen=True, slots=True)
class ProposedClient:
    """What a registration would write if no record owns the subject yet. Not a record. `authorities`: of an instance,
    who vouched for the credential that grants its lease."""

    client_id: str
    kind: ClientKind
    subject: str
    trust_domain: str | None
    state: ClientState
    rule: str
    parent: str | None = None
    member: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    provenance: Provenance = NO_PROVENANCE
    authorities: Authorities = ()


@dataclass(frozen=True, slots=True)
class Registration:
    """A verified identity with the record it resolved to and the decision that admitted it. Only the
    registrar makes one; holding it is what entitles a caller to have a token issued.

    `lease_until` (epoch seconds) is up to when this request's credential leases an instance, None for all
    other clients; without `renews` it does not, because the caller came by the instance's own key.
    `document_ends_at` (epoch seconds) is the end that a client's document gives itself, None without one.
    """

    identity: VerifiedIdentity
    decision: Decision
    record: ClientRecord
    member: Member | None
    created: bool
    lease_until: int | None = None
    renews: bool = True
    document_ends_at: int | None = None

    @property
    def ends_at(self) -> int | None:
        """When the lease ends under which this request is answered, or the client's document; None where there is
        no end."""
        if self.lease_until is None:
            return self.document_ends_at
        held = self.record.expires_at or 0
        return max(held, self.lease_until) if self.renews else held

    @property
    def epoch(self) -> str:
        """The value of the token's `epoch` claim: the record's, and the member's behind a dot."""
        return f"{self.record.epoch}" if self.member is None else f"{self.record.epoch}.{self.member.epoch}"
