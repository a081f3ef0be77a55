"""The examination of one SVID: its steps walked, the verdict asked of the service's own verification, and behind it
what policy, records and limits make of whom it proves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.doctor.asking import Answers, answers, ask_case, unasked
from bridge.doctor.documents import svid_for_document
from bridge.doctor.findings import failed, findings_of, holds, not_reached
from bridge.doctor.given import GivenChain, GivenJwt
from bridge.doctor.instruments import Instruments, Question
from bridge.doctor.jwt_remedies import jwt_remedy
from bridge.doctor.jwt_words import JWT_WORDS, claims_of
from bridge.doctor.registering import STEP_NAMES, claimed_identity, hear
from bridge.doctor.report import Diagnosis, Finding, Outcome
from bridge.doctor.words import shown
from bridge.doctor.x509_remedies import x509_remedy
from bridge.doctor.x509_words import X509_WORDS
from bridge.model.errors import BridgeError, EvidenceRejected, Unavailable
from bridge.model.evidence import Door, EvidenceKind, JwtEvidence, names_document
from bridge.model.identity import BindingMethod, PolicySubject, Source, VerifiedIdentity, VerifiedStatement
from bridge.model.spiffe_id import SpiffeId
from bridge.registration.admission import assertion_markers
from bridge.registration.introduction import Introduced
from bridge.verify.statement_claims import check_of_svid, stated_by
from bridge.verify.statement_steps import STATEMENT_STEPS

_UNVERIFIED = (
    "Nothing here is verified: what the SVID says of itself may be anybody's word, and from `policy` on the answers "
    "are for whoever it claims to be."
)


@dataclass(frozen=True, slots=True)
class _Credential:
    """What came of the credential's own steps. `claimed` is whom it names, verified or not; `stated` its claims, of a
    statement."""

    findings: tuple[Finding, ...]
    identity: VerifiedIdentity | None
    refusal: BridgeError | None
    claimed: SpiffeId | None
    stated: dict[str, object] | None = None


def examine_svid(instruments: Instruments, given: GivenChain | GivenJwt, question: Question) -> Diagnosis:
    """What the service would make of this SVID with this question."""
    door = question.ask.door
    if isinstance(given, GivenChain):
        evidence, credential = EvidenceKind.X509_SVID, _chain(instruments, given)
        digest = hashlib.sha256(given.chain[0]).hexdigest()
    else:
        evidence, credential = EvidenceKind.JWT_SVID, _jwt(instruments, given, door)
        digest = hashlib.sha256(given.assertion.encode("utf-8", "surrogatepass")).hexdigest()
    asked, error = _asked(instruments, credential, evidence, question)
    refusal = credential.refusal or error
    return Diagnosis(
        evidence=evidence.value,
        door=door.value,
        subject=shown(str(credential.claimed)) if credential.claimed is not None else "",
        is_verified=credential.identity is not None,
        credential=digest,
        reason=None if refusal is None else refusal.reason,
        findings=(*credential.findings, *asked),
        notes=(*given.notes, *_notes(credential, evidence, question)),
    )


def _jwt(instruments: Instruments, given: GivenJwt, door: Door) -> _Credential:
    around, svids = instruments.around, instruments.svids
    audience = around.audience(door)
    more = STATEMENT_STEPS if door is Door.REGISTER else ()
    case, looked = svids.walk_jwt(given.assertion, audience=audience, now=around.now, more=more)
    findings = findings_of(
        looked,
        lambda step: JWT_WORDS[step](case, around),
        lambda step, error: jwt_remedy(case, error, around),
    )
    claimed = case.claims.spiffe_id if holds(looked, "claims") else None

    def verify() -> VerifiedIdentity:
        if door is not Door.REGISTER:
            return svids.verify_jwt(JwtEvidence(given.assertion), now=around.now)
        identity, claims = svids.verify_jwt_claims(given.assertion, audience=audience, now=around.now)
        check_of_svid(claims, around.now)
        return identity

    stated = dict(stated_by(claims_of(case) or {})) if door is Door.REGISTER and claimed is not None else None
    return replace(_concluded(findings, verify, claimed), stated=stated)


def _chain(instruments: Instruments, given: GivenChain) -> _Credential:
    around, svids = instruments.around, instruments.svids
    case, looked = svids.walk_chain(given.chain, now=around.now)
    findings = findings_of(
        looked,
        lambda step: X509_WORDS[step](case, around),
        lambda step, error: x509_remedy(case, step, error, around),
    )
    claimed = case.spiffe_id if holds(looked, "spiffe-id") else None
    return _concluded(findings, lambda: svids.verify_chain(given.chain, now=around.now), claimed)


def _asked(instruments: Instruments, credential: _Credential, evidence: EvidenceKind, question: Question) -> Answers:
    """The steps behind the credential's, for whom it proves; failing that, for whom it claims."""
    is_registration = question.ask.door is Door.REGISTER
    if credential.claimed is None:
        lacks = "the credential"
        return (not_reached(STEP_NAMES, lacks) if is_registration else unasked(lacks)), None
    subject = PolicySubject(Source.SPIFFE, evidence, spiffe_id=credential.claimed)
    identity = credential.identity or claimed_identity(subject, instruments.around.now)
    certificate = {BindingMethod.X5T_S256} if evidence is EvidenceKind.X509_SVID else set()
    whole = replace(question, proved=question.proved | certificate)
    if is_registration:
        return hear(instruments, _introduced(identity, credential.stated), whole)
    if evidence is EvidenceKind.JWT_SVID and question.client_id is not None and names_document(question.client_id):
        return svid_for_document(instruments, identity, whole)
    return answers(instruments, ask_case(instruments, identity.subject, whole, assertion_markers(identity)))


def _introduced(identity: VerifiedIdentity, stated: dict[str, object] | None) -> Introduced:
    if stated is None:
        return Introduced(identity, None, ())
    return Introduced(identity, VerifiedStatement(identity, stated, None, "", identity.not_after), ())


def _concluded(
    findings: tuple[Finding, ...], verify: Callable[[], VerifiedIdentity], claimed: SpiffeId | None
) -> _Credential:
    """The verdict of the verification itself beside the findings of the walk."""
    try:
        return _Credential(findings, verify(), None, claimed)
    except (EvidenceRejected, Unavailable) as refusal:
        if all(finding.outcome is Outcome.OK for finding in findings):
            # Between the two looks something changed, such as a bundle. What was said last counts.
            findings = (*findings, failed("verification", "", "", refusal, None))
        return _Credential(findings, None, refusal, claimed)


def _notes(credential: _Credential, evidence: EvidenceKind, question: Question) -> list[str]:
    notes = []
    if credential.identity is None:
        notes.append(_UNVERIFIED)
    if evidence is EvidenceKind.X509_SVID and question.client_id is None and credential.claimed is not None:
        if question.ask.door is not Door.REGISTER:
            notes.append(f"Beside a certificate the request has to send client_id={shown(str(credential.claimed))}.")
    return notes
