"""What would come of a registration, behind its credential: who may come, what may be said, what policy gives, and
what would stand on the record. The steps of the service's own hearing, with its questions to policy in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bridge.advice.details import Kind, saying_on
from bridge.doctor.asking import REGISTER_STEPS, Answers, in_words
from bridge.doctor.findings import Remedy, findings_of, first_error
from bridge.doctor.instruments import Instruments, Question
from bridge.doctor.report import Finding
from bridge.doctor.words import listed, shown
from bridge.metadata.keys import read_jwks
from bridge.metadata.members import read
from bridge.model.errors import BridgeError, InvalidClientMetadata
from bridge.model.identity import BindingMethod, KeyBinding, PolicySubject, VerifiedIdentity
from bridge.model.metadata import ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.steps import Step, run, walk
from bridge.model.terms import Ask, Decision
from bridge.registration.admission import Admission, assertion_markers
from bridge.registration.denials import require_granted
from bridge.registration.foresight import UNTOLD_KEY, AskCase
from bridge.registration.hearing import HEARING_STEPS, KEY_STEPS, MEMBER_STEPS, HearingCase
from bridge.registration.introduction import Introduced

Inner = TypeVar("Inner")


@dataclass(slots=True)
class _Case:
    """A registration on its way. `raw` is the body as JSON; `asked` are its questions to policy and store."""

    instruments: Instruments
    introduced: Introduced
    raw: Mapping[str, object] = field(repr=False)
    hearing: HearingCase = field(init=False)
    asked: AskCase = field(init=False)


def hear(instruments: Instruments, introduced: Introduced, question: Question) -> Answers:
    """Each answer in words, and what the first of them would refuse with. `introduced` may be made up of a credential
    that does not hold: then the answers are for whom it claims to be."""
    case = _Case(instruments, _proving(introduced, question.proved), question.body)
    looked = walk(_STEPS, case)
    findings: list[Finding] = []
    for one in looked:
        if one.step in _ASKED:
            findings += in_words(instruments, case.asked, (one,)) if one.lacks is None else findings_of((one,), *_NONE)
        else:
            findings += findings_of((one,), lambda step: _WORDS[step](case), lambda step, error: _remedy(case, error))
    return tuple(findings), first_error(looked)


def _remedy(case: _Case, error: BridgeError) -> Remedy:
    statement = case.introduced.statement
    kind = Kind.STATEMENT if statement is not None and statement.issuer is not None else Kind.SVID
    saying = saying_on(kind, error.reason, error.detail)
    if saying is not None:
        return saying
    if error.reason in (Reason.METADATA_INVALID, Reason.REDIRECT_URI_INVALID, Reason.KEY_FOREIGN):
        return f"Mend this member, in the statement or in the request: {shown(error.public)}."
    return None


def _proving(introduced: Introduced, proved: frozenset[BindingMethod]) -> Introduced:
    """The same with the keys that the request would prove. Which DPoP key nobody has told: the only one that the
    statement names, where it names one."""
    identity = introduced.identity
    for method in proved - identity.proved:
        thumbprint = UNTOLD_KEY
        stated = introduced.statement.stated.get("jwks") if introduced.statement is not None else None
        if method is BindingMethod.JKT and stated is not None:
            thumbprint = _only_key(stated) or UNTOLD_KEY
        identity = identity.with_key(KeyBinding(method, thumbprint))
    return replace(introduced, identity=identity)


def _only_key(jwks: object) -> str | None:
    try:
        keys = read_jwks(jwks)
    except InvalidClientMetadata:
        return None
    return keys[0].thumbprint if len(keys) == 1 else None


def claimed_identity(subject: PolicySubject, now: int) -> VerifiedIdentity:
    """Made up of an unverified name: good for asking what the rules would say of it, and for nothing else."""
    return VerifiedIdentity(subject, credential_hash="", key_id="", verified_at=now, not_after=now)


# --- the steps ------------------------------------------------------------------------------------


def _body(case: _Case) -> None:
    metadata: ClientMetadata = read(case.raw)
    policies = case.instruments.policies

    def decide(subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Decision:
        decision = policies.decide(subject, ask, proved=proved)
        require_granted(decision)
        return decision

    case.hearing = HearingCase(case.introduced, metadata, decide)


def _asking(case: _Case) -> None:
    """`HEARING_STEPS` have said what is asked."""
    identity, outlook = case.introduced.identity, case.instruments.outlook
    now = case.instruments.around.now
    once = assertion_markers(identity)
    case.asked = AskCase(outlook, identity.subject, case.hearing.ask, identity.proved, now, None, once)


def _key(case: _Case) -> None:
    run(KEY_STEPS, case.hearing)
    case.asked.key = None if case.hearing.key is None else case.hearing.key.thumbprint


def _admitted(case: _Case) -> None:
    asked = case.asked
    case.hearing.admission = Admission(asked.decision, asked.terms, asked.name, case.hearing.key)


def _lifted(
    steps: Sequence[Step[Inner]],
    of: Callable[[_Case], Inner],
    first: tuple[str, ...],
    *,
    before: Callable[[_Case], None] = lambda case: None,
    after: Callable[[_Case], None] = lambda case: None,
) -> tuple[Step[_Case], ...]:
    """The same steps on the part of the case that they are about. `first` are needed by those that need none."""

    def check(step: Step[Inner]) -> Callable[[_Case], None]:
        def lifted(case: _Case) -> None:
            if step is steps[0]:
                before(case)
            step.check(of(case))
            if step is steps[-1]:
                after(case)

        return lifted

    return tuple(Step(step.name, check(step), step.needs or first) for step in steps)


def _hearing(case: _Case) -> HearingCase:
    return case.hearing


def _asks(case: _Case) -> AskCase:
    return case.asked


_STEPS: tuple[Step[_Case], ...] = (
    Step("body", _body),
    *_lifted(HEARING_STEPS, _hearing, ("body",), after=_asking),
    Step("instance-key", _key, ("metadata",)),
    *_lifted(REGISTER_STEPS[:2], _asks, ("metadata",)),
    *_lifted(MEMBER_STEPS, _hearing, ("client", "instance-key"), before=_admitted),
    *_lifted(REGISTER_STEPS[2:], _asks, ("client",)),
)
_ASKED = frozenset(step.name for step in REGISTER_STEPS)
STEP_NAMES = tuple(step.name for step in _STEPS)

# --- in words -------------------------------------------------------------------------------------

Words = tuple[str, str]


def _nothing(step: str) -> Words:
    return "", ""


def _no_remedy(step: str, error: BridgeError) -> Remedy:
    return None


_NONE = (_nothing, _no_remedy)


def _say_body(case: _Case) -> Words:
    return "members of their types and within their bounds", listed(sorted(case.raw)) if case.raw else "an empty body"


def _say_door(case: _Case) -> Words:
    subject = case.introduced.identity.subject
    return "a rule that admits this subject at /register, whatever it asks", shown(subject.actor)


def _say_metadata(case: _Case) -> Words:
    terms, statement = case.hearing.first, case.introduced.statement
    states = sorted(statement.stated) if statement is not None else []
    lets = f"what asserts of rule {shown(terms.rule)} lets be stated ({listed(sorted(terms.asserts))}), well-formed"
    return lets, f"it states {listed(states)}" if states else "nothing stated"


def _say_key(case: _Case) -> Words:
    return "a key that the statement, a certificate or a DPoP proof vouches for", _what(case.hearing.said.metadata)


def _say_asserts(case: _Case) -> Words:
    return "the same asserts in the rule that admits and in the one that grants", shown(case.asked.terms.rule)


def _say_members(case: _Case) -> Words:
    said = case.hearing.said.metadata
    return f"members that rule {shown(case.asked.terms.rule)} lets stand", listed(sorted(said.members)) or "none"


def _what(metadata: ClientMetadata) -> str:
    jwks = metadata.get("jwks")
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    return f"{len(keys)} in jwks" if isinstance(keys, list) else "no jwks"


_WORDS: Mapping[str, Callable[[_Case], Words]] = {
    "body": _say_body,
    "door": _say_door,
    "metadata": _say_metadata,
    "instance-key": _say_key,
    "asserts": _say_asserts,
    "members": _say_members,
}
