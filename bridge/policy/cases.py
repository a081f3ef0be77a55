"""Cases: what people expect of a policy, written down and run (`bridge policy test`).

A suite is as good as what it would notice. So a rule that no case reaches fails it, and so does a
refusal without a twin: a case that is accepted and differs in one field. Without the twin a refusal
may have any reason, a typo in the case among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.files.paths import TooLarge, read_bounded
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId
from bridge.model.terms import Ask, Decision, Denial, Effect
from bridge.policy.document import Case, CaseFile
from bridge.policy.durations import spelled
from bridge.policy.evaluate import PolicySet
from bridge.policy.explain import client_id_of
from bridge.policy.findings import Finding, Report
from bridge.policy.reading import MAX_FILE_BYTES, readable, toml
from bridge.policy.unread import CASES_FOLDER, CASES_PATTERN, unread_cases
from bridge.policy.vocabulary import GRANTS_AT, VOCABULARIES, provable

_SOLE_EVIDENCE = {
    Source.METADATA_DOCUMENT: EvidenceKind.METADATA_DOCUMENT,
    Source.SOFTWARE_STATEMENT: EvidenceKind.SOFTWARE_STATEMENT,
    Source.PUSHED: EvidenceKind.PUSHED,
}


class BadRequest(ValueError):
    """What is written describes no request at all. The message says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A hypothetical request: what a case, or a person who asks `explain`, describes."""

    subject: PolicySubject
    ask: Ask
    proved: frozenset[BindingMethod]

    @property
    def fields(self) -> tuple[object, ...]:
        """The fields in which twins are compared."""
        subject = self.subject
        name = subject.subject if subject.source is Source.SOFTWARE_STATEMENT else subject.url or subject.spiffe_id
        actor = subject.spiffe_id if subject.url else None
        scopes, resources = frozenset(self.ask.scopes), frozenset(self.ask.resources)
        ask = (self.ask.door, self.ask.grant_type, scopes, resources)
        return (name, subject.issuer, actor, subject.evidence, *ask, self.proved)


@dataclass(frozen=True, slots=True)
class Written:
    """A case and where it stands."""

    file: str
    line: int
    case: Case
    request: Request


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that keeps a suite from passing. `case` is empty when it is about a rule, and `rule` when
    it is about a case."""

    file: str
    line: int
    case: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found. It passes when there is no failure."""

    cases: int
    passed: int
    failures: tuple[Failure, ...]
    reached: frozenset[str]


def request_of(
    *,
    subject: str | None,
    issuer: str | None = None,
    spiffe_id: str | None = None,
    evidence: str | None = None,
    door: str | None = None,
    grant_type: str | None = None,
    scopes: Iterable[str] = (),
    resources: Iterable[str] = (),
    proved: Iterable[str] | None = None,
) -> Request:
    """Put a request together from words. The source follows from what the subject looks like.

    `proved` None: every key that the evidence can prove. `door` None: where such a grant begins. Scopes may be given
    as one string with spaces, as in OAuth. Raises: BadRequest. Not checked: that the door is one the source has.
    """
    source = _source_of(subject, issuer)
    kind = EvidenceKind(evidence) if evidence is not None else _SOLE_EVIDENCE.get(source)
    if kind is None:
        raise BadRequest("say the evidence: x509-svid or jwt-svid")
    if kind not in VOCABULARIES[source].evidence:
        raise BadRequest(f"{kind} is never evidence of source {source}")
    who = subject_of(subject, issuer=issuer, spiffe_id=spiffe_id, evidence=kind)
    grant_type = grant_type or VOCABULARIES[source].default_grant_types[0]
    begins = Door.TOKEN if grant_type in GRANTS_AT[Door.TOKEN] else Door.PAR
    ask = Ask(
        door=Door(door) if door is not None else begins,
        grant_type=grant_type,
        scopes=tuple(scope for text in scopes for scope in text.split()),
        resources=tuple(resources),
    )
    keys = provable(source, kind) if proved is None else frozenset(BindingMethod(method) for method in proved)
    return Request(who, ask, keys)


def subject_of(
    subject: str | None,
    *,
    issuer: str | None = None,
    spiffe_id: str | None = None,
    evidence: EvidenceKind = EvidenceKind.X509_SVID,
) -> PolicySubject:
    """A subject from words. For a question about all kinds of evidence any will do. Raises: BadRequest."""
    source = _source_of(subject, issuer)
    acting = spiffe_id if source is not Source.SPIFFE else subject
    try:
        actor = SpiffeId.parse_workload(acting) if acting is not None else None
    except InvalidSpiffeId as error:
        raise BadRequest(f"{acting}: {error}") from error
    return PolicySubject(
        source=source,
        evidence=evidence,
        spiffe_id=actor,
        url=subject if source is Source.METADATA_DOCUMENT else None,
        issuer=issuer,
        subject=subject if source is Source.SOFTWARE_STATEMENT else None,
    )


def _source_of(subject: str | None, issuer: str | None) -> Source:
    if subject is None and issuer is None:
        return Source.PUSHED
    if subject is None:
        raise BadRequest("a statement's issuer comes with a subject")
    if issuer is not None:
        return Source.SOFTWARE_STATEMENT
    if subject.startswith("https://"):
        return Source.METADATA_DOCUMENT
    if subject.startswith("spiffe://"):
        return Source.SPIFFE
    raise BadRequest(f"'{subject}' is neither a SPIFFE ID nor an https URL, and there is no issuer beside it")


def load_cases(policies: Path) -> tuple[tuple[Written, ...], tuple[Finding, ...]]:
    """All cases of a policy folder, in the order of files, and what is wrong with the files."""
    cases: list[Written] = []
    findings = unread_cases(policies)
    for path in sorted((policies / CASES_FOLDER).glob(CASES_PATTERN)):
        name = f"{CASES_FOLDER}/{path.name}"
        try:
            content = read_bounded(path, MAX_FILE_BYTES)
        except (OSError, TooLarge) as error:
            findings.append(Finding(name, 0, "", "unreadable", f"the file cannot be read ({error})"))
            continue
        report = Report(name, content.decode("utf-8", "replace"))
        cases += _cases_of(content, report)
        findings += report.found
    return tuple(cases), tuple(findings)


def _cases_of(content: bytes, report: Report) -> list[Written]:
    raw = toml(content, report)
    read = readable(raw, CaseFile, "case", report) if raw is not None else None
    found: list[Written] = []
    for number, case in zip(read.numbers, read.document.case, strict=True) if read is not None else ():
        if case.expect == "allow" and case.rule is None:
            report.error("missing-rule", "an expected allow names the rule", "case", number, case=case.name)
        try:
            request = request_of(
                subject=case.subject,
                issuer=case.issuer,
                spiffe_id=case.spiffe_id,
                evidence=case.evidence,
                door=case.door,
                grant_type=case.grant_type,
                scopes=case.scope or (),
                resources=case.resource or (),
                proved=case.proved,
            )
        except BadRequest as error:
            report.error("case", str(error), "case", number, case=case.name)
            continue
        found.append(Written(report.file, report.line("case", number, "name"), case, request))
    return found


def run(policy: PolicySet, cases: Sequence[Written]) -> Outcome:
    """Decide every case and compare; then look for unreached rules and for refusals without a twin."""
    failures: list[Failure] = []
    reached: set[str] = set()
    passed = 0
    for written in cases:
        request = written.request
        decision = policy.decide(request.subject, request.ask, proved=request.proved)
        wrong = list(_differences(written, decision))
        failures += (Failure(written.file, written.line, written.case.name, "", words) for words in wrong)
        if wrong:
            continue
        passed += 1
        if decision.rule is not None and decision.denial is not Denial.PROOF:
            reached.add(decision.rule)
    failures += _without_twin(cases)
    for rule in policy.rules:
        if rule.id not in reached:
            failures.append(Failure(rule.file, 0, "", rule.id, f"no case that passes reaches the rule '{rule.id}'"))
    return Outcome(len(cases), passed, tuple(failures), frozenset(reached))


def _differences(written: Written, decision: Decision) -> Iterable[str]:
    """What came out otherwise than expected, in words."""
    case = written.case
    if decision.effect is not Effect(case.expect):
        by = f" by '{decision.rule}'" if decision.rule is not None else ""
        words = f" ({decision.because})" if decision.because else ""
        yield f"expected {case.expect}, got {decision.effect}{by}{words}"
        return
    if case.rule is not None and case.rule != decision.rule:
        yield f"expected the rule '{case.rule}', got {decision.rule or 'none'}"
    if case.denial is not None and case.denial != decision.denial:
        yield f"expected a refusal because of {case.denial}, got {decision.denial} ({decision.because})"
    expected = {scope for text in case.scopes or () for scope in text.split()}
    if case.scopes is not None and expected != set(decision.scopes):
        yield f"expected the scopes {' '.join(sorted(expected))}, got {' '.join(decision.scopes) or 'none'}"
    ttl = decision.terms.token_ttl if decision.terms is not None else None
    if case.ttl is not None and case.ttl != ttl:
        got = spelled(ttl) if ttl is not None else "none"
        yield f"expected the ttl {spelled(case.ttl)}, got {got}"
    client_id = client_id_of(written.request.subject, decision.client)
    if case.client_id is not None and case.client_id != client_id:
        yield f"expected the client_id {case.client_id}, got {client_id or 'one that policy alone does not decide'}"


def _without_twin(cases: Sequence[Written]) -> Iterable[Failure]:
    """A failure for each expected refusal for which no accepted case differs in exactly one field."""
    accepted: set[tuple[object, ...]] = set()
    for written in cases:
        if written.case.expect != "deny":
            fields = written.request.fields
            accepted |= {(i, *fields[:i], *fields[i + 1 :]) for i in range(len(fields))}
    for written in cases:
        if written.case.expect == "deny":
            fields = written.request.fields
            if not any((i, *fields[:i], *fields[i + 1 :]) in accepted for i in range(len(fields))):
                words = "the refusal has no twin: add a case that is accepted and differs in one field"
                yield Failure(written.file, written.line, written.case.name, "", words)
