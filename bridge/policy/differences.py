"""What two policies answer differently to one identity, as few differences as say it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bridge.model.identity import PolicySubject
from bridge.policy.evaluate import PolicySet
from bridge.policy.permits import Answer, Naming, Permit, Question, Way, answer, questions, without


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that two policies answer differently; None is a refusal. They are never both None."""

    question: Question
    before: Permit | None
    after: Permit | None

    @property
    def terms(self) -> tuple[str, ...]:
        """Which terms are others, where both policies say yes."""
        return () if self.before is None or self.after is None else self.before.differs_from(self.after)


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, and the rules that decided, where one did."""

    difference: Difference
    rule_before: str | None
    rule_after: str | None


def differences(before: PolicySet, after: PolicySet, subject: PolicySubject, way: Way) -> list[Found]:
    """All that this identity gains, loses or gets on other terms in this way.

    First request by request for one scope. A request that names more, or less, is told only where that is not what
    follows from it: a scope that is gained is gained together with others too. Nothing told means that no request of
    this identity and way is answered otherwise.
    """

    def asked(question: Question) -> tuple[Answer, Answer]:
        return answer(before, subject, way, question), answer(after, subject, way, question)

    offers = [*before.left(subject, way.door, way.grant_type), *after.left(subject, way.door, way.grant_type)]
    if not offers:
        return []
    questioned = questions(offers)
    found = [one for one in questioned if one.naming is Naming.SCOPE]
    single = list(_differing((one, *asked(one)) for one in found))
    others = list(_others(questioned, single))
    told = list(single)
    for one in _differing((one, *asked(one)) for one in others):
        if not _follows(one.difference, single):
            told.append(one)
    return told


def _differing(answers: Iterator[tuple[Question, Answer, Answer]]) -> Iterator[Found]:
    for question, one, other in answers:
        if one.permit != other.permit:
            yield Found(Difference(question, one.permit, other.permit), one.rule, other.rule)


def _others(questioned: Sequence[Question], single: Sequence[Found]) -> Iterator[Question]:
    """The questions that are not about one scope. Each request for several is looked at once more without the scopes
    that come or go by themselves: else that the rest no longer goes together would hide behind them."""
    moved = [one.difference.question.scopes[0] for one in single if not one.difference.terms]
    seen: set[Question] = set()
    for question in questioned:
        if question.naming is Naming.SCOPE:
            continue
        for one in (question, without(question, moved)) if question.naming is Naming.TOGETHER else (question,):
            if one not in seen and (one.scopes or one.naming is not Naming.TOGETHER):
                seen.add(one)
                yield one


def _follows(difference: Difference, single: Sequence[Found]) -> bool:
    """Whether the difference is only what follows from those about single scopes."""
    before, after = difference.before, difference.after
    gained = {one.difference.question.scopes[0] for one in single if one.difference.before is None}
    lost = {one.difference.question.scopes[0] for one in single if one.difference.after is None}
    if difference.question.naming is Naming.TOGETHER:
        if before is None:
            return not gained.isdisjoint(difference.question.scopes)
        if after is None:
            return not lost.isdisjoint(difference.question.scopes)
        return _is_told(before, after, difference.question.scopes, single)
    if before is None or after is None:
        return set(after.scopes) <= gained if after is not None else set(before.scopes if before else ()) <= lost
    moved_on = set(after.scopes) - set(before.scopes) <= gained and set(before.scopes) - set(after.scopes) <= lost
    kept = set(before.scopes) & set(after.scopes)
    return moved_on and (not before.differs_from(after) or _is_told(before, after, kept, single))


def _is_told(before: Permit, after: Permit, scopes: Sequence[str] | set[str], single: Sequence[Found]) -> bool:
    """Whether the same change of terms is told of one of the scopes."""
    change = (_bare(before), _bare(after))
    return any(
        one.difference.question.scopes[0] in scopes
        and one.difference.before is not None
        and one.difference.after is not None
        and (_bare(one.difference.before), _bare(one.difference.after)) == change
        for one in single
    )


def _bare(permit: Permit) -> Permit:
    return replace(permit, scopes=(), resources=())


def in_short(difference: Difference) -> Difference:
    """The difference without the terms of what is gained or lost: so told, more differences are the same."""
    if difference.before is not None and difference.after is not None:
        return difference
    return replace(difference, before=_in_short(difference.before), after=_in_short(difference.after))


def _in_short(permit: Permit | None) -> Permit | None:
    if permit is None:
        return None
    return Permit(permit.effect, permit.scopes, permit.resources)
