"""`ensure`: the one way in which a client record comes into being, or comes back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.model.audit import AuditEvent
from bridge.model.authority import text_of
from bridge.model.client import ClientRecord, ClientState, Member, ProposedClient
from bridge.model.errors import EvidenceRejected, IdentityDenied
from bridge.model.identity import Marker
from bridge.model.reasons import Reason
from bridge.store import admission
from bridge.store import statements as sql
from bridge.store.admission import Need, need_of
from bridge.store.claims import Claims
from bridge.store.connections import Row
from bridge.store.ports import Ensured, RegistrationLimits
from bridge.store.rows import CLIENT_FIELDS, client_of, client_row, member_of, metadata_text, provenance_text, quota_of
from bridge.store.rows import record_of as new_record
from bridge.store.transaction import Transaction

_RECORD = 3
_MEMBER = _RECORD + len(CLIENT_FIELDS)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a subject now. `quota`: what its record counts against."""

    record: ClientRecord | None
    member: Member | None
    member_is_live: bool
    quota: str


@dataclass(frozen=True, slots=True)
class Registering:
    """One call of `ensure`. Times: epoch seconds, UTC; `idle_expiry` in seconds. `marker_limit`: how many
    markers the store may hold."""

    proposed: ProposedClient
    limits: RegistrationLimits
    idle_expiry: int
    event: AuditEvent
    now: int
    marker_limit: int
    lease_until: int | None = None
    markers: tuple[Marker, ...] = ()

    @property
    def expires_at(self) -> int:
        """When a record that is registered now ends by itself. An instance that waits for an operator has no
        lease yet, or it would be gone before anybody looks at it."""
        if self.lease_until is None or self.proposed.state is ClientState.PENDING:
            return self.now + self.idle_expiry
        return self.lease_until


def question(proposed: ProposedClient) -> tuple[str | None, ...]:
    """The parameters of `FIND_OWNER`."""
    return (
        proposed.subject,
        proposed.client_id,
        proposed.member,
        proposed.parent,
        proposed.client_id,
        proposed.kind.value,
        proposed.subject,
        proposed.member,
    )


def owner_of(row: Row, proposed: ProposedClient, now: int) -> Owner:
    """Who owns the subject, from a row of `FIND_OWNER`.

    Raises: IdentityDenied (ROFU-24); EvidenceRejected (CLIENT_ID_RESERVED) when the name belongs to
    another kind, subject or trust domain.
    """
    tombstone, name_is_taken = row[0], row[1]
    record, member = client_of(row, _RECORD), member_of(row, _MEMBER)
    if record is None:
        if name_is_taken:
            raise EvidenceRejected(Reason.CLIENT_ID_RESERVED, f"{proposed.client_id} belongs to another subject")
    elif record.trust_domain != proposed.trust_domain:
        raise EvidenceRejected(Reason.CLIENT_ID_RESERVED, f"{proposed.client_id} belongs to {record.trust_domain}")
    if (
        tombstone
        or (record is not None and record.state is ClientState.DENIED)
        or (member is not None and member.state is ClientState.DENIED)
    ):
        raise IdentityDenied(Reason.IDENTITY_DENIED, proposed.member or proposed.subject)
    live = member is not None and member.state_at(now) is ClientState.ACTIVE
    return Owner(record, member, live, quota_of(proposed) if record is None else row[2])


def settled(owner: Owner, proposed: ProposedClient, now: int) -> Ensured | None:
    """The answer when nothing has to be written: the record, and the member if one is asked for, live.

    A PENDING record that policy now allows without asking is not settled; a live one stays as it is
    even when these terms would have to wait for an operator.
    """
    record = owner.record
    if record is None:
        return None
    state = record.state_at(now)
    waits = state is ClientState.PENDING and proposed.state is ClientState.PENDING
    if state is not ClientState.ACTIVE and not waits:
        return None
    if proposed.member is None:
        return Ensured(record, None, created=False)
    return Ensured(record, owner.member, created=False) if owner.member_is_live else None


def need(owner: Owner, proposed: ProposedClient, limits: RegistrationLimits, now: int) -> Need:
    """What the registration takes of the limits."""
    record = owner.record
    return need_of(
        proposed,
        limits,
        quota=owner.quota,
        stored=None if record is None else record.state,
        is_live=record is not None and record.state_at(now) in (ClientState.ACTIVE, ClientState.PENDING),
        is_new=record is None or (proposed.member is not None and owner.member is None),
    )


def ensure(tx: Transaction, call: Registering) -> Ensured:
    """Insert, bring back, or return what is there (ROFU-3, 5, 7, 8, 23, 28; T-40).

    Raises: IdentityDenied, EvidenceRejected, LimitReached, CredentialReplayed, Unavailable (a marker that
    may have been swept); nothing is written then.
    """
    proposed = call.proposed
    owner = owner_of(tx.rows(sql.FIND_OWNER, question(proposed))[0], proposed, call.now)
    found = settled(owner, proposed, call.now)
    if found is not None:
        return found
    needed = need(owner, proposed, call.limits, call.now)
    admission.require(tx, needed, now=call.now)
    _claim(tx, call)
    admission.spend(tx, needed, now=call.now)
    return _register(tx, call, owner)


def _claim(tx: Transaction, call: Registering) -> None:
    if not call.markers:
        return
    claims = Claims(tx, call.markers)
    refusal = claims.refusal(call.markers, call.marker_limit)
    if refusal is not None:
        raise refusal
    claims.claim(call.markers)
    claims.write(tx)


def _register(tx: Transaction, call: Registering, owner: Owner) -> Ensured:
    """Write what is missing, with its event."""
    proposed = call.proposed
    if owner.record is None:
        record = _insert(tx, call)
    elif owner.record.state_at(call.now) is ClientState.ACTIVE:
        record = owner.record
    else:
        record = _bring_back(tx, call, owner.record, owner.quota)
    member = None
    if proposed.member is not None:
        member = owner.member if owner.member_is_live else _put_member(tx, call, record.client_id, owner.member)
        if owner.member is None and owner.record is not None:
            tx.change(sql.SEE_MEMBER, (1, record.client_id))
            record = replace(record, identities=record.identities + 1)
    tx.audit_change(call.event, record.state if member is None else member.state)
    return Ensured(record, member, created=True)


def _insert(tx: Transaction, call: Registering) -> ClientRecord:
    record = new_record(call.proposed, epoch=call.now, now=call.now, expires_at=call.expires_at)
    tx.change(sql.INSERT_CLIENT, client_row(record))
    tx.count(quota_of(record), record.kind.value, record.state.value, 1)
    return record


def _bring_back(tx: Transaction, call: Registering, old: ClientRecord, quota: str) -> ClientRecord:
    """The same record under a new epoch: what was issued or approved before stays ended (T-23)."""
    proposed = call.proposed
    record = replace(
        old,
        state=proposed.state,
        rule=proposed.rule,
        epoch=max(old.epoch + 1, call.now),
        last_used_at=call.now,
        expires_at=call.expires_at,
        parent=proposed.parent,
        metadata=proposed.metadata,
        provenance=proposed.provenance,
        authorities=proposed.authorities,
    )
    tx.change(
        sql.RETURN_CLIENT,
        (
            record.state.value,
            record.rule,
            record.epoch,
            record.last_used_at,
            record.expires_at,
            record.parent,
            metadata_text(record.metadata),
            provenance_text(record.provenance),
            text_of(record.authorities),
            record.client_id,
        ),
    )
    tx.change(sql.DROP_APPROVALS, (record.client_id,))
    tx.move(quota, record.kind.value, old.state.value, record.state.value)
    return record


def _put_member(tx: Transaction, call: Registering, client_id: str, old: Member | None) -> Member:
    spiffe_id = call.proposed.member or ""
    epoch = call.now if old is None else max(old.epoch + 1, call.now)
    first_seen = call.now if old is None else old.first_seen_at
    tx.change(sql.UPSERT_MEMBER, (client_id, spiffe_id, epoch, first_seen, call.now, call.expires_at))
    return Member(client_id, spiffe_id, ClientState.ACTIVE, epoch, first_seen, call.now, call.expires_at)
