"""A recorded request, decided again under a candidate policy: would it be answered otherwise?

"Before" is what was recorded, because that is what happened. A row keeps the outcome and the rule, and not the terms:
these are taken from the policies in force, where they still decide as was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.model.identity import BindingMethod, PolicySubject
from bridge.model.terms import Ask, ClientMode, Effect
from bridge.policy.evaluate import PolicySet
from bridge.policy.explain import client_id_of
from bridge.policy.index import Index
from bridge.policy.permits import Permit, permit_of
from bridge.policy.senses import Senses

_INSTANCE = "instance-"


@dataclass(frozen=True, slots=True)
class RecordedAsk:
    """What a row says of a request that policy decided. `effect` ASK: it waited for an approval; one that was approved
    is recorded as allowed. `is_of_now`: the policies in force have to explain it, for no others decided it."""

    subject: PolicySubject
    ask: Ask
    proved: frozenset[BindingMethod]
    effect: Effect
    rule: str
    client_id: str
    reason: str
    is_of_now: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One answer. `permit` None: it was no, or nobody knows the terms. `because` is the reason of a no, a word of the
    closed list for what was recorded."""

    effect: Effect
    rule: str | None
    client_id: str | None
    permit: Permit | None
    because: str


class Verdict(StrEnum):
    """What came of one request. UNTOLD: the row does not hold all that the answer turned on, for the policies that
    gave it decide otherwise by what stands in it."""

    SAME = "same"
    CHANGED = "changed"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Replayed:
    """The verdict. `already`: the policies in force answer like the candidate, so that the change is no news."""

    verdict: Verdict
    before: Side
    after: Side
    already: bool = False

    @property
    def kind(self) -> str:
        """`gains`, `loses` or `changes`, of a change."""
        if self.before.effect is Effect.DENY:
            return "gains"
        return "loses" if self.after.effect is Effect.DENY else "changes"


class Replay:
    """A candidate, and the policies in force if they load."""

    def __init__(self, present: PolicySet | None, candidate: PolicySet) -> None:
        self._present, self._candidate = present, candidate
        known = () if present is None else present.rules
        self._changed = tuple(Index(rules) for rules in Senses().changed(known, candidate.rules))

    def against_recorded(self, recorded: RecordedAsk) -> Replayed:
        """Hold the candidate's answer against what was recorded."""
        if recorded.is_of_now and self._is_untouched(recorded):
            return _same(recorded)
        before, now, after = _as_recorded(recorded), self._now(recorded), self._after(recorded)
        if now is not None and _decides_as_recorded(now, recorded):
            # The row of an approved request says that it was allowed; that it had to be approved, the rule says.
            before = now
        elif recorded.is_of_now:
            return Replayed(Verdict.UNTOLD, before, after)
        if not _differ(before, after):
            return Replayed(Verdict.SAME, before, after)
        return Replayed(Verdict.CHANGED, before, after, already=now is not None and not _differ(now, after))

    def against_present(self, recorded: RecordedAsk) -> Replayed:
        """Hold the candidate's answer against that of the policies in force, which must have loaded."""
        if self._is_untouched(recorded):
            return _same(recorded)
        before, after = self._now(recorded), self._after(recorded)
        assert before is not None, "there are no policies to hold it against"
        if recorded.is_of_now and not _decides_as_recorded(before, recorded):
            return Replayed(Verdict.UNTOLD, before, after)
        return Replayed(Verdict.CHANGED if _differ(before, after) else Verdict.SAME, before, after)

    def _is_untouched(self, recorded: RecordedAsk) -> bool:
        """Whether no rule that the candidate changes names whoever asked: then it answers like the present policies."""
        named = any(index.naming(recorded.subject) for index in self._changed)
        return self._present is not None and not named

    def _now(self, recorded: RecordedAsk) -> Side | None:
        return None if self._present is None else _decided(self._present, recorded)

    def _after(self, recorded: RecordedAsk) -> Side:
        return _decided(self._candidate, recorded)


def _same(recorded: RecordedAsk) -> Replayed:
    return Replayed(Verdict.SAME, _as_recorded(recorded), _as_recorded(recorded))


def _decided(policy: PolicySet, recorded: RecordedAsk) -> Side:
    decision = policy.decide(recorded.subject, recorded.ask, proved=recorded.proved)
    permit = permit_of(decision)
    client_id = client_id_of(recorded.subject, decision.client) if permit is not None else None
    reason = decision.reason.value if decision.reason is not None else ""
    return Side(decision.effect, decision.rule, client_id, permit, reason)


def _as_recorded(recorded: RecordedAsk) -> Side:
    return Side(recorded.effect, recorded.rule or None, recorded.client_id or None, None, recorded.reason)


def _decides_as_recorded(now: Side, recorded: RecordedAsk) -> bool:
    """Whether the policies in force come to the recorded answer. Refusals are all alike: a no is a no."""
    if now.effect is Effect.DENY or recorded.effect is Effect.DENY:
        return now.effect is recorded.effect
    return now.rule == recorded.rule and (recorded.effect is Effect.ALLOW or now.effect is Effect.ASK)


def _differ(before: Side, after: Side) -> bool:
    """Whether the request would notice. Where the terms of one answer are not known, its effect and its client."""
    if before.effect is not after.effect:
        return True
    if before.effect is Effect.DENY:
        return False
    if before.permit is not None and after.permit is not None:
        return before.permit != after.permit
    return _is_other_client(before, after)


def _is_other_client(recorded: Side, after: Side) -> bool:
    """Whether a recorded client is another than the one that is given now. Which instance it is, no policy says."""
    assert after.permit is not None, "only answers with terms come here"
    if recorded.client_id is None:
        return False
    if after.client_id is None:
        return (after.permit.client == ClientMode.INSTANCE) is not recorded.client_id.startswith(_INSTANCE)
    return recorded.client_id != after.client_id
