"""What policy gives to a caller, before any record is looked at, and how long that lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bridge.model.client import ClientKind, ClientRecord, ClientState
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, Marker, PolicySubject, VerifiedIdentity
from bridge.model.terms import Ask, ClientChoice, Decision, Standing, Terms
from bridge.registration.composing import InstanceKey
from bridge.registration.naming import ClientName

# How long after its end a once-only assertion's mark is kept: the leeway under which it is still taken.
ASSERTION_LEEWAY = 30


class Policy(Protocol):
    """The questions the registrar asks of the policy set in force."""

    def decide(self, subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Decision: ...
    def client_for(self, subject: PolicySubject) -> ClientChoice | None: ...
    def standing(self, subject: PolicySubject) -> Standing: ...
    def offers(self, subject: PolicySubject, door: Door, grant_type: str) -> tuple[Decision, ...]: ...


@dataclass(frozen=True, slots=True)
class Admission:
    """What policy gives to a caller, and the name its client has. No record is looked at yet.

    `terms` are the decision's; `key` is the instance's, where the client is one per instance.
    """

    decision: Decision
    terms: Terms
    name: ClientName
    key: InstanceKey | None = None


def lease_until(kind: ClientKind, terms: Terms, identity: VerifiedIdentity, now: int) -> int | None:
    """When an instance's lease ends that is granted now: with the credential and its leeway, or after the rule's
    `lease` if that is later (interface section 9). None for all other clients, which end by not being used."""
    if kind is not ClientKind.INSTANCE:
        return None
    return max(identity.not_after + ASSERTION_LEEWAY, now + (terms.lease or 0))


def assertion_markers(identity: VerifiedIdentity) -> tuple[Marker, ...]:
    """The mark on a JWT-SVID that may be used once, wherever it was (T-21). Other evidence has none."""
    if identity.subject.evidence is not EvidenceKind.JWT_SVID or not identity.replay_digest:
        return ()
    return (Marker("jwt-svid", identity.replay_digest, identity.not_after + ASSERTION_LEEWAY),)


def transient_record(admission: Admission, now: int) -> ClientRecord:
    """What stands for the record of a pushed client, which has none: made anew for each request, and never stored."""
    name = admission.name
    return ClientRecord(
        client_id=name.client_id,
        kind=name.kind,
        subject=name.subject,
        trust_domain=None,
        state=ClientState.ACTIVE,
        rule=admission.terms.rule,
        epoch=0,
        created_at=now,
        last_used_at=now,
        expires_at=None,
        identities=0,
    )
