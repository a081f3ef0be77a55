"""Who could get what: the rules read from the other side, for people who review them.

For one identity the answer is exact: it is put together from decisions. For patterns it is what each rule gives
whomever the pattern stands for, without what denies take from all of them; where a deny takes it from some of them
only, the deny is named beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SCHEME, SpiffeId
from bridge.model.terms import Ask, Effect
from bridge.policy.deny_book import DenyBook, left_of
from bridge.policy.evaluate import PolicySet
from bridge.policy.index import Index
from bridge.policy.pattern import ANY_PATH, STATEMENTS, Pattern, spiffe_id_pattern, subsumes
from bridge.policy.rule import Rule
from bridge.policy.vocabulary import ACTING_SVIDS, GRANTS_AT, SVIDS, VOCABULARIES, provable


@dataclass(frozen=True, slots=True)
class Reach:
    """One scope that somebody could get in one way, and the rule that gives it.

    `pattern` says who; `actor` which SPIFFE IDs then act for a document, None where none does. `effect` ASK: once an
    operator approved it. `unless`: denies that take it from a part of those whom the pattern stands for.
    """

    source: Source
    pattern: str
    resource: str
    scope: str
    evidence: EvidenceKind
    door: Door
    rule: str
    grant_types: tuple[str, ...]
    effect: Effect
    actor: str | None = None
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmatched:
    """What a SPIRE server's entries and the rules do not have in common: identities that no rule gives anything, and
    pattern and id of rules whose pattern fits no identity."""

    identities: tuple[SpiffeId, ...]
    rules: tuple[tuple[str, str], ...]


class Survey:
    """A policy that is asked who could get what. Making one reads all rules."""

    def __init__(self, policy: PolicySet) -> None:
        self._policy = policy
        self._rules = {rule.id: rule for rule in policy.rules}
        self._index = Index(policy.rules)
        self._denies = DenyBook(policy.rules)

    def whole(self) -> Iterator[Reach]:
        """Everything that rules give to anybody, by source, pattern and rule. Not looked at: which rule decides the
        terms where several give one thing."""
        granting = (rule for rule in self._policy.rules if rule.terms is not None)
        places = [(rule, pattern) for rule in granting for pattern in rule.patterns]
        for rule, pattern in sorted(places, key=_by_source_and_name):
            for evidence, actor in _ways(rule):
                yield from self._given(rule, pattern, evidence, actor)

    def of_subject(self, subject: PolicySubject) -> Iterator[Reach]:
        """Everything that this identity could get with any evidence it may have; what `subject` says of evidence is
        not looked at. A SPIFFE ID could also get what documents give that it may act for."""
        for evidence in sorted(VOCABULARIES[subject.source].evidence):
            if subject.source is not Source.METADATA_DOCUMENT:
                yield from self._decided(replace(subject, evidence=evidence))
            elif evidence not in SVIDS:
                yield from self._decided(replace(subject, evidence=evidence, spiffe_id=None))
            elif subject.spiffe_id is not None and evidence in ACTING_SVIDS:
                yield from self._decided(replace(subject, evidence=evidence))
        if subject.source is Source.SPIFFE and subject.spiffe_id is not None:
            yield from self._as_actor(subject.spiffe_id)

    def unmatched(self, entries: Iterable[SpiffeId]) -> Unmatched:
        """Hold the identities that a SPIRE server issues against the rules about their trust domains."""
        identities = sorted(set(entries), key=str)
        domains = {one.trust_domain.name for one in identities}
        subjects = {one: PolicySubject(Source.SPIFFE, EvidenceKind.X509_SVID, spiffe_id=one) for one in identities}
        named = {(rule.id, at) for one in subjects.values() for _, _, at, rule in self._index.naming(one)}
        idle = [
            (spelled(rule.source, pattern), rule.id)
            for rule in self._policy.rules
            if rule.source is Source.SPIFFE and rule.terms is not None
            for at, pattern in enumerate(rule.patterns)
            if pattern.space in domains and (rule.id, at) not in named
        ]
        nothing = [one for one, subject in subjects.items() if next(self.of_subject(subject), None) is None]
        return Unmatched(tuple(nothing), tuple(sorted(idle)))

    def _decided(self, subject: PolicySubject) -> Iterator[Reach]:
        """What decisions say to each thing that any rule which names the subject offers."""
        naming = [rule for *_, rule in self._index.naming(subject)]
        offers = {(resource, scope) for rule in naming for resource in rule.offer for scope in rule.offer[resource]}
        for door in sorted(VOCABULARIES[subject.source].doors):
            for resource, scope in sorted(offers):
                given: dict[tuple[str, Effect], list[str]] = defaultdict(list)
                for grant_type in sorted(GRANTS_AT[door]):
                    effect, rule = self._answer(subject, Ask(door, grant_type, (scope,), (resource,)))
                    if rule is not None:
                        given[rule, effect].append(grant_type)
                for (rule, effect), grant_types in given.items():
                    yield Reach(
                        source=subject.source,
                        pattern=self._naming_pattern(rule, subject),
                        resource=resource,
                        scope=scope,
                        evidence=subject.evidence,
                        door=door,
                        rule=rule,
                        grant_types=tuple(grant_types),
                        effect=effect,
                        actor=subject.actor if subject.actor != subject.name else None,
                    )

    def _answer(self, subject: PolicySubject, ask: Ask) -> tuple[Effect, str | None]:
        """The decision with every key proved that the evidence can prove; no rule when it is no."""
        decision = self._policy.decide(subject, ask, proved=provable(subject.source, subject.evidence))
        return decision.effect, None if decision.effect is Effect.DENY else decision.rule

    def _naming_pattern(self, rule: str, subject: PolicySubject) -> str:
        pattern = self._rules[rule].names(subject)
        assert pattern is not None, "a rule that decides names the subject"
        return spelled(subject.source, pattern)

    def _as_actor(self, spiffe_id: SpiffeId) -> Iterator[Reach]:
        """What documents give that this SPIFFE ID may act for."""
        itself = spiffe_id_pattern(str(spiffe_id))
        for rule in self._policy.rules:
            if rule.terms is None or not any(subsumes(actor, itself) for actor in rule.actors or ()):
                continue
            for pattern in rule.patterns:
                for evidence in sorted(ACTING_SVIDS & (rule.evidence or frozenset())):
                    yield from self._given(rule, pattern, evidence, itself)

    def _given(self, rule: Rule, pattern: Pattern, evidence: EvidenceKind, actor: Pattern | None) -> Iterator[Reach]:
        """What denies leave of a rule for one of its patterns, with that evidence."""
        meetings = self._denies.meeting(rule.source, pattern, actor)
        for door in sorted(rule.doors or ()):
            left: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
            for grant_type in sorted(GRANTS_AT[door] & (rule.grant_types or frozenset())):
                for key in left_of(rule, meetings, evidence, door, grant_type):
                    left[key].append(grant_type)
            for (resource, scope, unless), grant_types in left.items():
                yield Reach(
                    source=rule.source,
                    pattern=spelled(rule.source, pattern),
                    resource=resource,
                    scope=scope,
                    evidence=evidence,
                    door=door,
                    rule=rule.id,
                    grant_types=tuple(grant_types),
                    effect=rule.effect,
                    actor=None if actor is None else actor.text,
                    unless=unless,
                )


def spelled(source: Source, pattern: Pattern) -> str:
    """A pattern as it is read outside its file: with its trust domain; `*` for any subject of an issuer."""
    if source is Source.SPIFFE:
        return f"{SCHEME}{pattern.space}{'/**' if pattern.text == ANY_PATH else pattern.text}"
    if pattern.space == STATEMENTS and pattern.tokens[1] is None:
        return f"{pattern.text} *"
    return pattern.text


_ORDER = {source: number for number, source in enumerate(Source)}


def _by_source_and_name(place: tuple[Rule, Pattern]) -> tuple[int, str, str]:
    rule, pattern = place
    return _ORDER[rule.source], spelled(rule.source, pattern), rule.id


def _ways(rule: Rule) -> Iterator[tuple[EvidenceKind, Pattern | None]]:
    """The evidence that a rule takes, and for SVIDs at a document whose they are."""
    for evidence in sorted(rule.evidence or ()):
        if rule.source is not Source.METADATA_DOCUMENT or evidence not in SVIDS:
            yield evidence, None
        elif evidence in ACTING_SVIDS:
            yield from ((evidence, actor) for actor in rule.actors or ())
