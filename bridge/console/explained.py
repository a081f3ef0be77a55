"""A decision explained for a page: by the code of `bridge policy explain`, and with the advice that commands give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.advice.entry import Advice
from bridge.advice.table import advice_on
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.policy.cases import Request
from bridge.policy.evaluate import PolicySet
from bridge.policy.explain import Explanation, client_id_of
from bridge.policy.recorded_request import decided_event, recorded_request
from bridge.policy.rule import Rule

# Other rules that a page shows unasked; all of ten thousand are of no use to anybody.
NEAREST = 20


@dataclass(frozen=True, slots=True)
class Explained:
    """A request and the policy's answer to it as of now. `rule` is the one that decided, `client_id` as far as policy
    decides it, `advice` what is said of the reason. `others` are the nearest rules, each with the file it stands in;
    `more` of them were left out."""

    request: Request
    explanation: Explanation
    rule: Rule | None
    client_id: str | None
    advice: Advice | None
    others: Sequence[tuple[str, str, str]]
    more: int


@dataclass(frozen=True, slots=True)
class ExplainedRows:
    """What is said of a request by its rows. `reasons` are those of its refusals with the advice on each; `explained`
    the policy's answer as of now, None where policy decides nothing of it; `then` what keeps that from being the answer
    of then; `unreadable` why a row cannot be decided again."""

    reasons: Sequence[tuple[str, Advice | None]]
    explained: Explained | None = None
    then: str = ""
    unreadable: str = ""


def explain_request(request: Request, policy: PolicySet, *, everything: bool = False) -> Explained:
    """Decide the request under that policy and say why. Looks at every rule."""
    explanation = policy.explain(request.subject, request.ask, proved=request.proved)
    decision, rules = explanation.decision, {rule.id: rule for rule in policy.rules}
    shown = explanation.others if everything else explanation.others[:NEAREST]
    return Explained(
        request,
        explanation,
        None if decision.rule is None else rules.get(decision.rule),
        client_id_of(request.subject, decision.client) if decision.terms is not None else None,
        None if decision.reason is None else advice_on(decision.reason.value),
        [(other.rule, rules[other.rule].file, other.because) for other in shown],
        len(explanation.others) - len(shown),
    )


def explain_rows(events: Sequence[AuditEvent], policy: PolicySet) -> ExplainedRows:
    """All that there is to say of the rows of one correlation id, under the policy as it is now."""
    refused = dict.fromkeys(event.reason for event in events if event.event is AuditEventKind.REFUSED)
    reasons = [(reason, advice_on(reason)) for reason in refused]
    event = decided_event(events)
    if event is None:
        return ExplainedRows(reasons)
    try:
        recorded = recorded_request(event)
    except ValueError as error:
        return ExplainedRows(reasons, unreadable=str(error))
    explained = explain_request(Request(recorded.subject, recorded.ask, recorded.proved), policy)
    allowed = explained.explanation.effect.value == "allow" and not explained.explanation.lacks_proof
    then = recorded.then(allowed=allowed, policy_version=policy.version) or ""
    if not then and event.policy_version and event.policy_version != policy.version:
        then = f"it was decided by policies {event.policy_version}; these are {policy.version}"
    return ExplainedRows(reasons, explained, then)
