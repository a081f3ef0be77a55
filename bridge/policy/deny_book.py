"""Denies by whom they could meet: what is left of a rule for all of those that one of its patterns stands for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import Source
from bridge.model.terms import Denial
from bridge.policy.index import Trie
from bridge.policy.pattern import Pattern, Space, overlap, subsumes
from bridge.policy.rule import Rule


@dataclass(frozen=True, slots=True)
class Meeting:
    """A deny that can meet whom a pattern stands for; `always`: it meets all of them."""

    deny: Rule
    always: bool

    def holds(self, evidence: EvidenceKind, door: Door, grant_type: str) -> bool:
        """Whether the deny is about requests of this kind."""
        deny = self.deny
        return (
            (deny.evidence is None or evidence in deny.evidence)
            and (deny.doors is None or door in deny.doors)
            and (deny.grant_types is None or grant_type in deny.grant_types)
        )

    def takes(self, resource: str, scope: str) -> bool:
        """Whether the deny takes this away: as a scope, with its resource, or with everything else."""
        if self.deny.denial is Denial.SCOPE:
            return scope in self.deny.scopes
        return self.deny.denial is not Denial.RESOURCE or resource in self.deny.resources


class DenyBook:
    """All denies of a policy. That several denies together meet everybody, and none of them alone, goes unseen."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._tries: dict[tuple[Source, Space], Trie] = defaultdict(Trie)
        for rule in rules:
            if rule.denial is not None:
                for number, pattern in enumerate(rule.patterns):
                    entry = (-pattern.weight, rule.id, number, rule)
                    self._tries[rule.source, pattern.space].add(pattern, entry)

    def meeting(self, source: Source, pattern: Pattern, actor: Pattern | None) -> list[Meeting]:
        """The denies that can meet whom `pattern` stands for, while `actor`s act for it if it is of documents.

        The denies of a trust domain follow its SPIFFE IDs to the documents they act for (interface section 3).
        """
        found: dict[str, Meeting] = {}
        for meeting in self._at(source, pattern):
            theirs = meeting.deny.actors
            if theirs is not None:
                if actor is None or not any(overlap(one, actor) for one in theirs):
                    continue
                meeting = Meeting(meeting.deny, meeting.always and any(subsumes(one, actor) for one in theirs))
            _keep(found, meeting)
        for meeting in self._at(Source.SPIFFE, actor) if actor is not None else ():
            _keep(found, meeting)
        return list(found.values())

    def _at(self, source: Source, pattern: Pattern) -> Iterator[Meeting]:
        trie = self._tries.get((source, pattern.space))
        if trie is None:
            return
        always = {(name, number) for _, name, number, _ in trie.subsuming(pattern.tokens, tail=pattern.tail)}
        for _, name, number, deny in trie.overlapping(pattern.tokens, tail=pattern.tail):
            yield Meeting(deny, (name, number) in always)


def _keep(found: dict[str, Meeting], meeting: Meeting) -> None:
    before = found.get(meeting.deny.id)
    if before is None or meeting.always:
        found[meeting.deny.id] = meeting


def left_of(
    rule: Rule, meetings: Iterable[Meeting], evidence: EvidenceKind, door: Door, grant_type: str
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """For each scope that no deny takes from all: its resource, itself, and the denies that take it from some."""
    here = [meeting for meeting in meetings if meeting.holds(evidence, door, grant_type)]
    for resource, scopes in rule.offer.items():
        for scope in scopes:
            against = [meeting for meeting in here if meeting.takes(resource, scope)]
            if not any(meeting.always for meeting in against):
                yield resource, scope, tuple(sorted(meeting.deny.id for meeting in against))
