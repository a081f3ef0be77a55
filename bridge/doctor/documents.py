"""The examination of a client's metadata document: the URL by its letters, policy, the fetch with each of its guards,
each rule for what is there, and what the client may then do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bridge.advice.details import Kind, Saying, saying_on
from bridge.doctor.asking import Answers, ask_case, in_words, unasked
from bridge.doctor.document_words import FETCH_EXPECTED, document_words, url_words
from bridge.doctor.findings import failed, findings_of, first_error, holds, not_reached
from bridge.doctor.given import GivenDocument
from bridge.doctor.instruments import Fetch, Instruments, Question
from bridge.doctor.report import Diagnosis, Finding, Outcome
from bridge.doctor.words import shown
from bridge.model.document import StoredDocument
from bridge.model.errors import BridgeError, EvidenceRejected
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject, Source, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.steps import Looked, run, walk
from bridge.registration.documented import metadata_of, require_stated_grant
from bridge.registration.foresight import ASK_STEPS, AskCase
from bridge.registration.url_steps import URL_STEPS, Stored, UrlCase, require_method
from bridge.verify.document_checks import NONE, PRIVATE_KEY_JWT, SPIFFE_JWT
from bridge.verify.key_sets import JwtKeys
from bridge.verify.metadata_documents import (
    DOCUMENT_STEPS,
    VerifiedDocument,
    matches,
    read_document,
    read_keys,
    walk_document,
)

_FROM_FILE = "Nothing was fetched: the file stands for what the URL would answer."
_FETCHED = "It was fetched now. A service that knows it goes by its copy for a minute, or as long as the answer said."
_BY_SVID = "This client comes with an SVID that spiffe_id names: examine that with --client-id and this URL."
_UP_TO_APPROVAL = tuple(step for step in ASK_STEPS if step.name in ("policy", "client", "record", "approval"))


@dataclass(slots=True)
class _Look:
    """What was seen on the way to the document."""

    instruments: Instruments
    url: str
    body: bytes | None
    findings: list[Finding] = field(default_factory=list)
    document: Stored | None = None

    def fetch(self) -> Stored:
        """The document, each step to it written down. Raises: what the first one raises that does not hold."""
        body = self.body
        if body is None:
            fetched = self.instruments.fetch(self.url)
            self.findings += fetch_findings(fetched)
            error = first_error(fetched.looked)
            if error is not None or fetched.body is None:
                self.findings += not_reached((step.name for step in DOCUMENT_STEPS), "the fetch")
                assert error is not None, "a fetch without an error has a body"
                raise error
            body = fetched.body
        case, looked = walk_document(body, self.url)
        self.findings += findings_of(
            looked, lambda step: document_words(step, case), lambda step, error: _remedy(error)
        )
        document = read_document(body, self.url)
        now = self.instruments.around.now
        self.document = StoredDocument(
            url=self.url, body=body, digest=hashlib.sha256(body).hexdigest(), value=document, fetched_at=now
        )
        return self.document


@dataclass(frozen=True, slots=True)
class DocumentLook:
    """What came of the way to a document: its findings, the document where it is good, and what the service would have
    refused with. `subject` is who would come for it."""

    findings: tuple[Finding, ...]
    stored: Stored | None
    error: BridgeError | None
    subject: PolicySubject

    @property
    def document(self) -> VerifiedDocument | None:
        """The document, where it is good."""
        return None if self.stored is None else self.stored.value

    def ask(self, instruments: Instruments, question: Question) -> Answers:
        """What policy, records and limits make of the client."""
        if self.stored is None:
            return unasked("the document"), None
        return _answers(instruments, self.stored, self.subject, question)


def fetch_findings(fetched: Fetch, prefix: str = "") -> tuple[Finding, ...]:
    """A fetch in words. `prefix` tells one from another."""
    found = findings_of(
        fetched.looked,
        lambda step: (FETCH_EXPECTED[step], shown(fetched.found.get(step, ""))),
        lambda step, error: _remedy(error),
    )
    return tuple(replace(one, name=prefix + one.name) for one in found)


def _remedy(error: BridgeError) -> Saying | None:
    return saying_on(Kind.DOCUMENT, error.reason, error.detail)


def look_at_document(
    instruments: Instruments,
    url: str,
    question: Question,
    *,
    method: str | None = None,
    body: bytes | None = None,
    spiffe: PolicySubject | None = None,
) -> DocumentLook:
    """The way of a request in the name of this URL to its document. `method` is what it authenticates by, None where
    that is not examined; `body` what stands for the fetch; `spiffe` whose SVID comes for it."""
    subject = PolicySubject(Source.METADATA_DOCUMENT, EvidenceKind.METADATA_DOCUMENT, url=url)
    if spiffe is not None:
        subject = replace(subject, evidence=spiffe.evidence, spiffe_id=spiffe.spiffe_id)
    seen = _Look(instruments, url, body)
    case = UrlCase(
        url,
        subject,
        question.ask.door,
        question.ask,
        instruments.around.now,
        instruments.policies,
        hold_back=_held_back(instruments, subject, question),
        fetch=seen.fetch,
    )
    looked = walk(URL_STEPS, case)
    if not seen.findings and holds(looked, "url"):
        # Of strangers' URLs the service fetches none that nobody wants. An operator who asks wants to see it.
        _fetch_all_the_same(seen)
    findings: list[Finding] = []
    for one in looked:
        if one.step == "document":
            findings += seen.findings or findings_of((Looked("document", lacks="url"),), _silent, _unsaid)
        else:
            findings += findings_of((one,), lambda step: url_words(step, case), lambda step, error: _remedy(error))
    error = first_error(looked)
    if method is not None:
        more, refusal = _shown(seen.document, method)
        findings, error = [*findings, *more], error or refusal
    return DocumentLook(tuple(findings), seen.document, error, subject)


def _silent(step: str) -> tuple[str, str]:
    return "", ""


def _unsaid(step: str, error: BridgeError) -> None:
    return None


def _fetch_all_the_same(seen: _Look) -> None:
    try:
        seen.fetch()
    except BridgeError:
        # It stands among the findings; the service would not have come so far.
        return


def _held_back(instruments: Instruments, subject: PolicySubject, question: Question) -> Callable[[], None]:
    """As the service holds a client back whose document an operator has still to look at, and nothing is noted."""
    named = replace(question, client_id=subject.url, proved=frozenset(BindingMethod))

    def check() -> None:
        run(_UP_TO_APPROVAL, ask_case(instruments, subject, named))

    return check


def _shown(stored: Stored | None, method: str) -> Answers:
    if stored is None:
        return not_reached(("shown",), "the document"), None
    declared = stored.value.method
    try:
        require_method(declared, method)
    except EvidenceRejected as error:
        return (failed("shown", declared, method, error, _remedy(error)),), error
    return (Finding("shown", Outcome.OK, declared, method),), None


def keys_for_assertion(
    instruments: Instruments, document: VerifiedDocument | None
) -> tuple[tuple[Finding, ...], JwtKeys | None, BridgeError | None]:
    """The keys of a document, fetched where they are elsewhere."""
    if document is None or document.keys is not None or document.jwks_uri is None:
        return (), None if document is None else document.keys, None
    fetched = instruments.fetch(document.jwks_uri)
    findings = fetch_findings(fetched, "keys-")
    if fetched.body is None:
        return findings, None, first_error(fetched.looked)
    expected, found = "a JWK Set without private or symmetric keys", f"{len(fetched.body)} bytes"
    try:
        keys = read_keys(fetched.body, document.jwks_uri)
    except EvidenceRejected as error:
        return (*findings, failed("keys-set", expected, found, error, _remedy(error))), None, error
    return (*findings, Finding("keys-set", Outcome.OK, expected, found)), keys, None


def _answers(instruments: Instruments, stored: Stored, subject: PolicySubject, question: Question) -> Answers:
    """As for every client, and what only one with a document is held to: the grant types that it states, and that the
    rule binds tokens where it wants them bound."""
    case = ask_case(instruments, subject, replace(question, client_id=subject.url))
    looked = walk(ASK_STEPS, case)
    client = next(place for place, one in enumerate(looked) if one.step == "client")
    own = _held_to(stored, case, looked[client])
    both = (*looked[: client + 1], *own, *looked[client + 1 :])
    findings: list[Finding] = []
    for one in both:
        if one in own:
            findings += findings_of((one,), lambda step: _own_words(step, stored), lambda step, error: _remedy(error))
        else:
            findings += in_words(instruments, case, (one,))
    return tuple(findings), first_error(both)


def _held_to(stored: Stored, case: AskCase, client: Looked) -> tuple[Looked, ...]:
    names = ("stated-grant", "stated-binding")
    if not client.holds:
        return tuple(Looked(name, lacks="client") for name in names)
    found = []
    for name in names:
        try:
            if name == "stated-grant":
                require_stated_grant(stored, case.ask)
            else:
                metadata_of(stored, case.terms)
        except BridgeError as error:
            found.append(Looked(name, error))
        else:
            found.append(Looked(name))
    return tuple(found)


def _own_words(step: str, stored: Stored) -> tuple[str, str]:
    said = stored.value.metadata
    if step == "stated-grant":
        grants = said.texts("grant_types")
        return "the grant type among those that the document states", "none stated" if grants is None else shown(
            " ".join(grants)
        )
    wants = bool(said.get("dpop_bound_access_tokens"))
    return "a rule that binds tokens, where the document wants that", "wanted" if wants else "not wanted"


def svid_for_document(instruments: Instruments, identity: VerifiedIdentity, question: Question) -> Answers:
    """An SVID that comes in the name of a document's URL (SCA-11, SCA-13): the way to the document, whether it names
    this SPIFFE ID, and what policy then gives."""
    url, spiffe_id = question.client_id, identity.subject.spiffe_id
    assert url is not None, "whoever calls has looked"
    assert spiffe_id is not None, "an SVID is of a workload"
    look = look_at_document(instruments, url, question, method=SPIFFE_JWT, spiffe=identity.subject)
    document, error = look.document, look.error
    if document is None:
        named, refusal = not_reached(("spiffe-id-named",), "the document"), None
    elif document.spiffe_id is not None and matches(document.spiffe_id, spiffe_id):
        named = (Finding("spiffe-id-named", Outcome.OK, shown(document.spiffe_id), shown(str(spiffe_id))),)
        refusal = None
    else:
        refusal = EvidenceRejected(Reason.CLIENT_ID_MISMATCH, "the document's spiffe_id does not name this one")
        pattern = shown(document.spiffe_id) if document.spiffe_id is not None else "no spiffe_id"
        named = (failed("spiffe-id-named", pattern, shown(str(spiffe_id)), refusal, _remedy(refusal)),)
    asked, denied = look.ask(instruments, question)
    return (*look.findings, *named, *asked), error or refusal or denied


def no_answers() -> Answers:
    """Where nothing was asked."""
    return (), None


def examine_document(instruments: Instruments, given: GivenDocument, question: Question) -> Diagnosis:
    """What the service would make of this document, and of a client that comes in its name by the method there."""
    look = look_at_document(instruments, given.url, question, body=given.body)
    document, error = look.document, look.error
    more: tuple[Finding, ...] = ()
    notes = [*given.notes, _FROM_FILE if given.body is not None else _FETCHED]
    if document is not None and document.method == PRIVATE_KEY_JWT and given.body is None:
        more, _, fault = keys_for_assertion(instruments, document)
        error = error or fault
    if document is not None and document.method == SPIFFE_JWT:
        notes.append(_BY_SVID)
        asked, refusal = no_answers()
    else:
        asked, refusal = look.ask(instruments, question)
    if document is not None and document.method == NONE:
        notes.append("It declares no method: whoever names this URL is this client, and proves nothing but a DPoP key.")
    reason = error or refusal
    return Diagnosis(
        evidence=EvidenceKind.METADATA_DOCUMENT.value,
        door=question.ask.door.value,
        subject=shown(given.url),
        is_verified=document is not None and given.body is None,
        credential="" if look.stored is None else look.stored.digest,
        reason=None if reason is None else reason.reason,
        findings=(*look.findings, *more, *asked),
        notes=tuple(notes),
    )
