"""The narrowest rule that would have admitted a refused request, tried out before it is shown.

Narrow: this very identity, this evidence, door and grant type, what was asked for and no more. What a rule cannot
mend (a deny, a missing proof, a name that does not exist) is said instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tomli

from bridge.model.identity import Source
from bridge.model.terms import Decision, Denial, Effect
from bridge.policy.cases import Request
from bridge.policy.diff import Change, PolicyDiff
from bridge.policy.evaluate import NAME_A_RESOURCE, PolicySet
from bridge.policy.findings import Finding, Severity
from bridge.policy.folder import PolicyDefaults
from bridge.policy.locate import Lines
from bridge.policy.pattern import address_of
from bridge.policy.rule import Rule
from bridge.policy.slips import nearest
from bridge.policy.suggested_rule import Granted, written_rule
from bridge.policy.trial import Tried, text_of, tried
from bridge.policy.vocabulary import VOCABULARIES, provable
from bridge.policy.writing import entry_text, file_text


class NothingToSuggest(ValueError):
    """No rule would help, or none that is narrow. The message says what refuses the request, and what to do."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A rule to add to `file`, or to put in the place of the one at `line` (0: to add), as TOML. `is_new_file`: there
    is no such file, and `text` has its head too. `policy` is what would be in force then, `warnings` what
    `policy check` would say, `also` what else would change for this identity."""

    file: str
    line: int
    is_new_file: bool
    rule: str
    text: str
    policy: PolicySet
    warnings: tuple[Finding, ...]
    also: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder, the policies that it holds, and what the configuration decides about them."""

    folder: Path
    defaults: PolicyDefaults
    policy: PolicySet


def suggest(workshop: Workshop, request: Request, *, why: str, scopes: Sequence[str] = ()) -> Suggestion:
    """What to write so that the request is admitted. `why` goes into the rule; `scopes`: what to give to a request
    that names none. Raises: NothingToSuggest; OSError, ValueError for files that cannot be read."""
    policy = workshop.policy
    decision = policy.decide(request.subject, request.ask, proved=request.proved)
    _require_a_rule_helps(workshop, request, decision)
    granted = _granted(policy, request, scopes)
    found = _added(workshop, request, granted, why)
    if found.line or not found.also:
        return found
    # The new rule is the heaviest: requests that name nothing get what it gives, and no more what they got so far.
    other = _added(workshop, request, _with_what_it_has(policy, request, granted), why)
    return other if len(other.also) < len(found.also) else found


def _added(workshop: Workshop, request: Request, granted: Granted, why: str) -> Suggestion:
    """The suggestion of one more rule; of an amended one where that would be a tie."""
    file = VOCABULARIES[request.subject.source].file or f"{_trust_domain(request)}.toml"
    before = text_of(workshop.folder, file)
    written = written_rule(workshop.policy, request, granted, why)
    text = entry_text("rule", written)
    if before is None:
        text = f"{file_text(_head(request), 'rule')}\n{text}"
    result = tried(workshop.folder, workshop.defaults, file, text if before is None else f"{before}\n\n{text}")
    if before is not None and any(finding.code in ("ambiguous", "client-tie") for finding in result.findings):
        return _amended(workshop, request, granted, file, before)
    after, warnings, also = _held(workshop, request, granted, result)
    return Suggestion(file, 0, before is None, str(written["id"]), text, after, warnings, also)


def _with_what_it_has(policy: PolicySet, request: Request, granted: Granted) -> Granted:
    """Beside it what the identity gets in this way already when it names nothing."""
    ask = replace(request.ask, scopes=(), resources=())
    decision = policy.decide(request.subject, ask, proved=provable(request.subject.source, request.subject.evidence))
    found = {resource: set(scopes) for resource, scopes in granted.items()}
    for scope in decision.scopes if decision.effect is Effect.ALLOW else ():
        found.setdefault(policy.catalogue.home[scope], set()).add(scope)
    return {resource: sorted(scopes) for resource, scopes in found.items()}


def place_of(folder: Path, rule: Rule) -> str:
    """`file:line` of a rule."""
    text = text_of(folder, rule.file)
    return rule.file if text is None else f"{rule.file}:{Lines(text).of(('rule', rule.number))}"


def _require_a_rule_helps(workshop: Workshop, request: Request, decision: Decision) -> None:
    policy = workshop.policy
    if decision.effect is Effect.ALLOW:
        raise NothingToSuggest(f"the policies of now allow it, by the rule '{decision.rule}'")
    if decision.effect is Effect.ASK:
        words = "it waits for an operator: `bridge clients list --pending`, then `bridge clients approve`"
        raise NothingToSuggest(f"the rule '{decision.rule}' gives it, after approval; {words}")
    if decision.denial is Denial.PROOF:
        raise NothingToSuggest(f"the rule '{decision.rule}' gives it, and only a proof is missing: {decision.because}")
    if decision.rule is not None:
        raise NothingToSuggest(_denied_by(workshop, decision.rule))
    if request.subject.source is Source.PUSHED:
        raise NothingToSuggest("a pushed client has no name: whatever a rule gives to it, everybody has")
    if decision.because.startswith(NAME_A_RESOURCE):
        raise NothingToSuggest("the request has to name a resource (RFC 8707): the rules give it several")
    for what, named, known in (
        ("scope", request.ask.scopes, policy.catalogue.home),
        ("resource", request.ask.resources, policy.catalogue.resources),
    ):
        for name in named:
            if name not in known:
                meant = nearest(name, known)
                hint = "" if meant is None else f", '{meant}' was meant perhaps"
                raise NothingToSuggest(f"the {what} '{name}' is not in the catalogue{hint}: no rule can give it")


def _denied_by(workshop: Workshop, rule: str) -> str:
    found = next(one for one in workshop.policy.rules if one.id == rule)
    return (
        f"the deny '{rule}' refuses it ({place_of(workshop.folder, found)}), and no rule is strong enough against a "
        "deny: if it is wrong about this one, narrow the deny"
    )


def _granted(policy: PolicySet, request: Request, scopes: Sequence[str]) -> Granted:
    """What the rule has to give: what was asked for, by resource."""
    home, ask = policy.catalogue.home, request.ask
    unknown = next((scope for scope in scopes if scope not in home), None)
    if unknown is not None:
        raise NothingToSuggest(f"the scope '{unknown}' is not in the catalogue")
    if ask.scopes and scopes:
        raise NothingToSuggest(f"the request names its scopes itself: {' '.join(ask.scopes)}")
    wanted = ask.scopes or tuple(scopes)
    if not wanted:
        of = " of " + " ".join(ask.resources) if ask.resources else ""
        raise NothingToSuggest(f"the request names no scope: say with --scope which{of} the rule shall give it")
    resources = tuple(dict.fromkeys(ask.resources or (home[scope] for scope in sorted(wanted))))
    strange = next((scope for scope in wanted if home[scope] not in resources), None)
    if strange is not None:
        raise NothingToSuggest(f"the scope '{strange}' belongs to {home[strange]}, and the request names another")
    return {resource: [scope for scope in sorted(set(wanted)) if home[scope] == resource] for resource in resources}


def _head(request: Request) -> dict[str, object]:
    named = {"trust_domain": _trust_domain(request)} if request.subject.source is Source.SPIFFE else {}
    return {"version": 1, "source": request.subject.source.value, **named}


def _trust_domain(request: Request) -> str:
    assert request.subject.spiffe_id is not None, "a workload has a SPIFFE ID"
    return request.subject.spiffe_id.trust_domain.name


def _amended(workshop: Workshop, request: Request, granted: Granted, file: str, text: str) -> Suggestion:
    """The rule that names this identity as exactly, with what is missing added: a second one would be a tie."""
    rule = _as_exact(workshop.policy, request)
    if rule is None or len(rule.patterns) > 1 or rule.patterns[0].stars or rule.patterns[0].tail:
        about = "another rule" if rule is None else f"the rule '{rule.id}' ({place_of(workshop.folder, rule)})"
        raise NothingToSuggest(
            f"{about} weighs as much and names others too: give it to all of them there, or take this one out of it"
        )
    raw = tomli.loads(text)
    written = raw["rule"][rule.number]
    grant = dict(written.get("grant", {}))
    grant["resources"] = sorted({*_listed(grant.get("resources")), *granted})
    grant["scopes"] = sorted({*_listed(grant.get("scopes")), *(one for scopes in granted.values() for one in scopes)})
    if rule.grant_types is not None and request.ask.grant_type not in rule.grant_types:
        grant["grant_types"] = sorted({*rule.grant_types, request.ask.grant_type})
    raw["rule"][rule.number] = {**written, "grant": grant}
    result = tried(workshop.folder, workshop.defaults, file, file_text(raw, "rule"))
    after, warnings, also = _held(workshop, request, granted, result)
    line = Lines(text).of(("rule", rule.number))
    return Suggestion(file, line, False, rule.id, entry_text("rule", raw["rule"][rule.number]), after, warnings, also)


def _as_exact(policy: PolicySet, request: Request) -> Rule | None:
    """The heaviest rule that gives this identity anything."""
    address = address_of(request.subject)
    if address is None:
        return None
    found = [
        (pattern.weight, rule)
        for rule in policy.rules
        if rule.terms is not None
        and rule.source is request.subject.source
        and (pattern := rule.entry(address)) is not None
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _listed(value: object) -> list[str]:
    return [value] if isinstance(value, str) else list(value) if isinstance(value, list) else []


def _held(
    workshop: Workshop, request: Request, granted: Granted, result: Tried
) -> tuple[PolicySet, tuple[Finding, ...], tuple[Change, ...]]:
    """That the policies would load and admit the request, and what else would come of them."""
    errors = [str(finding) for finding in result.findings if finding.severity is Severity.ERROR]
    after = result.policy_set
    if after is None:
        raise NothingToSuggest(f"a rule for it would not load: {'; '.join(errors) or 'the folder has errors'}")
    decision = after.decide(request.subject, request.ask, proved=request.proved)
    if decision.effect is not Effect.ALLOW:
        if decision.rule is not None and decision.denial is not Denial.PROOF:
            raise NothingToSuggest(_denied_by(workshop, decision.rule))
        raise NothingToSuggest(f"a rule for it would not admit it: {decision.because or decision.effect}")
    changes = PolicyDiff(workshop.policy, after).changes()
    also = tuple(change for change in changes if not _is_wanted(change, request, granted))
    return after, result.findings, also


def _is_wanted(change: Change, request: Request, granted: Granted) -> bool:
    """Whether a change is no more than what the suggestion is for."""
    after = change.difference.after
    if change.kind != "gains" or after is None:
        return False
    is_its_way = (change.evidence, change.door) == (request.subject.evidence, request.ask.door)
    scopes = {scope for scopes in granted.values() for scope in scopes}
    return is_its_way and change.grant_types == (request.ask.grant_type,) and set(after.scopes) <= scopes
