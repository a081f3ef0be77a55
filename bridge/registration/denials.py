"""From a decision that denies to the error that says so, each kind of no in its own words."""

from __future__ import annotations

from bridge.model.errors import (
    BridgeError,
    GrantNotAllowed,
    PolicyDenied,
    ProofMissing,
    ScopeNotAllowed,
    TargetNotAllowed,
)
from bridge.model.reasons import Reason
from bridge.model.terms import Decision, Denial, Effect, Terms

_ERRORS: dict[Denial, type[BridgeError]] = {
    Denial.IDENTITY: PolicyDenied,
    Denial.GRANT_TYPE: GrantNotAllowed,
    Denial.SCOPE: ScopeNotAllowed,
    Denial.RESOURCE: TargetNotAllowed,
    Denial.PROOF: ProofMissing,
}


def refusal_of(decision: Decision) -> BridgeError:
    """The error for a decision that denies. Words of policy reach the client only where they tell it which
    proof or which parameter to send; everything else is for the log."""
    denial = decision.denial or Denial.IDENTITY
    public = None
    if denial is Denial.PROOF:
        public = decision.because
    elif denial is Denial.RESOURCE and decision.because.startswith("name a resource"):
        public = "name a resource"
    return _ERRORS[denial](
        decision.reason or Reason.POLICY_NO_RULE,
        decision.because,
        public=public,
        rule=decision.rule or "",
        policy_version=decision.policy_version,
    )


def require_granted(decision: Decision) -> Terms:
    """The terms of a decision that gives any. Raises: PolicyDenied and its kin."""
    if decision.terms is None or decision.effect is Effect.DENY:
        raise refusal_of(decision)
    return decision.terms
