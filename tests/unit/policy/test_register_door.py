"""The decision at `/register`: a registration gets no token, so it names no resource and proves no key for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.evidence import Door
from bridge.model.terms import Bind, Denial, Effect
from bridge.policy.cases import load_cases, run
from tests.unit.policy.policy_folders import LEDGER, MAIL, Policies, decide, rule, wants, workload

BOTH = {"resources": f'"{LEDGER}", "{MAIL}"', "scopes": '"ledger.read", "mail.send"'}
REGISTER = wants(door=Door.REGISTER)


def test_a_registration_that_names_nothing_means_all_of_the_rule(policies: Policies) -> None:
    policy = policies.load(rule(**BOTH))
    decision = decide(policy, workload(), REGISTER)
    assert (decision.effect, decision.rule) == (Effect.ALLOW, "r")
    assert (decision.scopes, decision.resources) == (("ledger.read", "mail.send"), (LEDGER, MAIL))
    at_token = decide(policy, workload(), wants())
    assert (at_token.denial, at_token.because.partition(":")[0]) == (Denial.RESOURCE, "name a resource")


def test_scopes_of_several_resources_need_no_resource_beside_them(policies: Policies) -> None:
    policy = policies.load(rule(**BOTH))
    ask = wants("mail.send", "ledger.read", door=Door.REGISTER)
    assert decide(policy, workload(), ask).resources == (LEDGER, MAIL)
    assert decide(policy, workload(), replace(ask, scopes=("mail.send",))).resources == (MAIL,)
    assert decide(policy, workload(), replace(ask, door=Door.TOKEN)).denial is Denial.RESOURCE


@pytest.mark.parametrize("scope", ["ledger.write", "unknown"])
def test_a_registration_that_names_a_scope_too_many_is_refused_not_trimmed(policies: Policies, scope: str) -> None:
    policy = policies.load(rule(**BOTH))
    assert decide(policy, workload(), wants("ledger.read", door=Door.REGISTER)).effect is Effect.ALLOW
    assert decide(policy, workload(), wants("ledger.read", scope, door=Door.REGISTER)).denial is Denial.SCOPE


def test_what_denies_take_away_is_taken_out_of_a_registration(policies: Policies) -> None:
    general = rule(**BOTH)
    denied = rule("no-mail", effect="deny", when=f'path = "/ns/web/**", resource = "{MAIL}"')
    policy = policies.load(general + denied)
    decision = decide(policy, workload(), REGISTER)
    assert (decision.rule, decision.scopes, decision.resources) == ("r", ("ledger.read",), (LEDGER,))
    named = decide(policy, workload(), wants("mail.send", door=Door.REGISTER))
    assert (named.denial, named.rule) == (Denial.RESOURCE, "no-mail")

    scope = rule("no-sending", effect="deny", when='path = "/ns/web/**", scope = "mail.send"')
    decision = decide(policies.load(general + scope), workload(), REGISTER)
    assert (decision.scopes, decision.resources) == (("ledger.read",), (LEDGER,))


def test_a_rule_with_nothing_left_registers_nobody(policies: Policies) -> None:
    assert decide(policies.load(rule()), workload(), REGISTER).effect is Effect.ALLOW
    denied = rule("no", effect="deny", when='path = "/ns/web/**", scope = "ledger.read"')
    decision = decide(policies.load(rule() + denied), workload(), REGISTER)
    assert (decision.denial, decision.rule) == (Denial.SCOPE, "no")
    denied = rule("no", effect="deny", when=f'path = "/ns/web/**", resource = "{LEDGER}"')
    decision = decide(policies.load(rule() + denied), workload(), REGISTER)
    assert (decision.denial, decision.rule) == (Denial.RESOURCE, "no")


@pytest.mark.parametrize("bind", ["any", "jkt"])
def test_a_registration_proves_no_key_for_a_token_it_does_not_get(policies: Policies, bind: str) -> None:
    policy = policies.load(rule(bind=bind))
    decision = decide(policy, workload(), REGISTER)
    assert decision.effect is Effect.ALLOW
    assert decide(policy, workload(), wants()).denial is Denial.PROOF
    explanation = policy.explain(workload(), REGISTER, proved=frozenset())
    assert (explanation.effect, explanation.lacks_proof, explanation.bind) == (Effect.ALLOW, False, Bind(bind))


def test_rules_of_equal_weight_about_other_resources_do_not_tear_a_registration(policies: Policies) -> None:
    ledger, mail = rule("a"), rule("b", scopes='"mail.send"', resources=f'"{MAIL}"')
    for rules in (ledger + mail, mail + ledger):
        policy = policies.load(rules)
        assert decide(policy, workload(), REGISTER).rule == "a"
        assert decide(policy, workload(), wants("mail.send", door=Door.REGISTER)).rule == "b"
        assert decide(policy, workload(), wants()).because == "name a resource"


def test_each_grant_type_of_a_registration_is_asked_for_by_itself(policies: Policies) -> None:
    policy = policies.load(rule(more='grant_types = ["client_credentials", "refresh_token"]'))
    asked = [
        decide(policy, workload(), replace(REGISTER, grant_type=grant_type))
        for grant_type in ("client_credentials", "refresh_token", "authorization_code")
    ]
    assert [decision.denial for decision in asked] == [None, None, Denial.GRANT_TYPE]


def test_a_rule_can_be_about_this_door_alone(policies: Policies) -> None:
    policy = policies.load(rule(when='path = "/ns/web/sa/*", door = "register"'))
    assert decide(policy, workload(), REGISTER).effect is Effect.ALLOW
    assert decide(policy, workload(), wants()).denial is Denial.IDENTITY


def test_what_a_rule_lacked_is_said_of_a_registration_as_it_is_decided(policies: Policies) -> None:
    heavy = rule("heavy", when='path = "/ns/web/sa/api"', scopes='"mail.send"', resources=f'"{MAIL}"')
    policy = policies.load(rule(**BOTH) + heavy)
    explanation = policy.explain(workload(), wants("ledger.read", "mail.send", door=Door.REGISTER), proved=frozenset())
    assert explanation.decision.rule == "r"
    assert [(other.rule, other.because) for other in explanation.others] == [
        ("heavy", "it does not give the scope ledger.read")
    ]


def test_a_case_can_stand_at_this_door(policies: Policies) -> None:
    (policies.path / "tests").mkdir()
    common = 'subject = "spiffe://example.org/ns/web/sa/api"\nevidence = "jwt-svid"\ndoor = "register"\n'
    cases = f'[[case]]\nname = "yes"\n{common}proved = []\nexpect = "allow"\nrule = "r"\n'
    cases += 'scopes = ["ledger.read mail.send"]\n'
    cases += f'[[case]]\nname = "no"\n{common}proved = []\nscope = "ledger.write"\nexpect = "deny"\ndenial = "scope"\n'
    policies.write("tests/x.cases.toml", cases)
    found, findings = load_cases(policies.path)
    outcome = run(policies.load(rule(bind="any", **BOTH)), found)
    assert (findings, outcome.failures, outcome.passed) == ((), (), 2)


def test_a_client_of_a_pinned_issuer_is_not_shared_because_a_record_has_one_set_of_keys(policies: Policies) -> None:
    file, whom = "software-statements.toml", 'issuer = "https://ci.example"'
    policies.rules(rule(when=whom, bind=None, more='client = "instance"'), file)
    assert policies.check() == ()
    policies.rules(rule(when=whom, bind=None, more='client = { shared = "fleet" }'), file)
    assert policies.codes() == {"client"}
