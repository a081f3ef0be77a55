"""What the rules say about one ask, gathered in one pass, before an answer is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bridge.model.identity import PolicySubject
from bridge.model.terms import Ask, ClientChoice, Denial
from bridge.policy.index import Entry
from bridge.policy.rule import Rule


@dataclass(slots=True)
class Cut:
    """What denies take out of every rule, each with the deny that does."""

    scopes: dict[str, Rule] = field(default_factory=dict)
    resources: dict[str, Rule] = field(default_factory=dict)

    def left(self, offer: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """What remains of a rule's offer."""
        return {
            resource: tuple(scope for scope in scopes if scope not in self.scopes)
            for resource, scopes in offer.items()
            if resource not in self.resources
        }


@dataclass(slots=True)
class Tally:
    """What the rules say about one ask, gathered in one pass over those that name the subject.

    `admitted`: rules whose evidence, door and actor hold. `granting`: those among them with the grant
    type. Both heaviest first. `refusals`: denies of the whole request. `cut`: what others take away.
    """

    client: ClientChoice | None = None
    known: bool = False
    admitted: list[Entry] = field(default_factory=list)
    granting: list[Entry] = field(default_factory=list)
    refusals: list[Rule] = field(default_factory=list)
    cut: Cut | None = None

    @classmethod
    def of(cls, entries: Iterable[Entry], subject: PolicySubject, ask: Ask) -> Tally:
        """Read the entries, which come heaviest first."""
        tally = cls()
        for entry in entries:
            rule = entry[3]
            if rule.denial is not None:
                if rule.applies(subject, ask):
                    tally._deny(rule)
                continue
            tally.known = True
            if tally.client is None and rule.client is not None:
                tally.client = rule.client
            if rule.knows(subject, ask):
                tally.admitted.append(entry)
                if rule.grant_types is not None and ask.grant_type in rule.grant_types:
                    tally.granting.append(entry)
        return tally

    def _deny(self, rule: Rule) -> None:
        if rule.denial in (Denial.IDENTITY, Denial.GRANT_TYPE):
            self.refusals.append(rule)
            return
        if self.cut is None:
            self.cut = Cut()
        for scope in rule.scopes:
            self.cut.scopes.setdefault(scope, rule)
        for resource in rule.resources:
            self.cut.resources.setdefault(resource, rule)

    def refusal(self, kind: Denial) -> Rule | None:
        """The heaviest deny of that kind."""
        return next((rule for rule in self.refusals if rule.denial is kind), None)
