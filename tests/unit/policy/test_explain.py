"""Explanations: the answer, and the first condition that each other rule did not meet."""

from __future__ import annotations

import pytest

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod
from bridge.model.terms import Effect
from bridge.policy.explain import client_id_of
from tests.unit.policy.policy_folders import LEDGER, MAIL, Policies, document, rule, wants, workload


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
