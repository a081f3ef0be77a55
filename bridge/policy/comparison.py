"""Two policies asked about one cell of identities. What was once asked of rules that mean the same is remembered."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.policy.differences import Difference, differences
from bridge.policy.evaluate import PolicySet
from bridge.policy.index import Entry
from bridge.policy.pattern import address_of
from bridge.policy.permits import Permit, Way
from bridge.policy.rule import Rule
from bridge.policy.senses import Senses
from bridge.policy.vocabulary import ACTING_SVIDS, GRANTS_AT, SVIDS, VOCABULARIES


@dataclass(frozen=True, slots=True)
class Told:
    """A difference in one way, and the rules by which it came about, where one decided."""

    way: Way
    difference: Difference
    rule_before: str | None
    rule_after: str | None


@dataclass(frozen=True, slots=True)
class Member:
    """One who stands for a cell: by evidence, the subject; how made-up parts of an answer read; and the entries that
    name it, before and after, the heaviest first."""

    subject: Callable[[EvidenceKind], PolicySubject]
    spelled: Callable[[str], str]
    naming: tuple[Sequence[Entry], Sequence[Entry]]


# A difference, and where in the naming entries the rules stand that decided.
_Remembered = tuple[Way, Difference, int | None, int | None]


class Comparison:
    """Compares two policies cell by cell."""

    def __init__(self, before: PolicySet, after: PolicySet, senses: Senses) -> None:
        self._before, self._after, self._senses = before, after, senses
        self._known: dict[Hashable, tuple[_Remembered, ...]] = {}

    def of(self, source: Source, member: Member, *, acted: bool) -> Iterator[Told]:
        """All differences for the cell. `acted`: a workload acts for it, which only documents know."""
        key = (source, acted, *(self._meaning(entries, member) for entries in member.naming))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = tuple(self._asked(source, member, acted))
        one, other = member.naming
        for way, difference, before, after in known:
            rules = None if before is None else one[before][3].id, None if after is None else other[after][3].id
            yield Told(way, difference, *rules)

    def _asked(self, source: Source, member: Member, acted: bool) -> Iterator[_Remembered]:
        one, other = member.naming
        for way in ways(source, acted=acted):
            for found in differences(self._before, self._after, member.subject(way.evidence), way):
                difference = replace(
                    found.difference,
                    before=_spelled(found.difference.before, member),
                    after=_spelled(found.difference.after, member),
                )
                yield way, difference, _place(one, found.rule_before), _place(other, found.rule_after)

    def _meaning(self, entries: Sequence[Entry], member: Member) -> Hashable:
        """All that the answers depend on, beside which identity it is."""
        return tuple((entry[0], self._senses.of(entry[3]), _own(entry[3], member)) for entry in entries)


def ways(source: Source, *, acted: bool) -> Iterator[Way]:
    """How requests of a source come in. An SVID at a document is a workload's that acts for it (SCA-15)."""
    document = source is Source.METADATA_DOCUMENT
    for evidence in sorted(VOCABULARIES[source].evidence):
        if document and (evidence in SVIDS) is not acted:
            continue
        if acted and evidence not in ACTING_SVIDS:
            continue
        for door in sorted(VOCABULARIES[source].doors):
            for grant_type in sorted(GRANTS_AT[door]):
                yield Way(evidence, door, grant_type)


def _own(rule: Rule, member: Member) -> Hashable:
    """What a rule makes of this very identity: the parts of its name that redirect URIs are filled with, and whether
    the workload that acts for it may."""
    if not rule.templated and rule.source is not Source.METADATA_DOCUMENT:
        return None
    subject = member.subject(EvidenceKind.JWT_SVID)
    address = address_of(subject) if rule.templated else None
    pattern = None if address is None else rule.entry(address)
    captured = None if address is None or pattern is None else (address.space, pattern.captures(address))
    return captured, rule.source is Source.METADATA_DOCUMENT and rule.admits_actor(subject)


def _place(entries: Sequence[Entry], rule: str | None) -> int | None:
    return next((place for place, entry in enumerate(entries) if entry[1] == rule), None)


def _spelled(permit: Permit | None, member: Member) -> Permit | None:
    if permit is None or not permit.redirect_uris:
        return permit
    return replace(permit, redirect_uris=tuple(member.spelled(uri) for uri in permit.redirect_uris))
