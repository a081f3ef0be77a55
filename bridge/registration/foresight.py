"""What would come of a request, step by step: the registrar's own questions, asked by somebody who only reads.

In the order in which a request meets them: policy, the client's name, its record, limits on new ones, approval, what
the client promised, and whether its credential was used before. A subject may be a hypothetical one here: nobody is
admitted by any of this, no record is made, and no limit or mark of use is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bridge.model.client import ClientKind, ClientRecord, ClientState, ProposedClient
from bridge.model.errors import ApprovalPending, CredentialReplayed, IdentityDenied
from bridge.model.identity import BindingMethod, Marker, PolicySubject
from bridge.model.reasons import Reason
from bridge.model.steps import Step
from bridge.model.terms import Ask, ClientMode, Decision, Effect, Replay, Terms
from bridge.registration.admission import Policy
from bridge.registration.denials import require_granted
from bridge.registration.naming import ClientName, name_of, require_named, thumbprint_of
from bridge.registration.promises import require_kept
from bridge.store.ports import Ensured, Found, RegistrationLimits

# In place of the thumbprint of an instance's key that nobody has told: it would be an instance not seen before.
UNTOLD_KEY = "a-key-that-nobody-told"


class Records(Protocol):
    """The part of `ClientStore` that only reads."""

    def find(
        self, client_id: str, *, subject: str, member: str | None = None, terms: tuple[str, str] | None = None
    ) -> Found: ...
    def get(self, client_id: str) -> ClientRecord | None: ...
    def foresee(self, proposed: ProposedClient, *, limits: RegistrationLimits, now: int) -> Ensured | None: ...


class Marks(Protocol):
    """The part of `TokenStore` that only reads."""

    def is_claimed(self, marker: Marker) -> bool: ...


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where the answers stand. `limits` are those of a trust domain."""

    policy: Policy
    clients: Records
    tokens: Marks
    limits: Callable[[str | None], RegistrationLimits]


@dataclass(slots=True)
class AskCase:
    """One request on its way. `proved`: the keys it would prove; `named`: the `client_id` it would send; `once`: the
    marks of its credential, where that was verified; `key`: the thumbprint of the instance's key, where the request
    brings it otherwise than by a proof; `now`: epoch seconds. The other fields are there once the step
    that puts them has held; `stands` is what a registration would find and leave, None where it would write."""

    outlook: Outlook
    subject: PolicySubject
    ask: Ask
    proved: frozenset[BindingMethod]
    now: int
    named: str | None = None
    once: tuple[Marker, ...] = ()
    key: str | None = None
    decision: Decision = field(init=False)
    terms: Terms = field(init=False)
    name: ClientName = field(init=False)
    found: Found = field(init=False)
    stands: Ensured | None = field(init=False, default=None)


def _policy(case: AskCase) -> None:
    case.decision = case.outlook.policy.decide(case.subject, case.ask, proved=case.proved)
    case.terms = require_granted(case.decision)


def _client(case: AskCase) -> None:
    choice = case.decision.client
    key = _instance_key(case) if choice.mode is ClientMode.INSTANCE else None
    case.name = name_of(case.subject, choice, key)
    require_named(case.named, case.name, case.subject.actor)


def _instance_key(case: AskCase) -> str | None:
    """The thumbprint of the instance that the request names, else one that nobody has where it would prove a key."""
    if case.key is not None:
        return case.key
    if case.named is not None:
        record = case.outlook.clients.get(case.named)
        thumbprint = None if record is None else thumbprint_of(record)
        if thumbprint is not None:
            return thumbprint
    return UNTOLD_KEY if BindingMethod.JKT in case.proved else None


def _record(case: AskCase) -> None:
    name, terms = case.name, case.terms
    case.found = case.outlook.clients.find(
        name.client_id, subject=case.subject.actor, member=name.member, terms=(terms.rule, terms.digest)
    )
    if case.found.denied:
        raise IdentityDenied(Reason.IDENTITY_DENIED, case.subject.actor)


def _limits(case: AskCase) -> None:
    name = case.name
    if name.kind is ClientKind.PUSHED:
        return
    state = ClientState.PENDING if case.decision.effect is Effect.ASK else ClientState.ACTIVE
    proposed = ProposedClient(
        client_id=name.client_id,
        kind=name.kind,
        subject=name.subject,
        trust_domain=name.trust_domain,
        state=state,
        rule=case.terms.rule,
        parent=name.parent,
        member=name.member,
    )
    limits = case.outlook.limits(name.trust_domain)
    case.stands = case.outlook.clients.foresee(proposed, limits=limits, now=case.now)


def _approval(case: AskCase) -> None:
    """An approval is for the record as it stands, so it is none for one that would come back now."""
    record = case.found.record
    is_live = record is not None and record.state_at(case.now) is ClientState.ACTIVE
    if case.decision.effect is Effect.ASK and not (case.found.approved and is_live):
        words = f"{case.name.client_id} waits: bridge clients approve {case.name.client_id}"
        raise ApprovalPending(Reason.APPROVAL_PENDING, words, rule=case.terms.rule)


def _promise(case: AskCase) -> None:
    record = case.found.record
    if record is not None and record.state_at(case.now) is ClientState.ACTIVE:
        require_kept(record, case.proved)


def _replay(case: AskCase) -> None:
    used = next((mark for mark in case.once if case.outlook.tokens.is_claimed(mark)), None)
    if case.terms.replay is Replay.ONCE and used is not None:
        raise CredentialReplayed(used.kind)


ASK_STEPS: tuple[Step[AskCase], ...] = (
    Step("policy", _policy),
    Step("client", _client, ("policy",)),
    Step("record", _record, ("client",)),
    Step("limits", _limits, ("client",)),
    Step("approval", _approval, ("record",)),
    Step("promise", _promise, ("record",)),
    Step("replay", _replay, ("policy",)),
)
