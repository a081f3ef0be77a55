"""Explanations: the answer, and the first condition that each other rule did not meet."""

from __future__ import annotations

import pytest

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject
from bridge.model.terms import Ask, Effect
from bridge.policy.explain import client_id_of
from bridge.registration.denials import refusal_of
from tests.unit.policy.policy_folders import HEADERS, LEDGER, MAIL, Policies, document, rule, wants, workload


@pytest.mark.parametrize(
    ("other", "because"),
    [
        (rule("o", when='path = "/ns/mail/sa/*"'), "the path /ns/web/sa/api does not match /ns/mail/sa/*"),
        (rule("o", when='path = "/ns/**", evidence = "x509-svid"', bind=None), "evidence is jwt-svid"),
        (rule("o", when='path = "/ns/**", door = "par"'), "the door is token, the rule is about par"),
        (
            rule("o", when='path = "/ns/**"', more='grant_types = "refresh_token"'),
            "the grant type is client_credentials, the rule is about refresh_token",
        ),
        (
            rule("o", when='path = "/ns/**"', resources=f'"{MAIL}"', scopes='"mail.send"'),
            f"it does not give the resource {LEDGER}",
        ),
        (rule("o", when='path = "/ns/**"', scopes='"ledger.write"'), "it does not give the scope ledger.read"),
        (rule("o", when='path = "/ns/**"', more='token_ttl = "1m"'), "but weighs 1; 'r' weighs 3"),
        (rule("s"), "equal terms and weight; 'r' comes first by name"),
        (rule("o", effect="deny", when='path = "/ns/**", door = "par"'), "the door is token"),
        (rule("o", effect="deny", when='path = "/ns/**", scope = "ledger.write"'), "it takes away ledger.write"),
    ],
)
def test_each_other_rule_tells_the_first_condition_that_did_not_hold(
    policies: Policies, other: str, because: str
) -> None:
    policy = policies.load(rule() + other)
    explanation = policy.explain(workload(), wants("ledger.read", resources=(LEDGER,)), proved=frozenset())
    assert (explanation.effect, explanation.decision.rule) == (Effect.ALLOW, "r")
    assert [because in told.because for told in explanation.others] == [True]


def test_a_denied_request_tells_what_would_have_allowed_it(policies: Policies) -> None:
    deny = rule("no", effect="deny", when='path = "/ns/**"') + rule(
        "also", effect="deny", when='path = "/**"', key="broad = true"
    )
    explanation = policies.load(rule() + deny).explain(workload(), wants(), proved=frozenset())
    assert explanation.decision.rule == "no"
    assert {told.rule: told.because for told in explanation.others} == {
        "r": "all its conditions hold, but 'no' denies",
        "also": "it denies too, but 'no' comes first",
    }
    cut = rule("no", effect="deny", when='path = "/ns/**", scope = "ledger.read"')
    told = policies.load(rule() + cut).explain(workload(), wants("ledger.read"), proved=frozenset()).others
    assert [(t.rule, t.because) for t in told] == [
        ("r", "it would cover the request, but denies take away what is asked")
    ]


def test_another_trust_domain_is_the_first_thing_that_differs(policies: Policies) -> None:
    policy = policies.load(rule())
    subject = workload("spiffe://example.net/ns/web/sa/api")
    explanation = policy.explain(subject, wants(), proved=frozenset())
    assert explanation.effect is Effect.DENY
    assert [o.because for o in explanation.others] == ["the trust domain is example.net, the rule is about example.org"]


def test_a_missing_proof_is_shown_as_allow_with_its_bind(policies: Policies) -> None:
    policy = policies.load(rule(bind="jkt"))
    explanation = policy.explain(workload(), wants(), proved=frozenset())
    assert (explanation.effect, explanation.lacks_proof, explanation.bind) == (Effect.ALLOW, True, "jkt")
    whole = policy.explain(workload(), wants(), proved=frozenset({BindingMethod.JKT}))
    assert (whole.effect, whole.lacks_proof) == (Effect.ALLOW, False)
    asked = policies.load(rule(bind="jkt", effect="ask")).explain(workload(), wants(), proved=frozenset())
    assert asked.effect is Effect.ASK


def test_the_nearest_rules_come_first(policies: Policies) -> None:
    far = rule("a-far", when='path = "/x"')
    near = rule("z-near", when='path = "/ns/**", door = "par"')
    explanation = policies.load(far + near).explain(workload(), wants(), proved=frozenset())
    assert [told.rule for told in explanation.others] == ["z-near", "a-far"]


def order(policies: Policies, rules: str, *scopes: str, subject: PolicySubject | None = None) -> list[str]:
    """The ids of the other rules as they are told."""
    explanation = policies.load(rules).explain(subject or workload(), wants(*scopes), proved=frozenset())
    return [told.rule for told in explanation.others]


def test_rules_that_miss_the_path_come_by_the_segments_they_fit(policies: Policies) -> None:
    rules = "".join(
        rule(name, when=f'path = "{path}"')
        for name, path in (("a", "/vm/x"), ("b", "/ns/*/sa/web"), ("c", "/ns/mail/sa/*"), ("d", "/ns/web/sa/web"))
    )
    assert order(policies, rules) == ["d", "b", "c", "a"]


def test_of_equally_near_names_the_rule_that_lacks_nothing_else_comes_first(policies: Policies) -> None:
    rules = (
        rule("a", when='path = "/ns/mail/sa/*", evidence = "x509-svid"', bind=None)
        + rule("b", when='path = "/ns/agents/sa/*"', resources=f'"{MAIL}"', scopes='"mail.send"')
        + rule("z", when='path = "/ns/shop/sa/*"')
    )
    assert order(policies, rules, "ledger.read") == ["z", "a", "b"]
    assert order(policies, rules, "mail.send") == ["b", "a", "z"]


def test_rules_of_another_trust_domain_come_after_those_of_the_own(policies: Policies) -> None:
    other = HEADERS["example.org.toml"].replace("example.org", "a.example")
    policies.write("a.example.toml", other + rule("a", when='path = "/ns/web/sa/api"'))
    assert order(policies, rule("z", when='path = "/vm/x"')) == ["z", "a"]
    foreign = workload("spiffe://a.example/ns/web/sa/x")
    assert order(policies, rule("z", when='path = "/vm/x"'), subject=foreign) == ["a", "z"]


def test_hosts_of_different_length_are_compared_label_by_label(policies: Policies) -> None:
    policies.rules(
        rule("a", when='url = "https://b.example/*"', bind=None)
        + rule("b", when='url = "https://x.apps.a.example/*"', bind=None)
        + rule("c", when='url = "https://a.example/x"', bind=None),
        "metadata-documents.toml",
    )
    assert order(policies, "", subject=document("https://apps.a.example/c")) == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("deny", "scope", "expected"),
    [
        # It does not hold: last, however near its name.
        ('path = "/ns/web/sa/api", door = "par"', "ledger.write", ["far", "d"]),
        ('path = "/ns/web/sa/apis"', "ledger.write", ["far", "d"]),
        # It holds, and takes away something else.
        ('path = "/ns/web/sa/api", scope = "mail.send"', "ledger.write", ["far", "d"]),
        (f'path = "/ns/web/sa/api", resource = "{MAIL}"', "ledger.write", ["far", "d"]),
        # It holds for what is asked, behind another deny: without that one it would decide.
        ('path = "/ns/web/sa/api", scope = "ledger.write"', "ledger.write", ["d", "far"]),
        (f'path = "/ns/web/sa/api", resource = "{LEDGER}"', "ledger.write", ["d", "far"]),
        ('path = "/ns/web/sa/api"', "ledger.write", ["d", "far"]),
    ],
)
def test_denies_without_bearing_on_the_answer_come_last(
    policies: Policies, deny: str, scope: str, expected: list[str]
) -> None:
    first = rule("a-first", effect="deny", when='path = "/ns/web/sa/*"') + rule(
        "a-first-by-weight", effect="deny", when='path = ["/ns/web/sa/*", "/ns/web/sa/api"]'
    )
    rules = first + rule("far", when='path = "/vm/x"') + rule("d", effect="deny", when=deny)
    told = [name for name in order(policies, rules, scope) if name in ("d", "far")]
    assert told == expected


def test_on_an_allow_no_deny_has_a_bearing(policies: Policies) -> None:
    deny = rule("d", effect="deny", when='path = "/ns/**", scope = "ledger.write"')
    assert order(policies, rule() + deny + rule("far", when='path = "/vm/x"'), "ledger.read") == ["far", "d"]


@pytest.mark.parametrize(
    ("subject", "ask", "because"),
    [
        (workload("/vm/x"), wants(), "no rule of source spiffe names it"),
        (
            workload("spiffe://other.org/ns/web/sa/api"),
            wants(),
            "no policy file has a rule for the trust domain other.org",
        ),
        (workload(), wants("ledger.write"), "no one rule covers all of: ledger.write"),
        (workload(), wants("ledger.read", "nope"), "the scope nope is not in the catalogue"),
        (workload(), wants("nope", resources=(LEDGER,)), "the scope nope is not in the catalogue"),
        (workload(), wants(resources=(MAIL,)), f"no rule covers {MAIL}"),
        (workload(), wants(resources=("https://nope",)), "the resource https://nope is not in the catalogue"),
    ],
)
def test_what_does_not_exist_at_all_is_said_to_be_so(
    policies: Policies, subject: PolicySubject, ask: Ask, because: str
) -> None:
    decision = policies.load(rule()).decide(subject, ask, proved=frozenset())
    assert (decision.effect, decision.because) == (Effect.DENY, because)


@pytest.mark.parametrize(
    ("subject", "ask", "public"),
    [
        (workload("spiffe://other.org/ns/web/sa/api"), wants(), None),
        (workload(), wants("nope"), None),
        (workload(), wants(resources=("https://nope",)), None),
        (workload("/both"), wants(), "name a resource"),
    ],
)
def test_what_does_not_exist_is_for_the_log_and_never_for_the_client(
    policies: Policies, subject: PolicySubject, ask: Ask, public: str | None
) -> None:
    """Only what a client can do about a refusal goes to the wire."""
    both = rule("both", when='path = "/both"', resources=f'"{LEDGER}", "{MAIL}"', scopes='"ledger.read", "mail.send"')
    error = refusal_of(policies.load(rule() + both).decide(subject, ask, proved=frozenset()))
    assert error.public == (public or type(error).public)
    assert "policy file" not in error.public
    assert "catalogue" not in error.public


def test_the_rules_of_other_sources_are_left_out_but_denies_that_follow_are_not(policies: Policies) -> None:
    policies.rules(
        rule("doc", when='url = "https://a.example/*", spiffe_id = "spiffe://example.org/**"', bind=None),
        "metadata-documents.toml",
    )
    policy = policies.load(rule("allow") + rule("no", effect="deny", when='path = "/ns/bad"'))
    ask = wants(door=Door.PAR, grant_type="authorization_code")
    url = "https://a.example/c"
    alone = policy.explain(document(url), ask, proved=frozenset())
    assert (alone.decision.rule, alone.others) == ("doc", ())
    acting = document(url, spiffe_id="spiffe://example.org/ns/bad", evidence=EvidenceKind.JWT_SVID)
    told = policy.explain(acting, ask, proved=frozenset())
    assert (told.decision.rule, [other.rule for other in told.others]) == ("no", ["doc"])
    elsewhere = policy.explain(document("https://b.example/c?x"), ask, proved=frozenset())
    assert ["no pattern can match" in other.because for other in elsewhere.others] == [True]


def test_the_client_id_is_told_where_policy_alone_decides_it(policies: Policies) -> None:
    policy = policies.load(rule(more='client = { shared = "fleet" }'))
    decision = policy.decide(workload(), wants(), proved=frozenset())
    assert client_id_of(workload(), decision.client) == "fleet"
    decision = policies.load(rule()).decide(workload(), wants(), proved=frozenset())
    assert client_id_of(workload(), decision.client) == "spiffe://example.org/ns/web/sa/api"
    decision = policies.load(rule(more='client = "instance"')).decide(workload(), wants(), proved=frozenset())
    assert client_id_of(workload(), decision.client) is None
