"""A request that was refused before, from what is left of it: its audit row, or the service's log line.

The audit log has what a verified caller asked, so that policy, records and limits can be asked again. Of a caller that
was not verified there is a log line and no more: the reason, and what the credential said of itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.advice.details import Kind, saying_on
from bridge.advice.table import ADVICE, advice_on
from bridge.doctor.examination import Examiner, Question
from bridge.doctor.report import Diagnosis, Finding, Outcome
from bridge.doctor.words import listed, shown, when
from bridge.model.audit import AuditEvent
from bridge.model.errors import BridgeError
from bridge.model.evidence import Door, names_document
from bridge.model.identity import PolicySubject
from bridge.model.reasons import Reason

# What policy, records and limits refuse with: asked again, they say how it is now.
_ASKED_AGAIN = frozenset(
    {
        Reason.POLICY_NO_RULE,
        Reason.POLICY_DENY_RULE,
        Reason.POLICY_GRANT_TYPE,
        Reason.POLICY_SCOPE,
        Reason.POLICY_RESOURCE,
        Reason.POLICY_PROOF,
        Reason.IDENTITY_DENIED,
        Reason.CLIENT_ID_RESERVED,
        Reason.APPROVAL_PENDING,
        Reason.LIMIT_REACHED,
    }
)
_NO_CREDENTIAL = "Which credential it was is not kept: examine the SVID itself for the steps before policy."
_NOT_VERIFIED = (
    "The caller was not verified, so there is no audit row: this is its line in the log, and whom it claims to be may "
    "be anybody's word. Examine the SVID itself for all that is wrong with it."
)
_STEPS: Mapping[Reason, str] = {
    Reason.CREDENTIAL_MALFORMED: "form",
    Reason.CREDENTIAL_TOO_LARGE: "form",
    Reason.JWT_HEADER: "header",
    Reason.JWT_ALGORITHM: "header",
    Reason.JWT_TYPE: "header",
    Reason.JWT_CLAIMS: "claims",
    Reason.SPIFFE_ID_INVALID: "spiffe-id",
    Reason.TRUST_DOMAIN_UNKNOWN: "trust-domain",
    Reason.BUNDLE_UNAVAILABLE: "bundle",
    Reason.BUNDLE_EMPTY: "bundle",
    Reason.JWT_KEY_UNKNOWN: "key",
    Reason.JWT_KEY_AMBIGUOUS: "key",
    Reason.JWT_KEY_UNFIT: "key",
    Reason.JWT_SIGNATURE: "signature",
    Reason.JWT_EXPIRED: "times",
    Reason.JWT_NOT_YET_VALID: "times",
    Reason.X509_EXPIRED: "times",
    Reason.X509_NOT_YET_VALID: "times",
    Reason.JWT_LIFETIME: "lifetime",
    Reason.JWT_AUDIENCE: "audience",
    Reason.JWT_ISSUER: "issuer",
    Reason.STATEMENT_LIFETIME: "statement",
    Reason.X509_LEAF: "leaf",
    Reason.X509_KEY: "leaf-key",
    Reason.X509_PATH: "chain",
    Reason.CLIENT_ID_MISSING: "client",
    Reason.CLIENT_ID_MISMATCH: "client",
    Reason.CREDENTIAL_REPLAYED: "replay",
    Reason.METADATA_INVALID: "metadata",
    Reason.REDIRECT_URI_INVALID: "metadata",
    Reason.KEY_FOREIGN: "instance-key",
    Reason.DPOP_MALFORMED: "form",
    Reason.POLICY_DENY_RULE: "policy",
    Reason.POLICY_GRANT_TYPE: "policy",
    Reason.POLICY_NO_RULE: "policy",
    Reason.POLICY_SCOPE: "policy",
    Reason.POLICY_RESOURCE: "policy",
    Reason.POLICY_PROOF: "policy",
    Reason.IDENTITY_DENIED: "record",
    Reason.APPROVAL_PENDING: "approval",
    Reason.LIMIT_REACHED: "limits",
    Reason.LEASE_ENDED: "lease",
    Reason.ASSERTION_KEY: "key",
    Reason.ASSERTION_CLAIMS: "claims",
    Reason.CLIENT_UNKNOWN: "registered",
    Reason.STATEMENT_ISSUER: "issuer",
}
# Refusals of the document itself; whatever else befalls its client is about the credential that it showed.
_OF_DOCUMENTS = frozenset(
    {
        Reason.DOCUMENT_REFUSED,
        Reason.FETCH_FAILED,
        Reason.FETCH_BUSY,
        Reason.POLICY_NO_RULE,
        Reason.POLICY_DENY_RULE,
        Reason.APPROVAL_PENDING,
    }
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A refusal as the service's log has it. `fields` are of any type: the file is only said to be that log."""

    reason: Reason
    fields: Mapping[str, object]

    def text(self, name: str) -> str:
        """A field, fit to be shown; empty where it is none."""
        value = self.fields.get(name)
        return shown(value) if isinstance(value, str) else ""


def find_line(lines: Iterable[bytes], correlation_id: str) -> LogLine | None:
    """The refusal of that id in a log of JSON lines; whatever stands before the first brace of a line is passed over,
    and so is every line that cannot be read."""
    needle = correlation_id.encode()
    for line in lines:
        if needle not in line:
            continue
        try:
            fields = json.loads(line[max(0, line.find(b"{")) :])
        except (ValueError, RecursionError):
            continue
        if isinstance(fields, dict) and fields.get("correlation_id") == correlation_id:
            reason = fields.get("reason")
            if isinstance(reason, str) and advice_on(reason) is not None:
                return LogLine(Reason(reason), fields)
    return None


def of_log_line(line: LogLine) -> Diagnosis:
    """What a log line says of a refusal that left no audit row."""
    audiences = line.fields.get("claimed_audiences")
    claimed = f"; it says aud {listed(audiences)}" if isinstance(audiences, list) else ""
    subject = line.text("subject") or line.text("claimed_subject")
    return Diagnosis(
        evidence=line.text("evidence") or "unknown",
        door=line.text("door"),
        subject=subject,
        is_verified=bool(line.text("subject")),
        credential="",
        reason=line.reason,
        findings=(
            _failed(
                line.reason,
                f"{line.text('detail')}{claimed}",
                _kind_of_line(line),
                line.text("detail"),
                is_nobody=not subject,
            ),
        ),
        notes=(_NOT_VERIFIED,),
    )


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request as its audit row has it. `refused`: the reason of then, None where it was granted; `question`: what
    it asked, None at doors that decide nothing."""

    event: AuditEvent
    subject: PolicySubject
    question: Question | None
    refused: str | None


def of_row(request: Remembered, examiner: Examiner, *, line: LogLine | None, now: int) -> Diagnosis:
    """What is made of a recorded request now. `line` is what the log says of it, where that is at hand."""
    event, refused = request.event, request.refused
    asked: tuple[Finding, ...] = ()
    error: BridgeError | None = None
    if request.question is not None:
        asked, error = examiner.ask_again(request.subject, request.question)
    reason, notes = None if error is None else error.reason, [_NO_CREDENTIAL]
    if refused is not None:
        then = Reason(refused) if advice_on(refused) is not None else None
        if then is not None and (then not in _ASKED_AGAIN or request.question is None):
            said = "" if line is None else line.text("detail")
            kind = _kind(then, event.door, _credential_of(event))
            asked, reason = (_failed(then, said or f"refused {when(event.time, now)}", kind, said), *asked), then
        else:
            notes.insert(0, _then(refused, event, error, now))
    verified = f"key {shown(event.key_id) or '-'}, verified {when(event.time, now)}"
    return Diagnosis(
        evidence=shown(event.evidence),
        door=shown(event.door),
        subject=shown(event.subject),
        is_verified=True,
        credential=shown(event.credential),
        reason=reason,
        findings=(Finding("credential", Outcome.OK, "a credential that holds", verified), *asked),
        notes=tuple(notes),
    )


def _then(refused: str, event: AuditEvent, error: BridgeError | None, now: int) -> str:
    """How it ended then, beside how it would end now."""
    then = f"It was refused {when(event.time, now)}: {shown(refused)}"
    if error is not None and error.reason.value == refused:
        return f"{then}, and would be refused for the same now."
    return f"{then}. What is said here is how it would end now."


def _kind_of_line(line: LogLine) -> Kind:
    """What was refused, told from whom it claimed to be: good for choosing words, and for nothing else."""
    return _kind(line.reason, line.text("door"), line.text("subject") or line.text("claimed_subject"))


def _credential_of(event: AuditEvent) -> str:
    """Whom a verified caller came as: a document's rows say its URL beside who acted."""
    return event.client_id if names_document(event.client_id) else event.subject


def _kind(reason: Reason, door: str, subject: str) -> Kind:
    # A statement's subject is its issuer and its own name, with a blank between them.
    if reason.value.startswith("dpop_"):
        return Kind.PROOF
    if names_document(subject) and " " not in subject:
        return Kind.DOCUMENT if reason in _OF_DOCUMENTS else Kind.ASSERTION
    if not subject or subject.lower().startswith("spiffe:"):
        return Kind.SVID
    return Kind.STATEMENT if door == Door.REGISTER.value else Kind.ASSERTION


def _failed(reason: Reason, found: str, kind: Kind, detail: str, *, is_nobody: bool = False) -> Finding:
    """`is_nobody`: nobody had shown anything yet, so that it was the body which was refused."""
    advice, saying = ADVICE[reason], saying_on(kind, reason, detail)
    step, fix, setting = _STEPS.get(reason, "request"), advice.fix, advice.setting
    if is_nobody and step == "metadata":
        step = "body"
    if saying is not None:
        step, fix, setting = saying.step, saying.fix, saying.setting
    return Finding(step, Outcome.FAILED, advice.meaning, found, reason, fix, setting)
