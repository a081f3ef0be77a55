"""The whole examination of one SVID: its steps walked, and the verdict asked of the service's own verification."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.advice.table import ADVICE
from bridge.doctor.ask_words import ASK_WORDS, ask_remedy
from bridge.doctor.given import Given, GivenChain, GivenJwt
from bridge.doctor.jwt_remedies import jwt_remedy
from bridge.doctor.jwt_words import JWT_WORDS
from bridge.doctor.report import Diagnosis, Finding, Outcome
from bridge.doctor.surroundings import Surroundings
from bridge.doctor.words import named_setting, shown
from bridge.doctor.x509_remedies import x509_remedy
from bridge.doctor.x509_words import X509_WORDS
from bridge.model.errors import BridgeError, EvidenceRejected, Unavailable
from bridge.model.evidence import Door, EvidenceKind, JwtEvidence
from bridge.model.identity import BindingMethod, Marker, PolicySubject, Source, VerifiedIdentity
from bridge.model.spiffe_id import SpiffeId
from bridge.model.steps import Looked, walk
from bridge.model.terms import Ask
from bridge.policy.evaluate import PolicySet
from bridge.registration.admission import assertion_markers
from bridge.registration.foresight import ASK_STEPS, AskCase, Outlook
from bridge.verify.statement_claims import check_of_svid
from bridge.verify.statement_steps import STATEMENT_STEPS
from bridge.verify.verifier import SvidVerifier

_UNVERIFIED = (
    "Nothing here is verified: what the SVID says of itself may be anybody's word, and from `policy` on the answers "
    "are for whoever it claims to be."
)
_AT_REGISTER = (
    "At /register a JWT whose sub is no SPIFFE ID is taken for a pinned issuer's statement, which is not examined."
)


@dataclass(frozen=True, slots=True)
class Question:
    """What the request would ask. `proved`: keys it would prove beside that of a certificate; `client_id`: what it
    would send, where it is not what it must."""

    ask: Ask
    proved: frozenset[BindingMethod] = frozenset()
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Credential:
    """What came of the credential's own steps. `claimed` is whom it names, verified or not."""

    findings: tuple[Finding, ...]
    identity: VerifiedIdentity | None
    refusal: BridgeError | None
    claimed: SpiffeId | None


class Examiner:
    """Asks of one SVID what the service would ask, in its order, and writes the answers down. Changes nothing."""

    def __init__(self, svids: SvidVerifier, policies: PolicySet, outlook: Outlook, around: Surroundings) -> None:
        """`outlook` asks the same `policies`, of which single rules are needed here as well."""
        self._svids, self._policies, self._outlook, self._around = svids, policies, outlook, around

    def examine(self, given: Given, question: Question) -> Diagnosis:
        """What the service would make of this SVID with this question."""
        door = question.ask.door
        if isinstance(given, GivenChain):
            evidence, credential = EvidenceKind.X509_SVID, self._chain(given)
            digest = hashlib.sha256(given.chain[0]).hexdigest()
        else:
            evidence, credential = EvidenceKind.JWT_SVID, self._jwt(given, door)
            digest = hashlib.sha256(given.assertion.encode("utf-8", "surrogatepass")).hexdigest()
        asked, error = self._asked(credential, evidence, question)
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

    def ask_again(
        self, subject: PolicySubject, question: Question, once: tuple[Marker, ...] = ()
    ) -> tuple[tuple[Finding, ...], BridgeError | None]:
        """What policy, records and limits make of a subject, and what the first of them would refuse with."""
        case = AskCase(
            self._outlook, subject, question.ask, question.proved, self._around.now, question.client_id, once
        )
        looked = walk(ASK_STEPS, case)
        findings = _findings(
            looked,
            lambda step: ASK_WORDS[step](case),
            lambda step, error: ask_remedy(case, error, self._policies),
        )
        return findings, next((one.error for one in looked if one.error is not None), None)

    def _jwt(self, given: GivenJwt, door: Door) -> _Credential:
        around, audience = self._around, self._around.audience(door)
        more = STATEMENT_STEPS if door is Door.REGISTER else ()
        case, looked = self._svids.walk_jwt(given.assertion, audience=audience, now=around.now, more=more)
        findings = _findings(
            looked,
            lambda step: JWT_WORDS[step](case, around),
            lambda step, error: jwt_remedy(case, error, around),
        )
        claimed = case.claims.spiffe_id if _holds(looked, "claims") else None

        def verify() -> VerifiedIdentity:
            if door is not Door.REGISTER:
                return self._svids.verify_jwt(JwtEvidence(given.assertion), now=around.now)
            identity, claims = self._svids.verify_jwt_claims(given.assertion, audience=audience, now=around.now)
            check_of_svid(claims, around.now)
            return identity

        return _concluded(findings, verify, claimed)

    def _chain(self, given: GivenChain) -> _Credential:
        around = self._around
        case, looked = self._svids.walk_chain(given.chain, now=around.now)
        findings = _findings(
            looked,
            lambda step: X509_WORDS[step](case, around),
            lambda step, error: x509_remedy(case, step, error, around),
        )
        claimed = case.spiffe_id if _holds(looked, "spiffe-id") else None
        return _concluded(findings, lambda: self._svids.verify_chain(given.chain, now=around.now), claimed)

    def _asked(
        self, credential: _Credential, evidence: EvidenceKind, question: Question
    ) -> tuple[tuple[Finding, ...], BridgeError | None]:
        """The steps behind the credential's, for whom it proves; failing that, for whom it claims."""
        if credential.claimed is None:
            hangs = tuple(Looked(step.name, lacks="the credential") for step in ASK_STEPS)
            return _findings(hangs, lambda step: ("", ""), lambda step, error: None), None
        identity = credential.identity
        certificate = {BindingMethod.X5T_S256} if evidence is EvidenceKind.X509_SVID else set()
        whole = Question(question.ask, question.proved | certificate, question.client_id)
        if identity is not None:
            return self.ask_again(identity.subject, whole, assertion_markers(identity))
        # Made up of an unverified name: good for asking what the rules would say, and for nothing else.
        return self.ask_again(PolicySubject(Source.SPIFFE, evidence, spiffe_id=credential.claimed), whole)


def _concluded(
    findings: tuple[Finding, ...], verify: Callable[[], VerifiedIdentity], claimed: SpiffeId | None
) -> _Credential:
    """The verdict of the verification itself beside the findings of the walk."""
    try:
        return _Credential(findings, verify(), None, claimed)
    except (EvidenceRejected, Unavailable) as refusal:
        if all(finding.outcome is Outcome.OK for finding in findings):
            # Between the two looks something changed, such as a bundle. What was said last counts.
            findings = (*findings, _failed("verification", "", "", refusal, None))
        return _Credential(findings, None, refusal, claimed)


def _holds(looked: Sequence[Looked], step: str) -> bool:
    return any(one.step == step and one.holds for one in looked)


def _findings(
    looked: Sequence[Looked],
    words: Callable[[str], tuple[str, str]],
    remedy: Callable[[str, BridgeError], str | None],
) -> tuple[Finding, ...]:
    return tuple(_finding(one, words, remedy) for one in looked)


def _finding(
    looked: Looked, words: Callable[[str], tuple[str, str]], remedy: Callable[[str, BridgeError], str | None]
) -> Finding:
    if looked.lacks is not None:
        return Finding(looked.step, Outcome.NOT_REACHED, found=f"hangs on {looked.lacks}")
    expected, found = words(looked.step)
    if looked.error is None:
        return Finding(looked.step, Outcome.OK, expected, found)
    return _failed(looked.step, expected, found, looked.error, remedy(looked.step, looked.error))


def _failed(step: str, expected: str, found: str, error: BridgeError, remedy: str | None) -> Finding:
    general = ADVICE[error.reason]
    detail = shown(error.detail)
    said = detail if not found else found if not detail or detail in found else f"{found}; {detail}"
    advice = remedy or general.fix
    # A remedy of its own may be about something else than what is usually changed for that reason.
    setting = general.setting if remedy is None or general.setting in remedy else named_setting(remedy)
    return Finding(step, Outcome.FAILED, expected, said, error.reason, advice, setting)


def _notes(credential: _Credential, evidence: EvidenceKind, question: Question) -> list[str]:
    notes = []
    if credential.identity is None:
        notes.append(_UNVERIFIED)
    if credential.claimed is None and question.ask.door is Door.REGISTER and evidence is EvidenceKind.JWT_SVID:
        notes.append(_AT_REGISTER)
    if evidence is EvidenceKind.X509_SVID and question.client_id is None and credential.claimed is not None:
        if question.ask.door is not Door.REGISTER:
            notes.append(f"Beside a certificate the request has to send client_id={shown(str(credential.claimed))}.")
    return notes
