"""The steps by which a registration is heard: who may come through this door, what is said of the client, what that
asks of policy, which key it brings, and whether the rule that answers lets all of it be said (interface section 6).

Policy's answer to the ask itself is no step here: whoever walks these asks for it in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from bridge.metadata.members import read
from bridge.model.errors import GrantNotAllowed, PolicyDenied
from bridge.model.evidence import Door
from bridge.model.identity import BindingMethod, PolicySubject
from bridge.model.metadata import NO_METADATA, ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.steps import Step
from bridge.model.terms import Ask, Decision, Terms
from bridge.registration.admission import Admission
from bridge.registration.composing import REFRESH_TOKEN, InstanceKey, Said, compose, overlay
from bridge.registration.instance_keys import key_for
from bridge.registration.introduction import Introduced

# In this order they are tried for a request that names none: what a workload is there for comes first.
GRANT_TYPES = ("client_credentials", "authorization_code")


class Decide(Protocol):
    """What policy says of one ask. Raises: PolicyDenied and its kin. The decision has terms."""

    def __call__(self, subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Decision: ...


@dataclass(slots=True)
class HearingCase:
    """One registration on its way. `body` is what the request says of the client. The other fields are there once the
    step that puts them has held; `admission` is put by whoever asks policy, between `KEY_STEPS` and `MEMBER_STEPS`."""

    introduced: Introduced
    body: ClientMetadata
    decide: Decide
    first: Terms = field(init=False)
    said: Said = field(init=False)
    ask: Ask = field(init=False)
    key: InstanceKey | None = field(init=False)
    admission: Admission = field(init=False)
    composed: dict[str, object] = field(init=False)


def first_terms(decide: Decide, subject: PolicySubject, proved: frozenset[BindingMethod]) -> Terms:
    """The terms under which the identity may come through this door, whatever it asks. Raises: PolicyDenied and
    its kin."""
    try:
        decision = decide(subject, Ask(Door.REGISTER, GRANT_TYPES[0]), proved=proved)
    except GrantNotAllowed:
        decision = decide(subject, Ask(Door.REGISTER, GRANT_TYPES[1]), proved=proved)
    assert decision.terms is not None, "decide gives terms or raises"
    return decision.terms


def asked(metadata: ClientMetadata, default: str) -> Ask:
    """What a registration asks of policy: its first grant type that stands alone, and the scopes it names."""
    grants = [grant for grant in metadata.texts("grant_types") or () if grant != REFRESH_TOKEN]
    return Ask(Door.REGISTER, grants[0] if grants else default, tuple((metadata.text("scope") or "").split()))


def said_under(terms: Terms, introduced: Introduced, body: ClientMetadata) -> Said:
    """What is said of the client, as far as these terms let its source state it (DCR-7, 18).

    Raises: InvalidClientMetadata and its kin for stated members that nobody may state.
    """
    stated = NO_METADATA
    if introduced.statement is not None and terms.asserts:
        claims = introduced.statement.stated
        stated = read({name: claims[name] for name in claims if name.partition("#")[0] in terms.asserts})
    return overlay(stated, body).completed(terms.grant_types)


def _door(case: HearingCase) -> None:
    identity = case.introduced.identity
    case.first = first_terms(case.decide, identity.subject, identity.proved)


def _metadata(case: HearingCase) -> None:
    """Which members a statement may state is the rule's to say, and which rule it is depends on what is asked, which
    the statement may state. So the rule that admits the identity at all is asked first, and the one that covers the
    ask in the end must let the source state the same (`_asserts`)."""
    grants = case.first.grant_types
    case.said = said_under(case.first, case.introduced, case.body)
    case.ask = asked(case.said.metadata, grants[0] if grants else GRANT_TYPES[0])


def _key(case: HearingCase) -> None:
    case.key = key_for(case.said, case.introduced)


def _asserts(case: HearingCase) -> None:
    admission = case.admission
    if said_under(admission.terms, case.introduced, case.body) != case.said:
        raise PolicyDenied(
            Reason.POLICY_NO_RULE,
            f"{case.first.rule} and {admission.terms.rule} let the statement state different members",
            rule=admission.terms.rule,
            policy_version=admission.decision.policy_version,
        )


def _members(case: HearingCase) -> None:
    admission, subject = case.admission, case.introduced.identity.subject
    case.composed = compose(
        case.said,
        admission.terms,
        subject,
        admission.name,
        key=admission.key,
        scopes=admission.decision.scopes,
    )


HEARING_STEPS: tuple[Step[HearingCase], ...] = (
    Step("door", _door),
    Step("metadata", _metadata, ("door",)),
)
KEY_STEPS: tuple[Step[HearingCase], ...] = (Step("instance-key", _key),)
MEMBER_STEPS: tuple[Step[HearingCase], ...] = (
    Step("asserts", _asserts),
    Step("members", _members, ("asserts",)),
)
