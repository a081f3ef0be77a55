"""What a change of policy means: exactly what asking the engine before and after would show, for everybody."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.terms import Ask
from bridge.policy import cells
from bridge.policy.comparison import ways
from bridge.policy.compile import compile_file
from bridge.policy.diff import Change, PolicyDiff
from bridge.policy.document import DocumentFile, SpiffeFile
from bridge.policy.evaluate import PolicySet
from bridge.policy.findings import Report
from bridge.policy.introspection_diff import introspection_changes
from bridge.policy.pattern import address_of, spiffe_address, spiffe_id_pattern, url_pattern
from bridge.policy.permits import Naming, Permit, Question, Way, answer, permit_of
from bridge.policy.rule import Rule
from bridge.policy.terms import PolicyDefaults
from bridge.policy.ties import check_ties
from bridge.policy.vocabulary import GRANTS_AT, provable
from tests.unit.policy.policy_folders import LEDGER, Policies, document, rule
from tests.unit.policy.test_properties import CATALOGUE, HOMES, Spec, _asks, _rules, _subjects, policy_of


def is_about(change: Change, subject: PolicySubject) -> bool:
    """Whether the subject, with whoever acts for it, is one of those whom the change names."""
    if change.source is not subject.source or change.evidence is not subject.evidence:
        return False
    address = address_of(subject)
    pattern_of = spiffe_id_pattern if change.source is Source.SPIFFE else url_pattern
    assert address is not None
    who, actor = change.who, change.who.actor
    if not pattern_of(who.pattern).matches(address) or any(pattern_of(no).matches(address) for no in who.but_not):
        return False
    if change.source is Source.SPIFFE or subject.spiffe_id is None:
        return actor.pattern is None
    acting = spiffe_address(subject.spiffe_id)
    if actor.pattern is None or not spiffe_id_pattern(actor.pattern).matches(acting):
        return False
    return not any(spiffe_id_pattern(no).matches(acting) for no in actor.but_not)


def check(before: PolicySet, after: PolicySet, subject: PolicySubject, scopes: Sequence[tuple[str, str]]) -> None:
    """Hold all that is told about the subject against the answers of the engine."""
    mine = [change for change in PolicyDiff(before, after).changes() if is_about(change, subject)]
    for change in mine:
        for grant_type in change.grant_types:
            way = Way(change.evidence, change.door, grant_type)
            question = change.difference.question
            got = (answer(policy, subject, way, question).permit for policy in (before, after))
            told = (filled(permit, subject) for permit in (change.difference.before, change.difference.after))
            assert tuple(got) == tuple(told), change
    for way in ways(subject.source, acted=subject.source is not Source.SPIFFE and subject.spiffe_id is not None):
        if way.evidence is not subject.evidence:
            continue
        for scope, resource in scopes:
            question = Question(Naming.SCOPE, (scope,), (resource,))
            one, other = (answer(policy, subject, way, question).permit for policy in (before, after))
            told = [c for c in mine if c.difference.question == question and is_in(c, way)]
            assert bool(told) == (one != other), (way, question, told)


def filled(permit: Permit | None, subject: PolicySubject) -> Permit | None:
    """What is told of a whole pattern, as it is for one whom it stands for."""
    if permit is None or subject.url is None:
        return permit
    host, *path = subject.url.removeprefix("https://").split("/")
    names = {f"{{host label {n}}}": label for n, label in enumerate(host.split("."), 1)}
    names |= {f"{{path segment {n}}}": segment for n, segment in enumerate(path, 1)}
    uris = (re.sub(r"\{[a-z ]+[0-9]+\}", lambda hole: names[hole[0]], uri) for uri in permit.redirect_uris)
    return replace(permit, redirect_uris=tuple(uris))


def is_in(change: Change, way: Way) -> bool:
    return (change.evidence, change.door) == (way.evidence, way.door) and way.grant_type in change.grant_types


# --- laws ---------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(_rules, _rules, _subjects)
def test_what_is_told_of_an_identity_is_what_it_gains_and_loses(
    one: list[Spec], other: list[Spec], subject: PolicySubject
) -> None:
    before, after = policy_of(one), policy_of(other)
    check(before, after, subject, tuple(HOMES.items()))


@settings(max_examples=150, deadline=None)
@given(_rules, _rules, _subjects, _asks)
def test_a_request_that_is_answered_otherwise_is_never_passed_over(
    one: list[Spec], other: list[Spec], subject: PolicySubject, ask: Ask
) -> None:
    """Any request: for one scope, for several, for a resource, for nothing."""
    if ask.grant_type not in GRANTS_AT[ask.door]:
        return
    before, after = policy_of(one), policy_of(other)
    proved = provable(subject.source, subject.evidence)
    got = [permit_of(policy.decide(subject, ask, proved=proved)) for policy in (before, after)]
    if got[0] == got[1]:
        return
    way = Way(subject.evidence, ask.door, ask.grant_type)
    assert [c for c in PolicyDiff(before, after).changes() if is_about(c, subject) and is_in(c, way)]


@settings(max_examples=100, deadline=None)
@given(_rules.flatmap(lambda specs: st.tuples(st.just(specs), st.permutations(specs))))
def test_order_and_names_of_rules_are_no_change(orders: tuple[list[Spec], list[Spec]]) -> None:
    one, other = orders
    renamed = [Spec(**{**spec.__dict__, "id": f"z-{spec.id}"}) for spec in other if spec.effect != "ask"]
    kept = [spec for spec in other if spec.effect == "ask"]
    assert list(PolicyDiff(policy_of(one), policy_of([*renamed, *kept])).changes()) == []


# Documents: whose URL, and who acts for it; denies of the trust domain follow its workloads there.
_url = st.sampled_from(
    ["https://a.x.example/c", "https://*.x.example/c", "https://a.x.example/*", "https://*.x.example/**"]
)
_actor = st.sampled_from(["spiffe://td/x", "spiffe://td/*", "spiffe://td/x/**", "spiffe://td/*/y", "spiffe://td/**"])
_document_rule = st.fixed_dictionaries(
    {
        "effect": st.sampled_from(["allow", "allow", "ask", "deny"]),
        "url": _url,
        "actors": st.lists(_actor, max_size=2, unique=True),
        "offer": st.sampled_from([("a.read",), ("a.read", "a.write"), ("b.read",)]),
        "redirect": st.sampled_from([None, None, "https://{1}.x.example/cb", "https://q.x.example/cb"]),
        "grant": st.sampled_from([None, "client_credentials"]),
    }
)
_deny_rule = st.fixed_dictionaries({"path": st.sampled_from(["/x", "/*/y", "/x/**"]), "scope": st.booleans()})
_document_policies = st.tuples(st.lists(_document_rule, min_size=1, max_size=3), st.lists(_deny_rule, max_size=2))
_acted_subjects = st.builds(
    lambda host, path, actor: document(
        f"https://{host}.x.example/{path}",
        spiffe_id=actor,
        evidence=None if actor is None else EvidenceKind.JWT_SVID,
    ),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["c", "d", "c/e", "c/"]),
    st.sampled_from([None, "spiffe://td/x", "spiffe://td/z", "spiffe://td/x/y", "spiffe://td/z/y", "spiffe://td/x/z"]),
)


def documents_policy(rules: Sequence[dict[str, Any]], denies: Sequence[dict[str, Any]]) -> PolicySet:
    """As many of the rules as load together. All are broad: it is not what this is about."""
    kept: list[dict[str, object]] = []
    for number, one in enumerate(rules):
        when = {"url": one["url"]} | ({"spiffe_id": one["actors"]} if one["actors"] else {})
        written = {"id": f"d{number}", "why": "x", "effect": one["effect"], "broad": True, "when": when}
        if one["effect"] != "deny":
            grant: dict[str, object] = {"resources": [HOMES[one["offer"][0]]], "scopes": list(one["offer"])}
            grant |= {"redirect_uris": [one["redirect"]]} if one["redirect"] else {}
            grant |= {"grant_types": [one["grant"]]} if one["grant"] else {}
            written["grant"] = grant
        if _compiled_documents([*kept, written])[1]:
            kept.append(written)
    refused = [
        {"id": f"n{number}", "why": "x", "effect": "deny", "broad": True}
        | {"when": {"path": one["path"]} | ({"scope": "a.write"} if one["scope"] else {})}
        for number, one in enumerate(denies)
    ]
    workloads = {"version": 1, "source": "spiffe", "trust_domain": "td", "rule": refused}
    report = Report("td.toml", "")
    also = compile_file("td.toml", SpiffeFile.model_validate(workloads), CATALOGUE, PolicyDefaults(), report)
    return PolicySet((*_compiled_documents(kept)[0], *also), CATALOGUE, "v")


def _compiled_documents(rules: Sequence[dict[str, object]]) -> tuple[tuple[Rule, ...], bool]:
    written = {"version": 1, "source": "metadata-document", "rule": list(rules)}
    report = Report("metadata-documents.toml", "")
    found = compile_file(
        "metadata-documents.toml", DocumentFile.model_validate(written), CATALOGUE, PolicyDefaults(), report
    )
    check_ties(found, report)
    return found, not report.failed


@settings(max_examples=150, deadline=None)
@given(_document_policies, _document_policies, _acted_subjects)
def test_what_is_told_of_a_document_and_who_acts_for_it_is_what_it_gains_and_loses(
    one: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    other: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    subject: PolicySubject,
) -> None:
    check(documents_policy(*one), documents_policy(*other), subject, tuple(HOMES.items()))


# --- what it says -------------------------------------------------------------------------------------------------


def told(policies: Policies, before: str, after: str, file: str = "example.org.toml") -> list[Change]:
    one, other = policies.load(before, file), policies.load(after, file)
    return [change for change in PolicyDiff(one, other).changes() if change.door is not Door.REGISTER]


def in_words(changes: Sequence[Change]) -> set[tuple[str, str, str, str]]:
    """Kind, pattern, what is named, evidence."""
    return {
        (c.kind, c.who.pattern, " ".join(c.difference.question.scopes) or c.difference.question.naming, c.evidence)
        for c in changes
    }


EXACT = "spiffe://example.org/ns/web/sa/api"
ALL_WEB = "spiffe://example.org/ns/web/sa/*"


def test_a_scope_that_is_added_is_gained_by_all_whom_the_rule_names(policies: Policies) -> None:
    after = rule(scopes='"ledger.read", "ledger.write"')
    changes = told(policies, rule(), after)
    kinds = {("gains", ALL_WEB, "ledger.write", evidence) for evidence in ("jwt-svid", "x509-svid")}
    assert in_words(changes) == kinds
    assert {change.rules_after for change in changes} == {("r",)}
    assert in_words(told(policies, after, rule())) == {("loses", *one[1:]) for one in kinds}


@pytest.mark.parametrize(
    ("before", "after", "terms"),
    [
        (rule(), rule(more='token_ttl = "10m"'), ("token_ttl",)),
        (rule(), rule(bind="any"), ("bind",)),
        (rule(), rule(more='replay = "once"'), ("replay",)),
        (rule(), rule(more='lease = "2h"'), ("lease",)),
        (rule(), rule(more='client = "instance"'), ("client",)),
        (rule(), rule(more='client = { shared = "web" }'), ("client",)),
        (rule(), rule(more='asserts = ["client_name"]'), ("asserts",)),
        (rule(), rule(more="require_par = true"), ("require_par",)),
        (rule(), rule(more='redirect_uris = ["https://{1}.example.org/cb"]'), ("redirect_uris",)),
        (rule(), rule(effect="ask"), ("effect", "approval")),
        (rule(effect="ask"), rule("s", effect="ask"), ("approval",)),
        (rule(effect="ask"), rule(effect="ask", more='token_ttl = "10m"'), ("token_ttl", "approval")),
    ],
)
def test_other_terms_are_told_by_name(policies: Policies, before: str, after: str, terms: tuple[str, ...]) -> None:
    """A rule of another name is another approval, and no change for anybody who needs none."""
    changes = told(policies, before, after)
    assert {change.kind for change in changes} == {"changes"}
    assert {change.difference.terms for change in changes} == {terms}
    assert told(policies, before, before) == []


def test_the_filled_place_of_a_redirect_uri_is_told_and_not_the_made_up_name(policies: Policies) -> None:
    here = 'path = "/ns/*/sa/*"'
    one, two = (rule(when=here, more=f'redirect_uris = ["https://{{{n}}}.example.org/cb"]') for n in (1, 2))
    (uris,) = {c.difference.after.redirect_uris for c in told(policies, one, two) if c.difference.after}
    assert uris == ("https://{path segment 4}.example.org/cb",)


def test_one_rule_cut_in_two_is_told_though_no_single_scope_is_lost(policies: Policies) -> None:
    """Rules are never added up: a request for both scopes is refused now."""
    more = '"ledger.read", "mail.send"'
    both = rule(scopes=more, resources='"https://ledger.example.org", "https://mail.example.org"')
    mail = rule("m", scopes='"mail.send"', resources='"https://mail.example.org"')
    changes = told(policies, both, rule() + mail)
    assert {(c.kind, c.difference.question.naming, c.difference.question.scopes) for c in changes} == {
        ("loses", Naming.TOGETHER, ("ledger.read", "mail.send")),
        ("loses", Naming.RESOURCE, ()),
    }


def test_what_no_longer_goes_together_does_not_hide_behind_a_scope_that_is_lost(policies: Policies) -> None:
    three = rule(
        scopes='"ledger.read", "ledger.write", "mail.send"',
        resources='"https://ledger.example.org", "https://mail.example.org"',
    )
    mail = rule("m", scopes='"mail.send"', resources='"https://mail.example.org"')
    named = {(c.kind, c.difference.question.scopes) for c in told(policies, three, rule() + mail)}
    assert ("loses", ("ledger.write",)) in named
    assert ("loses", ("ledger.read", "mail.send")) in named


def test_a_second_resource_is_told_to_break_requests_that_name_nothing(policies: Policies) -> None:
    mail = rule("m", scopes='"mail.send"', resources='"https://mail.example.org"')
    changes = told(policies, rule(), rule() + mail)
    assert {(c.kind, c.difference.question.naming) for c in changes} == {
        ("gains", Naming.SCOPE),
        ("loses", Naming.NOTHING),
    }


def test_a_deny_is_told_of_those_it_meets_and_names_itself(policies: Policies) -> None:
    deny = rule("no", effect="deny", when='path = "/ns/*/sa/api"')
    changes = told(policies, rule(), rule() + deny)
    assert in_words(changes) == {("loses", EXACT, "ledger.read", e) for e in ("jwt-svid", "x509-svid")}
    assert {(c.rules_before, c.rules_after) for c in changes} == {(("r",), ("no",))}


def test_a_wider_pattern_is_told_with_those_who_had_it_before(policies: Policies) -> None:
    wide = rule(when='path = "/ns/*/sa/*"')
    (who,) = {change.who for change in told(policies, rule(), wide)}
    assert (who.pattern, who.but_not) == ("spiffe://example.org/ns/*/sa/*", (ALL_WEB,))


def test_a_lost_deny_of_a_trust_domain_is_told_at_the_documents_too(policies: Policies) -> None:
    acting = 'url = "https://a.example.org/*", spiffe_id = "spiffe://example.org/ns/*"'
    policies.rules(rule("doc", when=acting, bind=None), "metadata-documents.toml")
    deny = rule("no", effect="deny", when='path = "/ns/bad"')
    changes = told(policies, rule() + deny, rule())
    (who,) = {change.who for change in changes if change.source is Source.METADATA_DOCUMENT}
    assert (who.pattern, who.actor.pattern) == ("https://a.example.org/*", "spiffe://example.org/ns/bad")


def test_statements_and_pushed_clients_are_compared_too(policies: Policies) -> None:
    issuer = 'issuer = "https://ci.example.org"'
    empty, file = "", "software-statements.toml"
    (who,) = {change.who for change in told(policies, empty, rule(when=issuer, bind=None), file)}
    assert who.pattern == "https://ci.example.org *"
    (who,) = {change.who for change in told(policies, empty, rule("p", when="", bind=None), "pushed.toml")}
    assert who.pattern == "pushed"


def test_who_may_introspect_is_compared_too(policies: Policies) -> None:
    one = policies.load(rule()).catalogue
    other = replace(one, introspectors={LEDGER: (spiffe_id_pattern("spiffe://example.org/ns/*/api"),)})
    told = {(c.pattern, c.but_not, c.gained) for c in introspection_changes(one, other)}
    assert told == {
        ("spiffe://example.org/ns/ledger/**", ("spiffe://example.org/ns/*/api",), False),
        ("spiffe://example.org/ns/*/api", ("spiffe://example.org/ns/ledger/**",), True),
    }
    assert list(introspection_changes(one, one)) == []


def test_patterns_that_cut_each_other_too_often_are_refused_and_not_guessed(
    policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = policies.load(rule()), policies.load(rule(when='path = ["/ns/*/sa/a", "/ns/b/sa/*"]'))
    assert list(PolicyDiff(one, other).changes())
    monkeypatch.setattr(cells, "MOST_CELLS", 2)
    with pytest.raises(cells.TooIntricate):
        list(PolicyDiff(one, other).changes())
