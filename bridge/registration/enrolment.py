"""`/register`: a client that introduces itself, over the same spine as everybody else (RFC 7591).

What it says of itself is laid under what its statement states, and policy caps the whole. The same identity
gets the same client and the recorded values, whether it came by first use before or comes by it after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientRecord, Provenance, Registration
from bridge.model.errors import (
    CredentialReplayed,
    EvidenceRejected,
    InvalidClientMetadata,
    PolicyDenied,
    ProofRejected,
    RegistrationChanged,
)
from bridge.model.evidence import PresentedStatement, RequestContext
from bridge.model.identity import DPOP_MARKER, Marker
from bridge.model.metadata import NO_METADATA, ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.steps import run
from bridge.model.terms import Ask, Replay
from bridge.registration.admission import Admission, assertion_markers
from bridge.registration.authentication import Authenticated
from bridge.registration.composing import Said, code_explained, first_use_metadata
from bridge.registration.hearing import GRANT_TYPES, HEARING_STEPS, KEY_STEPS, MEMBER_STEPS, HearingCase, asked
from bridge.registration.introduction import NOT_ADMITTED, Introduced, Introduction
from bridge.registration.noise import NoiseLimit
from bridge.registration.refused import Refusals
from bridge.registration.registrar import Registrar
from bridge.registration.standing_still import until_it_stands
from bridge.store.ports import ClientStore, Issue


@dataclass(frozen=True, slots=True)
class RegistrationAccess:
    """How a client may manage its record (RFC 7592): the last part of `registration_client_uri`, and the
    registration access token in force."""

    handle: str
    token: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a registration gives: the record, every registered member (DCR-5), the statement as it came
    (DCR-8; None where none was used), and how to manage it, where that is offered."""

    record: ClientRecord
    metadata: Mapping[str, object]
    statement: str | None = None
    access: RegistrationAccess | None = None


class OfferAccess(Protocol):
    """Gives out the registration access token of a record, where management is offered."""

    def __call__(self, record: ClientRecord) -> RegistrationAccess | None: ...


class Enrolment:
    """The whole of one registration request: introduce, decide, compose, ensure."""

    def __init__(
        self,
        *,
        introduction: Introduction,
        registrar: Registrar,
        clients: ClientStore,
        refusals: Refusals,
        noise: NoiseLimit,
        idle_expiry: int,
        access: OfferAccess,
    ) -> None:
        """`noise` limits what nobody vouches for; `idle_expiry`: seconds from a use to a record's end."""
        self._introduction, self._registrar = introduction, registrar
        self._clients, self._refusals = clients, refusals
        self._noise, self._idle_expiry, self._access = noise, idle_expiry, access

    def register(self, presented: PresentedStatement, metadata: ClientMetadata, context: RequestContext) -> Enrolled:
        """The caller's client, made now if need be; `metadata` is what the request says of it.

        Raises: EvidenceRejected, IssuerUntrusted, PolicyDenied, ProofRejected, InvalidRequest,
        InvalidClientMetadata and its kin, ApprovalPending, LimitReached, Unavailable. A refusal of an
        authenticated identity is in the audit log before this raises.
        Spec: DCR-5 to 20, 35; T-45, T-46. Not kept: members that policy has no use for, and the statement.
        """
        introduced = self._introduce(presented, context)
        try:
            return until_it_stands(lambda: self._enrol(introduced, presented.statement, metadata, context))
        except PolicyDenied as denied:
            if introduced.statement is not None:
                raise
            raise _not_admitted(denied) from denied

    def _introduce(self, presented: PresentedStatement, context: RequestContext) -> Introduced:
        """Whom the registration is for. One that nobody vouches for spends of its source address, and is told
        so when nothing is left there: LimitReached."""
        try:
            return self._introduction.verify(presented, now=context.now)
        except (EvidenceRejected, InvalidClientMetadata, ProofRejected) as rejected:
            if not self._is_vouched_for(presented, context.now):
                self._noise.spend(context.source_address, noise=rejected, now=context.now)
            raise

    def _is_vouched_for(self, presented: PresentedStatement, now: int) -> bool:
        """Whether a rejected registration shows a good credential all the same, beside a bad proof or a bad
        certificate: its sender is somebody, and has to hear what is wrong."""
        alone = PresentedStatement(presented.statement, () if presented.statement is not None else presented.chain)
        if alone == presented:
            return False
        try:
            self._introduction.verify(alone, now=now)
        except (EvidenceRejected, InvalidClientMetadata):
            return False
        return True

    def _enrol(
        self, introduced: Introduced, statement: str | None, metadata: ClientMetadata, context: RequestContext
    ) -> Enrolled:
        caller = Authenticated(introduced.identity, introduced.markers, None)
        case = HearingCase(introduced, metadata, self._registrar.decide)
        with self._refusals.watch(introduced.identity, asked(metadata, GRANT_TYPES[0]), context):
            run(HEARING_STEPS, case)
        # A refusal from here on is written down with what is really asked: a statement may state it, and redirect
        # URIs mean a code, so that explaining the row decides the same.
        with self._refusals.watch(introduced.identity, case.ask, context), code_explained(case.said):
            run(KEY_STEPS, case)
            case.admission = self._registrar.admit(caller, case.ask, key=case.key)
            run(MEMBER_STEPS, case)
            registration = self._settle(case, caller, context)
        record = registration.record
        return Enrolled(record, record.metadata, statement, self._access_to(record))

    def _access_to(self, record: ClientRecord) -> RegistrationAccess | None:
        """How the client may manage its record. None also when an operator has ended the record since it was
        written: to begin anew would take the proof of this very request for a replay."""
        try:
            return self._access(record)
        except RegistrationChanged:
            return None

    def _settle(self, case: HearingCase, caller: Authenticated, context: RequestContext) -> Registration:
        """The live record as it stands, or a new one of what was said (DCR-20). A client that many identities
        share is described by policy alone; what is said is held to the same rules all the same."""
        admission, said, composed = case.admission, case.said, case.composed
        identity, name = caller.identity, admission.name
        if name.kind is ClientKind.SHARED:
            # What one member says would bind the others (a promise of bound tokens) or speak for them (a name).
            said = Said(NO_METADATA)
            composed = first_use_metadata(admission.terms, identity.subject, name, None, None)
        markers = caller.markers
        if admission.terms.replay is Replay.ONCE:
            markers += assertion_markers(identity)
        _, live = self._registrar.look(admission, caller, context)
        try:
            if live is None:
                made = self._registrar.ensure(
                    admission,
                    caller,
                    context,
                    metadata=composed,
                    provenance=_provenance(case.introduced, said),
                    ask=case.ask,
                    markers=markers,
                )
                if made.created:
                    return made
                live = made
            self._use(live, admission, case.ask, markers, context)
        except CredentialReplayed as replayed:
            if replayed.kind != DPOP_MARKER:
                raise
            raise ProofRejected(Reason.DPOP_REPLAYED, "the DPoP proof was used before") from replayed
        return live

    def _use(
        self, live: Registration, admission: Admission, ask: Ask, markers: tuple[Marker, ...], context: RequestContext
    ) -> None:
        """A registration that finds its record is a use of it, and says so in the audit log."""
        identity, member = live.identity, live.member
        self._clients.record_issue(
            Issue(
                client_id=live.record.client_id,
                epoch=live.record.epoch,
                subject=identity.name,
                event=AuditEvent.about(
                    identity,
                    context,
                    AuditEventKind.UPDATED,
                    outcome="unchanged",
                    ask=ask,
                    rule=admission.terms.rule,
                    client_id=live.record.client_id,
                    policy_version=admission.decision.policy_version,
                ),
                member=None if member is None else member.spiffe_id,
                member_epoch=None if member is None else member.epoch,
                markers=markers,
                idle_expiry=self._idle_expiry,
                lease_until=live.lease_until,
            ),
            now=context.now,
        )


def _not_admitted(denied: PolicyDenied) -> InvalidClientMetadata:
    """What a certificate that came without a statement is told, and the log as before."""
    refusal = InvalidClientMetadata(
        denied.reason, denied.detail, public=NOT_ADMITTED, rule=denied.rule, policy_version=denied.policy_version
    )
    refusal.subject, refusal.evidence, refusal.asked = denied.subject, denied.evidence, denied.asked
    refusal.row = denied.row
    return refusal


def _provenance(introduced: Introduced, said: Said) -> Provenance:
    evidence, statement = introduced.identity.subject.evidence, introduced.statement
    if statement is None:
        return Provenance(evidence)
    return Provenance(evidence, said.stated, statement.digest, statement.issuer or "", statement.expires_at)
