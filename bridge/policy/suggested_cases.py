"""The case that goes with a suggested rule, and its refused twin: the same request but for one field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Denial, Effect
from bridge.policy.cases import Request
from bridge.policy.evaluate import PolicySet
from bridge.policy.vocabulary import GRANTS_AT, SVIDS, VOCABULARIES, provable
from bridge.policy.writing import entry_text

_ELSE = "somebody-else"


@dataclass(frozen=True, slots=True)
class SuggestedCases:
    """The file they belong into, and their text. `has_twin`: a request was found that is refused."""

    file: str
    text: str
    has_twin: bool


def suggested_cases(policy: PolicySet, request: Request, rule_file: str, name: str) -> SuggestedCases:
    """The cases for a policy that admits the request."""
    decision = policy.decide(request.subject, request.ask, proved=request.proved)
    accepted = {"name": name, **_written(request), "expect": "allow", "rule": decision.rule}
    texts = [entry_text("case", {**accepted, "scopes": list(decision.scopes)})]
    twin = next(_refused(policy, request), None)
    if twin is not None:
        other, what, denial = twin
        refused = {"name": f"{name}: not {what}", **_written(other), "expect": "deny"}
        texts.append(entry_text("case", {**refused, "denial": None if denial is None else denial.value}))
    file = f"tests/{rule_file.removesuffix('.toml')}.cases.toml"
    return SuggestedCases(file, "\n".join(texts), twin is not None)


def _written(request: Request) -> dict[str, object]:
    """The request as the keys of a case."""
    subject, ask = request.subject, request.ask
    named = str(subject.spiffe_id) if subject.source is Source.SPIFFE else subject.url or subject.subject
    is_usual = request.proved == provable(subject.source, subject.evidence)
    return {
        "subject": named,
        "issuer": subject.issuer,
        "spiffe_id": str(subject.spiffe_id) if subject.url is not None and subject.spiffe_id is not None else None,
        "evidence": subject.evidence.value,
        "door": ask.door.value,
        "grant_type": ask.grant_type,
        "scope": list(ask.scopes) or None,
        "resource": list(ask.resources) or None,
        "proved": None if is_usual else sorted(method.value for method in request.proved),
    }


def _refused(policy: PolicySet, request: Request) -> Iterator[tuple[Request, str, Denial | None]]:
    """Requests that differ in one field and are refused, the most telling first; which field, and the kind of no."""
    for other, what in _neighbours(policy, request):
        decision = policy.decide(other.subject, other.ask, proved=other.proved)
        if decision.effect is Effect.DENY:
            yield other, what, decision.denial


def _neighbours(policy: PolicySet, request: Request) -> Iterator[tuple[Request, str]]:
    yield replace(request, subject=_somebody_else(request.subject)), "somebody else"
    for scope in sorted(set(policy.catalogue.home) - set(request.ask.scopes)):
        yield replace(request, ask=replace(request.ask, scopes=(scope,))), f"for {scope}"
    for evidence in sorted(SVIDS - {request.subject.evidence}):
        if request.subject.source is Source.SPIFFE and request.proved <= provable(Source.SPIFFE, evidence):
            yield replace(request, subject=replace(request.subject, evidence=evidence)), f"with {evidence}"
    for door in sorted(VOCABULARIES[request.subject.source].doors - {request.ask.door}):
        if request.ask.grant_type in GRANTS_AT[door]:
            yield replace(request, ask=replace(request.ask, door=door)), f"at {door}"


def _somebody_else(subject: PolicySubject) -> PolicySubject:
    """One whose name differs in its last part."""
    if subject.source is Source.SPIFFE and subject.spiffe_id is not None:
        path = subject.spiffe_id.path.rpartition("/")[0]
        return replace(subject, spiffe_id=SpiffeId(subject.spiffe_id.trust_domain, f"{path}/{_ELSE}"))
    if subject.url is not None:
        return replace(subject, url=f"{subject.url.rpartition('/')[0]}/{_ELSE}")
    return replace(subject, subject=_ELSE)
