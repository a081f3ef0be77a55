"""Laws of the policy engine, and a naive evaluator that the indexed one must agree with.

The evaluator here is written from the contract and shares no code with the engine: it looks at every
rule, one after the other, as a person would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask, Decision, Denial, Effect
from bridge.policy.catalogue import Catalogue, compile_catalogue
from bridge.policy.compile import compile_file
from bridge.policy.document import CatalogueFile, SpiffeFile
from bridge.policy.evaluate import PolicySet
from bridge.policy.findings import Report
from bridge.policy.rule import Rule
from bridge.policy.terms import PolicyDefaults
from bridge.policy.ties import check_ties

HOMES = {"a.read": "https://a", "a.write": "https://a", "b.read": "https://b"}
CATALOGUE_FILE = CatalogueFile.model_validate(
    {
        "version": 1,
        "resources": {
            "https://a": {"description": "a", "scopes": {"a.read": "r", "a.write": "w"}},
            "https://b": {"description": "b", "scopes": {"b.read": "r"}},
        },
    }
)
CATALOGUE: Catalogue = compile_catalogue(CATALOGUE_FILE, Report("catalogue.toml", ""))


@dataclass(frozen=True)
class Spec:
    """A rule as the tests think of it; the id is given by its place."""

    effect: str
    paths: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    doors: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    bind: str = "none"
    ttl: int = 60
    id: str = field(default="", compare=False)

    def written(self) -> dict[str, object]:
        when: dict[str, object] = {"path": list(self.paths)}
        when |= {"evidence": list(self.evidence)} if self.evidence else {}
        when |= {"door": list(self.doors)} if self.doors else {}
        found: dict[str, object] = {"id": self.id, "why": "x", "effect": self.effect, "broad": True, "when": when}
        if self.effect == "deny":
            when |= {"grant_type": list(self.grant_types)} if self.grant_types else {}
            when |= {"scope": list(self.scopes)} if self.scopes else {}
            when |= {"resource": list(self.resources)} if self.resources else {}
            return found
        grant = {"resources": list(self.resources), "scopes": list(self.scopes), "bind": self.bind}
        grant |= {"grant_types": list(self.grant_types)} if self.grant_types else {}
        return {**found, "grant": {**grant, "token_ttl": f"{self.ttl}s"}}


def compiled(specs: Sequence[Spec]) -> tuple[tuple[Rule, ...], bool]:
    """The rules, and whether they load."""
    written = {"version": 1, "source": "spiffe", "trust_domain": "td", "rule": [spec.written() for spec in specs]}
    report = Report("td.toml", "")
    rules = compile_file("td.toml", SpiffeFile.model_validate(written), CATALOGUE, PolicyDefaults(), report)
    check_ties(rules, report)
    return rules, not report.failed


def policy_of(specs: Sequence[Spec]) -> PolicySet:
    return PolicySet(compiled(specs)[0], CATALOGUE, "v")


# The naive evaluator.
def path_matches(pattern: str, path: str) -> bool:
    want, have = pattern.split("/")[1:], path.split("/")[1:]
    if want[-1] == "**":
        return len(have) >= len(want) and all(w in ("*", h) for w, h in zip(want[:-1], have, strict=False))
    return len(want) == len(have) and all(w in ("*", h) for w, h in zip(want, have, strict=True))


def weight_for(spec: Spec, path: str) -> int:
    """-1: the rule is not about this path."""
    weights = [sum(s not in ("*", "**") for s in p.split("/")[1:]) for p in spec.paths if path_matches(p, path)]
    return max(weights, default=-1)


def holds(spec: Spec, path: str, evidence: str, ask: Ask, *, grant: bool = True) -> bool:
    default = () if spec.effect == "deny" else ("client_credentials",)
    grant_types = spec.grant_types or default
    return (
        weight_for(spec, path) >= 0
        and (not spec.evidence or evidence in spec.evidence)
        and (not spec.doors or ask.door in spec.doors)
        and (not grant or not grant_types or ask.grant_type in grant_types)
    )


Answer = tuple[str, str | None, str | None, tuple[str, ...], tuple[str, ...]]


def naive(specs: Sequence[Spec], path: str, evidence: str, ask: Ask, proved: frozenset[BindingMethod]) -> Answer:
    """Effect, denial, rule (of an allow or ask), scopes, resources."""
    denies = [s for s in specs if s.effect == "deny" and holds(s, path, evidence, ask)]
    allows = [s for s in specs if s.effect != "deny" and holds(s, path, evidence, ask, grant=False)]
    if any(not d.scopes and not d.resources and not d.grant_types for d in denies) or not allows:
        return ("deny", "identity", None, (), ())
    allows = [s for s in allows if holds(s, path, evidence, ask)]
    if any(not d.scopes and not d.resources for d in denies) or not allows:
        return ("deny", "grant_type", None, (), ())
    no_scopes = {scope for d in denies for scope in d.scopes}
    no_resources = {resource for d in denies if not d.scopes for resource in d.resources}
    meant = set(ask.resources) or {HOMES[s] for s in ask.scopes if s in HOMES}
    if meant & no_resources:
        return ("deny", "resource", None, (), ())
    best = _best(allows, path, ask, no_scopes, no_resources)
    if isinstance(best, str):
        return ("deny", best, None, (), ())
    spec, scopes, resources = best
    if spec.bind == "jkt" and BindingMethod.JKT not in proved and ask.door is not Door.REGISTER:
        return ("deny", "proof", spec.id, scopes, resources)
    return (spec.effect, None, spec.id, scopes, resources)


Best = tuple[Spec, tuple[str, ...], tuple[str, ...]]


def _best(allows: list[Spec], path: str, ask: Ask, no_scopes: set[str], no_resources: set[str]) -> Best | str:
    bare = not ask.scopes and not ask.resources and ask.door is not Door.REGISTER
    failures: set[str] = set()
    for weight in sorted({weight_for(s, path) for s in allows}, reverse=True):
        level = sorted((s for s in allows if weight_for(s, path) == weight), key=lambda s: s.id)
        if bare and len({s.resources for s in level if len(set(s.resources)) == 1}) > 1:
            return "resource"
        for spec in level:
            got = _given(spec, ask, no_scopes, no_resources)
            if not isinstance(got, str):
                return (spec, *got)
            failures.add(got)
    # The farthest a rule got: a resource to name, then a scope, then a resource.
    return "resource" if "name" in failures else "scope" if "scope" in failures else "resource"


def _given(
    spec: Spec, ask: Ask, no_scopes: set[str], no_resources: set[str]
) -> tuple[tuple[str, ...], tuple[str, ...]] | str:
    resources = set(spec.resources) - no_resources
    scopes = {s for s in spec.scopes if s not in no_scopes and HOMES[s] in resources}
    audience = list(dict.fromkeys(ask.resources))
    if audience and not set(audience) <= resources:
        return "resource"
    if not audience and ask.scopes:
        if not set(ask.scopes) <= scopes:
            return "scope"
        audience = sorted({HOMES[s] for s in ask.scopes})
        if len(audience) > 1 and ask.door is not Door.REGISTER:
            return "name"
    if not audience:
        if not resources:
            return "resource"
        if ask.door is Door.REGISTER:
            return (tuple(sorted(scopes)), tuple(sorted({HOMES[s] for s in scopes}))) if scopes else "scope"
        if len(set(spec.resources)) > 1:
            return "name"
        audience = list(resources)
    usable = {s for s in scopes if HOMES[s] in audience}
    if not set(ask.scopes) <= usable or not usable:
        return "scope"
    return tuple(sorted(set(ask.scopes) or usable)), tuple(audience)


# What hypothesis makes: small alphabets, so that rules meet.
_path = st.lists(st.sampled_from(["x", "y", "*"]), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from(["/" + "/".join(parts), "/" + "/".join([*parts, "**"]), "/**"])
)
_paths = st.lists(_path, min_size=1, max_size=2, unique=True).map(tuple)
_some_evidence = st.sampled_from([(), (), ("jwt-svid",), ("x509-svid",)])
_some_doors = st.sampled_from([(), (), ("token",), ("par",), ("register",)])
_offers = st.sampled_from(
    [
        (("a.read",), ("https://a",)),
        (("a.read", "a.write"), ("https://a",)),
        (("a.write",), ("https://a",)),
        (("b.read",), ("https://b",)),
        (("a.read", "b.read"), ("https://a", "https://b")),
    ]
)
_granting = st.builds(
    lambda effect, paths, evidence, doors, grants, offer, bind, ttl: Spec(
        effect, paths, evidence, doors, grants, *offer, bind, ttl
    ),
    st.sampled_from(["allow", "allow", "ask"]),
    _paths,
    _some_evidence,
    _some_doors,
    st.sampled_from([(), (), ("authorization_code",), ("authorization_code", "client_credentials")]),
    _offers,
    st.sampled_from(["none", "jkt"]),
    st.sampled_from([60, 120]),
)
_taken = st.sampled_from([((), ()), (("a.read",), ()), (("a.write", "b.read"), ()), ((), ("https://a",))])
_deny = st.builds(
    lambda paths, evidence, doors, grants, taken: Spec("deny", paths, evidence, doors, grants, *taken),
    _paths,
    _some_evidence,
    _some_doors,
    st.sampled_from([(), (), ("client_credentials",), ("authorization_code",)]),
    _taken,
)


def _loadable(specs: list[Spec]) -> list[Spec]:
    """As many of the rules as load together."""
    kept: list[Spec] = []
    for spec in specs:
        named = Spec(**{**spec.__dict__, "id": f"r{len(kept)}"})
        if compiled([*kept, named])[1]:
            kept.append(named)
    return kept


_rules = st.lists(st.one_of(_granting, _granting, _deny), min_size=1, max_size=6).map(_loadable)
_subjects = st.builds(
    lambda parts, evidence: PolicySubject(
        Source.SPIFFE, EvidenceKind(evidence), spiffe_id=SpiffeId.parse("spiffe://td/" + "/".join(parts))
    ),
    st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=4),
    st.sampled_from(["jwt-svid", "x509-svid"]),
)
_asks = st.builds(
    Ask,
    st.sampled_from([Door.TOKEN, Door.PAR, Door.REGISTER]),
    st.sampled_from(["client_credentials", "client_credentials", "authorization_code"]),
    st.lists(st.sampled_from([*HOMES, "unknown"]), max_size=2).map(tuple),
    st.lists(st.sampled_from(["https://a", "https://b", "https://c"]), max_size=2).map(tuple),
)
_proofs = st.sampled_from([frozenset[BindingMethod](), frozenset({BindingMethod.JKT})])
ALL = frozenset(BindingMethod)


def refused(decision: Decision) -> bool:
    return decision.effect is Effect.DENY


@settings(max_examples=400, deadline=None)
@given(_rules, _subjects, _asks, _proofs)
def test_the_indexed_decision_is_the_naive_one(
    specs: list[Spec], subject: PolicySubject, ask: Ask, proved: frozenset[BindingMethod]
) -> None:
    decision = policy_of(specs).decide(subject, ask, proved=proved)
    assert subject.spiffe_id is not None
    effect, denial, rule, scopes, resources = naive(specs, subject.spiffe_id.path, subject.evidence, ask, proved)
    assert (decision.effect, decision.denial) == (effect, denial)
    assert (decision.scopes, decision.resources) == (scopes, resources)
    if rule is not None:
        assert decision.rule == rule


@settings(max_examples=150, deadline=None)
@given(_rules.flatmap(lambda specs: st.tuples(st.just(specs), st.permutations(specs))), _subjects, _asks, _proofs)
def test_shuffling_rules_changes_nothing(
    orders: tuple[list[Spec], list[Spec]], subject: PolicySubject, ask: Ask, proved: frozenset[BindingMethod]
) -> None:
    one, other = (policy_of(specs) for specs in orders)
    assert one.decide(subject, ask, proved=proved) == other.decide(subject, ask, proved=proved)
    assert one.client_for(subject) == other.client_for(subject)


@settings(max_examples=250, deadline=None)
@given(_rules, _deny, _subjects, _asks, _proofs)
def test_adding_a_deny_never_allows_more(
    specs: list[Spec], deny: Spec, subject: PolicySubject, ask: Ask, proved: frozenset[BindingMethod]
) -> None:
    """What was refused stays refused; only a missing proof may stop mattering, with the rule that wanted it."""
    before = policy_of(specs).decide(subject, ask, proved=ALL)
    more = [*specs, Spec(**{**deny.__dict__, "id": "added"})]
    after = policy_of(more).decide(subject, ask, proved=ALL)
    assert not refused(before) or refused(after)


@settings(max_examples=250, deadline=None)
@given(_rules, _granting, _subjects, _asks)
def test_adding_an_allow_never_turns_an_allow_into_a_deny(
    specs: list[Spec], allow: Spec, subject: PolicySubject, ask: Ask
) -> None:
    """For requests that name what they want: one that names nothing may have to name a resource once a
    second rule offers it another one. Whether the key of a `bind` is proved is not the rules' doing."""
    added = Spec(**{**allow.__dict__, "effect": "allow", "id": "added"})
    before = policy_of(specs).decide(subject, ask, proved=ALL)
    if refused(before) or not compiled([*specs, added])[1]:
        return
    after = policy_of([*specs, added]).decide(subject, ask, proved=ALL)
    if ask.scopes or ask.resources or ask.door is Door.REGISTER:
        assert not refused(after)
    else:
        assert not refused(after) or after.because == "name a resource"


@settings(max_examples=250, deadline=None)
@given(_rules, _subjects, _asks, _proofs)
def test_explain_agrees_with_decide(
    specs: list[Spec], subject: PolicySubject, ask: Ask, proved: frozenset[BindingMethod]
) -> None:
    policy = policy_of(specs)
    decision = policy.decide(subject, ask, proved=proved)
    explanation = policy.explain(subject, ask, proved=proved)
    assert explanation.decision == decision
    if decision.denial is not Denial.PROOF:
        assert explanation.effect is decision.effect
    told = {other.rule: other.because for other in explanation.others}
    assert told.keys() == {spec.id for spec in specs} - {decision.rule}
    by_id = {spec.id: spec for spec in specs}
    assert subject.spiffe_id is not None
    reached = [other.reached for other in explanation.others if by_id[other.rule].effect != "deny"]
    assert reached == sorted(reached, reverse=True)
    for rule, because in told.items():
        # A rule that is said not to match does not, and one whose conditions all held was outdone.
        matches = holds(by_id[rule], subject.spiffe_id.path, subject.evidence, ask)
        unmet = because.startswith(("the path", "evidence is", "the door", "the grant type"))
        assert matches is not unmet
        if because.startswith("it covers the request"):
            assert decision.rule is not None
            assert weight_for(by_id[rule], subject.spiffe_id.path) <= weight_for(
                by_id[decision.rule], subject.spiffe_id.path
            )


@settings(max_examples=100, deadline=None)
@given(_rules, _subjects, _asks)
def test_a_rule_alone_gives_what_it_gives_among_others(specs: list[Spec], subject: PolicySubject, ask: Ask) -> None:
    """Terms are never added up: the deciding rule, alone with the denies, decides the same."""
    decision = policy_of(specs).decide(subject, ask, proved=ALL)
    if refused(decision):
        return
    alone = [spec for spec in specs if spec.effect == "deny" or spec.id == decision.rule]
    again = policy_of(alone).decide(subject, ask, proved=ALL)
    assert (again.rule, again.scopes, again.resources) == (decision.rule, decision.scopes, decision.resources)
