"""Makers of what a store is given, so that a test names only what it is about."""

from __future__ import annotations

from itertools import count
from typing import Any

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientRecord, ClientState, ProposedClient
from bridge.model.identity import Marker
from bridge.store.ports import ClientStore, Ensured, Found, Issue, RegistrationLimits

NOW = 1_800_000_000
DAY = 86_400
IDLE = 30 * DAY
WIDE = RegistrationLimits(
    records=1_000_000,
    per_second=1_000_000,
    burst=1_000_000,
    instances=1_000_000,
    pending=1_000_000,
    rule_per_second=1_000_000,
    rule_burst=1_000_000,
    identity_per_minute=1_000_000,
)
AUDIT_KEY = b"\x07" * 32
API = "spiffe://example.org/ns/web/sa/api"
OTHER = "spiffe://example.org/ns/web/sa/other"
BATCH_CLIENT = "payments-batch"

_ids = count(1)


def event(kind: AuditEventKind = AuditEventKind.REGISTERED, **fields: Any) -> AuditEvent:
    """An audit event; every field can be given."""
    fields.setdefault("id", f"event-{next(_ids)}")
    fields.setdefault("time", NOW)
    return AuditEvent(event=kind, **fields)


def spiffe(spiffe_id: str = API, **fields: Any) -> ProposedClient:
    """The client of one SPIFFE ID."""
    given: dict[str, Any] = {
        "client_id": spiffe_id,
        "kind": ClientKind.SPIFFE,
        "subject": spiffe_id,
        "trust_domain": "example.org",
        "state": ClientState.ACTIVE,
        "rule": "web",
    }
    return ProposedClient(**(given | fields))


def shared(member: str = API, **fields: Any) -> ProposedClient:
    """A shared client, seen through one of its members."""
    return spiffe(
        member,
        **({"client_id": BATCH_CLIENT, "subject": BATCH_CLIENT, "kind": ClientKind.SHARED, "member": member} | fields),
    )


def instance(number: int = 1, parent: str = API, **fields: Any) -> ProposedClient:
    """One instance of an identity."""
    name = f"instance-{number}"
    return spiffe(
        parent,
        **(
            {"client_id": name, "subject": f"{parent} key-{number}", "kind": ClientKind.INSTANCE, "parent": parent}
            | fields
        ),
    )


def ensure(
    clients: ClientStore,
    proposed: ProposedClient | None = None,
    *,
    now: int = NOW,
    idle: int = IDLE,
    limits: RegistrationLimits = WIDE,
    lease: int | None = None,
    markers: tuple[Marker, ...] = (),
) -> Ensured:
    """Ensure, with wide limits and an event of its own. `lease`: when it ends."""
    proposed = proposed or spiffe()
    registered = event(time=now, subject=proposed.member or proposed.subject, client_id=proposed.client_id)
    return clients.ensure(
        proposed,
        limits=limits,
        idle_expiry=idle,
        event=registered,
        now=now,
        lease_until=lease,
        markers=markers,
    )


def issue_for(ensured: Ensured, *, now: int = NOW, markers: tuple[Marker, ...] = (), idle: int | None = IDLE) -> Issue:
    """The write behind a token for that registration."""
    record, member = ensured.record, ensured.member
    subject = record.subject if member is None else member.spiffe_id
    return Issue(
        record.client_id,
        record.epoch,
        subject,
        event(AuditEventKind.TOKEN_ISSUED, time=now, subject=subject, client_id=record.client_id),
        member=None if member is None else member.spiffe_id,
        member_epoch=None if member is None else member.epoch,
        markers=markers,
        idle_expiry=idle,
    )


def issue(
    clients: ClientStore, ensured: Ensured, *, now: int = NOW, markers: tuple[Marker, ...] = (), idle: int | None = IDLE
) -> None:
    """Issue to that registration."""
    clients.record_issue(issue_for(ensured, now=now, markers=markers, idle=idle), now=now)


def find(clients: ClientStore, spiffe_id: str = API, terms: tuple[str, str] | None = None) -> Found:
    """What a request of that SPIFFE ID's own client sees."""
    return clients.find(spiffe_id, subject=spiffe_id, terms=terms)


def record(number: int, **fields: Any) -> ClientRecord:
    """A stored record, for seeding."""
    name = f"spiffe://example.org/ns/web/sa/seeded-{number:07}"
    given: dict[str, Any] = {
        "client_id": name,
        "kind": ClientKind.SPIFFE,
        "subject": name,
        "trust_domain": "example.org",
        "state": ClientState.ACTIVE,
        "rule": "web",
        "epoch": NOW,
        "created_at": NOW,
        "last_used_at": NOW,
        "expires_at": NOW + IDLE,
    }
    return ClientRecord(**(given | fields))
