"""A compiled rule: everything a decision asks of it, ready to be looked up and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.terms import Ask, ClientChoice, Denial, Effect, Terms
from bridge.policy.pattern import Address, Pattern, address_of, spiffe_address


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule. A deny has `denial`, and `scopes` or `resources` that it takes away (both empty: the
    whole request); an allow or ask has `terms`, `offer` (its scopes by resource) and perhaps `client`.

    `evidence` and `doors` None mean any, which only denies can say: they follow a SPIFFE ID to every
    door, also where it acts for a document. `grant_types` None means any, for denies too.
    `actors` are the SPIFFE IDs that may act for the document; None: nobody. `why` is what its author says of it.
    """

    id: str
    file: str
    number: int
    source: Source
    effect: Effect
    patterns: tuple[Pattern, ...]
    evidence: frozenset[EvidenceKind] | None
    doors: frozenset[Door] | None
    grant_types: frozenset[str] | None
    actors: tuple[Pattern, ...] | None = None
    denial: Denial | None = None
    scopes: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    terms: Terms | None = None
    offer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    client: ClientChoice | None = None
    templated: bool = False
    why: str = ""

    def entry(self, address: Address) -> Pattern | None:
        """The heaviest of the rule's patterns that match; the first of equals."""
        best: Pattern | None = None
        for pattern in self.patterns:
            if (best is None or pattern.weight > best.weight) and pattern.matches(address):
                best = pattern
        return best

    def knows(self, subject: PolicySubject, ask: Ask) -> bool:
        """Whether evidence, door and actor are as the rule wants them. Not looked at: the name."""
        return (
            self.allows_evidence(subject)
            and (self.doors is None or ask.door in self.doors)
            and (self.source is not Source.METADATA_DOCUMENT or self.admits_actor(subject))
        )

    def applies(self, subject: PolicySubject, ask: Ask) -> bool:
        """Whether a deny whose name condition matched holds for this request (`scope` and `resource`
        aside, which are about what it would get)."""
        return self.knows(subject, ask) and (self.grant_types is None or ask.grant_type in self.grant_types)

    def allows_evidence(self, subject: PolicySubject) -> bool:
        """Whether the evidence is one the rule names.

        For a deny of a trust domain that follows its SPIFFE ID to a document: where the caller says no
        more than "a document", the deny holds, because doubt must not open a door.
        """
        if self.evidence is None or subject.evidence in self.evidence:
            return True
        return (
            self.denial is not None
            and self.source is Source.SPIFFE
            and subject.source is Source.METADATA_DOCUMENT
            and subject.evidence is EvidenceKind.METADATA_DOCUMENT
        )

    def admits_actor(self, subject: PolicySubject) -> bool:
        """Whether the SPIFFE ID that acts for the document, if one does, is one of `actors`. A deny that
        names actors needs one of them; a deny without is about the document, whoever acts for it."""
        if self.actors is None:
            return self.denial is not None or subject.spiffe_id is None
        if subject.spiffe_id is None:
            return self.denial is None
        address = spiffe_address(subject.spiffe_id)
        return any(pattern.matches(address) for pattern in self.actors)

    def names(self, subject: PolicySubject) -> Pattern | None:
        """The pattern by which the rule names the subject. A trust domain's deny also names a document's
        subject by the SPIFFE ID that acts for it."""
        if self.source is subject.source:
            address = address_of(subject)
            return None if address is None else self.entry(address)
        if self.denial is not None and self.source is Source.SPIFFE and subject.spiffe_id is not None:
            if subject.source is Source.METADATA_DOCUMENT:
                return self.entry(spiffe_address(subject.spiffe_id))
        return None
