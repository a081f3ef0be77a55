"""What one identity gets in one way, as values that can be compared over two policies.

A policy answers any number of requests. But of all requests that name the same things in the same rules it answers the
last one like the first: so for one identity, kind of evidence, door and grant type a few questions stand for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject
from bridge.model.terms import Ask, Bind, ClientChoice, ClientMode, Decision, Effect, Replay
from bridge.policy.cover import Offer
from bridge.policy.evaluate import PolicySet
from bridge.policy.vocabulary import provable

# So many combinations of one identity's rules are looked at. More there are only where ten rules name one identity
# and each offers something else.
MOST_QUESTIONS = 1024


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """How a request comes in."""

    evidence: EvidenceKind
    door: Door
    grant_type: str


class Naming(StrEnum):
    """What a request names. Nearly all permissions show in requests for one scope; the others are looked at because
    rules are never added up, and because a request may leave things to the policy."""

    SCOPE = "scope"
    TOGETHER = "together"
    RESOURCE = "resource"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Question:
    """One request: what it names."""

    naming: Naming
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()

    def ask(self, way: Way) -> Ask:
        """The request itself."""
        return Ask(way.door, way.grant_type, self.scopes, self.resources)


@dataclass(frozen=True, slots=True)
class Permit:
    """What a request gets: all of a rule's terms that it would notice, and neither the rule's name nor its place.

    `approval` is what an operator's approval hangs on where one is needed, empty where none is. Seconds. The keys that
    `bind` wants are taken to be proved.
    """

    effect: Effect
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    client: str = ""
    token_ttl: int = 0
    refresh_ttl: int | None = None
    bind: Bind = Bind.NONE
    replay: Replay = Replay.WITHIN_LIFETIME
    lease: int | None = None
    require_par: bool = False
    redirect_uris: tuple[str, ...] = ()
    asserts: tuple[str, ...] = ()
    approval: tuple[str, ...] = ()

    def differs_from(self, other: Permit) -> tuple[str, ...]:
        """The names of the terms that are others, in the order of the fields; what is granted is none of them."""
        return tuple(name for name in TERMS if getattr(self, name) != getattr(other, name))


TERMS = (
    "effect", "client", "token_ttl", "refresh_ttl", "bind", "replay", "lease", "require_par", "redirect_uris",
    "asserts", "approval",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A permit, None for a refusal, and the rule that decided, if one did."""

    permit: Permit | None
    rule: str | None


def spelled_client(choice: ClientChoice) -> str:
    """A client choice as people write it."""
    return f"shared {choice.shared_id}" if choice.mode is ClientMode.SHARED else choice.mode.value


def answer(policy: PolicySet, subject: PolicySubject, way: Way, question: Question) -> Answer:
    """Decide the question. `redirect_uris` are those of this subject."""
    proved = provable(subject.source, subject.evidence)
    decision = policy.decide(subject, question.ask(way), proved=proved)
    return Answer(permit_of(decision), decision.rule)


def permit_of(decision: Decision) -> Permit | None:
    """What a decision gives; None when it is no."""
    terms = decision.terms
    if terms is None or decision.effect is Effect.DENY:
        return None
    return Permit(
        effect=decision.effect,
        scopes=decision.scopes,
        resources=tuple(sorted(decision.resources)),
        client=spelled_client(decision.client),
        token_ttl=terms.token_ttl,
        refresh_ttl=terms.refresh_ttl,
        bind=terms.bind,
        replay=terms.replay,
        lease=terms.lease,
        require_par=terms.require_par,
        redirect_uris=terms.redirect_uris,
        asserts=terms.asserts,
        approval=(terms.rule, terms.digest) if decision.effect is Effect.ASK else (),
    )


# A set of resources and scopes. The flag keeps a scope that is spelled like a resource apart from it.
_Named = frozenset[tuple[bool, str]]


def questions(offers: Sequence[Offer]) -> list[Question]:
    """The questions that stand for all requests of one identity and way. `offers`: what is left of each rule that
    answers there, in all policies that are compared.

    A named request is covered by exactly those rules whose offer holds all that it names; so it is answered like the
    request for all that those offers have in common. These common parts are asked for. Not asked: what no rule offers,
    for that is refused anyway.
    """
    single = {(scope, resource) for offer in offers for resource, scopes in offer.items() for scope in scopes}
    commons = _closed({_named(offer) for offer in offers})
    found = [Question(Naming.SCOPE, (scope,), (resource,)) for scope, resource in sorted(single)]
    found += (_together(common) for common in commons if _size(common) > 1)
    by_resources = {_together(common).resources: None for common in commons}
    found += (Question(Naming.RESOURCE, (), resources) for resources in by_resources if resources)
    found.append(Question(Naming.NOTHING))
    return list(dict.fromkeys(found))


def _named(offer: Offer) -> _Named:
    return frozenset(
        [(True, resource) for resource in offer] + [(False, s) for scopes in offer.values() for s in scopes]
    )


def _closed(wholes: Iterable[_Named]) -> list[_Named]:
    """The sets, and all that any of them have in common."""
    closed: dict[_Named, None] = {}
    for whole in sorted(wholes, key=sorted):
        for other in [*closed, whole]:
            if len(closed) < MOST_QUESTIONS:
                closed.setdefault(whole & other)
    return sorted(closed, key=sorted)


def _size(named: _Named) -> int:
    return sum(not is_resource for is_resource, _ in named)


def _together(named: _Named) -> Question:
    scopes = tuple(sorted(name for is_resource, name in named if not is_resource))
    resources = tuple(sorted(name for is_resource, name in named if is_resource))
    return Question(Naming.TOGETHER, scopes, resources)


def without(question: Question, scopes: Iterable[str]) -> Question:
    """The same question without some scopes; what is named of resources stays."""
    left = set(question.scopes).difference(scopes)
    return replace(question, scopes=tuple(sorted(left)))
