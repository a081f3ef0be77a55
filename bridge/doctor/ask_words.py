"""What policy, records and limits expect of a request, what was found, and the one thing to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.doctor.words import listed, relative, shown
from bridge.model.errors import BridgeError, LimitReached
from bridge.model.reasons import Reason
from bridge.model.terms import Effect, Replay
from bridge.policy.evaluate import PolicySet
from bridge.registration.foresight import UNTOLD_KEY, AskCase

Words = tuple[str, str]


def _policy(case: AskCase) -> Words:
    ask = case.ask
    scopes = f"scope {shown(' '.join(ask.scopes))}" if ask.scopes else "no scope named"
    resources = f"resource {shown(' '.join(ask.resources))}" if ask.resources else "no resource named"
    proved = ", ".join(sorted(case.proved)) or "no key"
    expected = f"a rule for {shown(ask.grant_type)} at {ask.door}, {scopes}, {resources}, proving {proved}"
    decision = case.decision
    if decision.terms is None or decision.effect is Effect.DENY:
        return expected, f"policies {decision.policy_version}: {shown(decision.because)}"
    given = " ".join(decision.scopes) or "no scope"
    return (
        expected,
        f"policies {decision.policy_version}: rule {shown(decision.rule)} ({decision.effect}) gives {given}",
    )


def _client(case: AskCase) -> Words:
    named = "" if case.named is None else f', named as "{shown(case.named)}"'
    client = case.decision.client
    choice = f"shared {shown(client.shared_id)}" if client.shared_id is not None else client.mode.value
    return f"the client that policy gives ({choice}){named}", shown(case.subject.actor)


def _record(case: AskCase) -> Words:
    record, member = case.found.record, case.found.member
    expected = "no denial; absent, pending, active, expired and revoked are all well"
    if UNTOLD_KEY in case.name.subject:
        return expected, "an instance that was not seen before: name one with --client-id"
    if record is None:
        return expected, f"{shown(case.name.client_id)}: absent, it would be registered"
    seen = (
        f"{shown(record.client_id)}: {record.state_at(case.now)}, last used {relative(record.last_used_at, case.now)}"
    )
    return expected, seen + (f"; as a member {member.state_at(case.now)}" if member is not None else "")


def _limits(case: AskCase) -> Words:
    limits = case.outlook.limits(case.name.trust_domain)
    expected = f"room below records_per_trust_domain ({limits.records}) and the rates, for what is new"
    whose = shown(case.name.trust_domain or "its issuer")
    return expected, f"a new registration under {whose}" if case.stands is None else "known, so nothing is counted"


def _approval(case: AskCase) -> Words:
    if case.decision.effect is not Effect.ASK:
        return "nothing: the rule does not ask", f"rule {shown(case.terms.rule)}"
    expected = f"an approval of {shown(case.name.client_id)} for rule {shown(case.terms.rule)} as it is"
    return expected, "approved" if case.found.approved else "not approved"


def _promise(case: AskCase) -> Words:
    return "the keys that the client registered to bind its tokens to", ", ".join(sorted(case.proved)) or "no key"


def _replay(case: AskCase) -> Words:
    if case.terms.replay is not Replay.ONCE:
        return "nothing: the rule lets an SVID be used until it ends", f"replay {case.terms.replay}"
    used = "is verified and was looked up" if case.once else "has no mark that could be looked up"
    return 'an SVID not used before: the rule says replay = "once"', f"this one {used}"


ASK_WORDS: Mapping[str, Callable[[AskCase], Words]] = {
    "policy": _policy,
    "client": _client,
    "record": _record,
    "limits": _limits,
    "approval": _approval,
    "promise": _promise,
    "replay": _replay,
}


def ask_remedy(case: AskCase, error: BridgeError, policies: PolicySet) -> str | None:
    """What to change so that this error goes away; None where its reason alone says it."""
    match error.reason:
        case Reason.POLICY_NO_RULE | Reason.POLICY_GRANT_TYPE | Reason.POLICY_SCOPE | Reason.POLICY_RESOURCE:
            return _nearest(case, policies)
        case Reason.POLICY_DENY_RULE:
            return f"Rule {shown(error.rule)} denies it: look at its why, and narrow it if it was not meant for this."
        case Reason.POLICY_PROOF:
            return _send_proof(error)
        case Reason.IDENTITY_DENIED:
            return f"An operator denied it. `bridge clients undeny {shown(case.subject.actor)}` lets it in again."
        case Reason.APPROVAL_PENDING:
            client = shown(case.name.client_id)
            return f"`bridge clients approve {client} --note WHY`, once it has asked (`bridge clients list --pending`)."
        case Reason.LIMIT_REACHED:
            assert isinstance(error, LimitReached)
            return (
                f"{error.limit} is used up, try again in {error.retry_after} s; find out who registers so much "
                f"(`bridge clients list`), or raise {error.limit} in [limits]."
            )
        case Reason.CLIENT_ID_MISMATCH:
            own = shown(case.subject.actor)
            return f"Send client_id {own}, or none beside an assertion: {shown(error.detail)}."
        case _:
            return None


def _send_proof(error: BridgeError) -> str:
    words = shown(error.public)
    return f"{words[:1].upper()}{words[1:]}. (Here: --proved jkt for a DPoP proof.)"


def _nearest(case: AskCase, policies: PolicySet) -> str | None:
    """The rule that came nearest, and what it lacked."""
    explanation = policies.explain(case.subject, case.ask, proved=case.proved)
    nearest = next(iter(explanation.others), None)
    if nearest is None:
        return None
    missing = f"{nearest.rule}: {nearest.because}"
    if explanation.decision.reason is Reason.POLICY_RESOURCE and explanation.decision.because.startswith(
        "name a resource"
    ):
        return f"Name a resource (--resource): {listed(sorted(_resources(case, policies)))}."
    return f"Change the rule that came nearest, or write one of its own. {shown(missing)}."


def _resources(case: AskCase, policies: PolicySet) -> set[str]:
    offers = policies.offers(case.subject, case.ask.door, case.ask.grant_type)
    return {resource for offer in offers for resource in offer.resources}
