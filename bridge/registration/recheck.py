"""What today's rules make of a client that yesterday's rules admitted.

Nothing here is needed for safety: every use of a record is decided anew. It is for the operator who changed
the rules and wants to know, before the clients do, whom that meets, and for clearing away what nobody can use
any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from bridge.model.client import ClientKind, ClientRecord, ClientState, Member
from bridge.model.errors import ProofMissing
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SCHEME, SpiffeId
from bridge.model.terms import ClientChoice, Decision, Effect
from bridge.policy.rule import Rule
from bridge.policy.vocabulary import SVIDS, VOCABULARIES
from bridge.registration.naming import identity_name_of, name_of, thumbprint_of
from bridge.verify.metadata_documents import SPIFFE_JWT

# Whether an operator approved these terms (rule, digest) for this client_id.
Approved = Callable[[str, str, str], bool]

# The likeliest first: most clients come to the token endpoint for `client_credentials`.
_DOORS = (Door.TOKEN, Door.REGISTER, Door.PAR, Door.AUTHORIZE)
_GRANT_TYPES = ("client_credentials", "authorization_code", "refresh_token")
_KINDS = frozenset(ClientKind) - {ClientKind.PUSHED}


class Rules(Protocol):
    """The questions asked of the policy set in force."""

    rules: tuple[Rule, ...]

    def offers(self, subject: PolicySubject, door: Door, grant_type: str) -> tuple[Decision, ...]: ...
    def client_for(self, subject: PolicySubject) -> ClientChoice | None: ...


class Outcome(StrEnum):
    """What becomes of a client at its next request, whatever it asks for."""

    ADMITTED = "admitted"
    OTHER_RULE = "other_rule"
    WAITS = "waits"
    DENIED = "denied"
    NO_RULE = "no_rule"
    OTHER_CLIENT = "other_client"


_ENDS = frozenset({Outcome.DENIED, Outcome.NO_RULE, Outcome.OTHER_CLIENT})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What today's rules make of one record or member. `rule` is the one that admits, asks or denies, None where
    none does; `client_id` the client that its identity has now; `because` words for people."""

    outcome: Outcome
    rule: str | None
    client_id: str
    because: str = ""

    @property
    def changes(self) -> bool:
        """Whether it will be treated otherwise than it was. To be admitted by another rule is no such thing."""
        return self.outcome is Outcome.WAITS or self.ends

    @property
    def ends(self) -> bool:
        """Whether nobody can use the record any more, so that it may be ended."""
        return self.outcome in _ENDS


def recheck(record: ClientRecord, policy: Rules, *, approved: Approved) -> Verdict:
    """What the rules make of a live record. Of a shared client: whether any rule still gives it to anybody, and of
    a document that SVIDs act for, whether any rule wants it; their members are looked at by `recheck_member`.

    Not looked at: tombstones, which the record's state shows; whether its trust domain or issuer is
    configured; kinds of records that no door of this version makes.
    """
    if record.kind not in _KINDS:
        return Verdict(Outcome.ADMITTED, record.rule, record.client_id)
    if record.kind is ClientKind.SHARED:
        return _recheck_shared(record, policy)
    return _recheck_identity(record, identity_name_of(record), policy, approved)


def recheck_member(record: ClientRecord, member: Member, policy: Rules, *, approved: Approved) -> Verdict:
    """What the rules make of one live identity under a client."""
    return _recheck_identity(record, member.spiffe_id, policy, approved)


def _recheck_shared(record: ClientRecord, policy: Rules) -> Verdict:
    giving = [r.id for r in policy.rules if r.client is not None and r.client.shared_id == record.client_id]
    if not giving:
        return Verdict(Outcome.NO_RULE, None, record.client_id, "no rule gives this client to anybody")
    if record.rule in giving:
        return Verdict(Outcome.ADMITTED, record.rule, record.client_id)
    return Verdict(Outcome.OTHER_RULE, giving[0], record.client_id)


def _recheck_identity(record: ClientRecord, name: str, policy: Rules, approved: Approved) -> Verdict:
    subjects = _subjects(record, name)
    choice = policy.client_for(subjects[0])
    if choice is None:
        return Verdict(Outcome.NO_RULE, None, record.client_id, "no rule names it")
    given = _client_id(record, subjects[0], choice)
    if given != record.client_id:
        words = f"the rules now give it {given or 'one client per instance'}"
        return Verdict(Outcome.OTHER_CLIENT, None, given, words)
    return _admission(record, list(_offers(subjects, policy, record)), approved)


def _client_id(record: ClientRecord, subject: PolicySubject, choice: ClientChoice) -> str:
    """The client that this choice gives to the record's identity; empty for a new one per instance."""
    try:
        return name_of(subject, choice, thumbprint_of(record)).client_id
    except ProofMissing:
        return ""


def _subjects(record: ClientRecord, name: str) -> list[PolicySubject]:
    """The subject under every evidence that it can come with, the one that it came with last time first: a
    workload that has one SVID has the other one too. `name` is the record's identity, or a member's."""
    if record.kind is ClientKind.METADATA_DOCUMENT:
        return _document_subjects(record, name)
    if not name.startswith(SCHEME):
        issuer, _, subject = name.partition(" ")
        kind = EvidenceKind.SOFTWARE_STATEMENT
        return [PolicySubject(Source.SOFTWARE_STATEMENT, kind, issuer=issuer, subject=subject)]
    spiffe_id = SpiffeId.parse_workload(name)
    kinds = sorted(SVIDS, key=lambda kind: (kind is not record.provenance.evidence, kind))
    return [PolicySubject(Source.SPIFFE, kind, spiffe_id=spiffe_id) for kind in kinds]


def _document_subjects(record: ClientRecord, name: str) -> list[PolicySubject]:
    """A document with the SVID that acts for it, or by itself: then as one that some SVID acts for, too, where that
    is how its client authenticates. Certificates never come for a URL."""
    by_svid = PolicySubject(Source.METADATA_DOCUMENT, EvidenceKind.JWT_SVID, url=record.subject)
    if name.startswith(SCHEME):
        return [replace(by_svid, spiffe_id=SpiffeId.parse_workload(name))]
    alone = replace(by_svid, evidence=EvidenceKind.METADATA_DOCUMENT)
    method = record.metadata.get("token_endpoint_auth_method")
    if method is None:
        return [alone, by_svid]
    return [by_svid if method == SPIFFE_JWT else alone]


def _offers(subjects: list[PolicySubject], policy: Rules, record: ClientRecord) -> Iterator[Decision]:
    """What each door has for it, up to the first one that admits by the rule on the record."""
    doors = VOCABULARIES[subjects[0].source].doors
    for grant_type in _GRANT_TYPES:
        for door in (door for door in _DOORS if door in doors):
            for subject in subjects:
                for decision in policy.offers(subject, door, grant_type):
                    yield decision
                    if decision.effect is Effect.ALLOW and decision.rule == record.rule:
                        return


def _admission(record: ClientRecord, found: list[Decision], approved: Approved) -> Verdict:
    """The best that the doors have to offer. The rule on the record goes before others: where it asks now for
    an approval that nobody gave, what the client came for waits, whatever another rule gives."""
    granting = [decision for decision in found if decision.terms is not None]
    mine = [decision for decision in granting if decision.rule == record.rule]
    outcome, candidates = (Outcome.ADMITTED, mine) if mine else (Outcome.OTHER_RULE, granting)
    for decision in candidates:
        if decision.effect is Effect.ALLOW or _is_approved(record, decision, approved):
            return Verdict(outcome, decision.rule, record.client_id)
    if candidates and record.state is ClientState.PENDING:
        # It waits already, so nothing changes for it.
        return Verdict(outcome, candidates[0].rule, record.client_id)
    if candidates:
        return Verdict(Outcome.WAITS, candidates[0].rule, record.client_id, "an operator has to approve it now")
    denied = next((decision for decision in found if decision.reason is Reason.POLICY_DENY_RULE), None)
    if denied is not None:
        return Verdict(Outcome.DENIED, denied.rule, record.client_id, denied.because)
    return Verdict(Outcome.NO_RULE, None, record.client_id, "rules name it, and none gives it anything")


def _is_approved(record: ClientRecord, decision: Decision, approved: Approved) -> bool:
    terms = decision.terms
    return terms is not None and approved(record.client_id, terms.rule, terms.digest)
