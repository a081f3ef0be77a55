"""The decision: who gets what, on whose terms, and which refusal says what (interface section 3 and 6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import ClientChoice, ClientMode, Denial, Effect
from tests.unit.policy.policy_folders import LEDGER, MAIL, Policies, decide, document, rule, wants, workload

X509 = EvidenceKind.X509_SVID
CERTIFICATE = frozenset({BindingMethod.X5T_S256})
DPOP = frozenset({BindingMethod.JKT})
BOTH_RESOURCES = f'"{LEDGER}", "{MAIL}"'


def test_an_allowed_ask_gets_the_terms_of_its_rule(policies: Policies) -> None:
    policy = policies.load(rule(more='token_ttl = "10m", replay = "once"'))
    decision = decide(policy, workload(), wants("ledger.read"))
    assert decision.effect is Effect.ALLOW
    assert (decision.rule, decision.scopes, decision.resources) == ("r", ("ledger.read",), (LEDGER,))
    assert decision.terms is not None
    assert (decision.terms.token_ttl, decision.terms.replay) == (600, "once")
    assert decision.policy_version == policy.version


@pytest.mark.parametrize(
    ("change", "denial"),
    [
        ({"subject": workload("/ns/web/sa")}, Denial.IDENTITY),
        ({"subject": workload("spiffe://example.net/ns/web/sa/api")}, Denial.IDENTITY),
        ({"subject": workload(evidence=X509)}, Denial.IDENTITY),
        ({"door": Door.PAR}, Denial.IDENTITY),
        ({"grant_type": "authorization_code"}, Denial.GRANT_TYPE),
        ({"grant_type": ""}, Denial.GRANT_TYPE),
        ({"resources": (MAIL,)}, Denial.RESOURCE),
        ({"resources": (LEDGER, MAIL)}, Denial.RESOURCE),
        ({"scopes": ("ledger.write",)}, Denial.SCOPE),
        ({"scopes": ("ledger.read", "ledger.write")}, Denial.SCOPE),
        ({"scopes": ("nonsense",)}, Denial.SCOPE),
        ({"scopes": ("mail.send",)}, Denial.SCOPE),
    ],
)
def test_each_condition_that_fails_gives_its_own_refusal(
    policies: Policies, change: dict[str, object], denial: Denial
) -> None:
    """ROFU-26: default deny. The twin of each refusal is the unchanged request."""
    policy = policies.load(rule(when='path = "/ns/web/sa/*", evidence = "jwt-svid", door = "token"'))
    subject, ask = workload(), wants("ledger.read")
    assert decide(policy, subject, ask).effect is Effect.ALLOW
    subject = change.pop("subject", subject)  # type: ignore[assignment]
    decision = decide(policy, subject, replace(ask, **change))  # type: ignore[arg-type]
    assert (decision.effect, decision.denial, decision.rule) == (Effect.DENY, denial, None)
    assert decision.because


def test_a_wrong_resource_is_reported_before_a_wrong_scope(policies: Policies) -> None:
    policy = policies.load(rule())
    assert decide(policy, workload(), wants("nonsense", resources=(LEDGER,))).denial is Denial.SCOPE
    assert decide(policy, workload(), wants("nonsense", resources=(MAIL,))).denial is Denial.RESOURCE


def test_one_rule_must_cover_all_of_the_ask(policies: Policies) -> None:
    """Terms are never added up (ROFU-21)."""
    narrow = rule("read") + rule("write", when='path = "/ns/web/**"', scopes='"ledger.write"')
    policy = policies.load(narrow)
    assert decide(policy, workload(), wants("ledger.read")).rule == "read"
    assert decide(policy, workload(), wants("ledger.write")).rule == "write"
    assert decide(policy, workload(), wants("ledger.read", "ledger.write")).denial is Denial.SCOPE


def test_the_heaviest_covering_rule_gives_the_terms(policies: Policies) -> None:
    light = rule("light", when='path = "/ns/**"', more='token_ttl = "1m"')
    policy = policies.load(light + rule("heavy", when='path = ["/x/y/z/a/b/c", "/ns/web/sa/*"]'))
    assert decide(policy, workload(), wants("ledger.read")).rule == "heavy"
    assert decide(policy, workload("/ns/web/other"), wants("ledger.read")).rule == "light"


def test_any_path_weighs_nothing_and_matches_every_workload(policies: Policies) -> None:
    everybody = rule("all", when="any_path = true", key="broad = true", more='token_ttl = "1m"')
    policy = policies.load(everybody + rule("r"))
    assert decide(policy, workload("/x"), wants("ledger.read")).rule == "all"
    assert decide(policy, workload(), wants("ledger.read")).rule == "r"
    assert decide(policy, workload(""), wants("ledger.read")).denial is Denial.IDENTITY


# What a request that names nothing gets.
def test_without_scopes_the_rule_s_scopes_for_the_audience_are_given(policies: Policies) -> None:
    policy = policies.load(rule(resources=BOTH_RESOURCES, scopes='"ledger.write", "ledger.read", "mail.send"'))
    decision = decide(policy, workload(), wants(resources=(LEDGER,)))
    assert (decision.scopes, decision.resources) == (("ledger.read", "ledger.write"), (LEDGER,))
    both = decide(policy, workload(), wants(resources=(MAIL, LEDGER)))
    assert (both.scopes, both.resources) == (("ledger.read", "ledger.write", "mail.send"), (MAIL, LEDGER))


def test_without_a_resource_the_scopes_tell_it_or_the_rule_s_only_one_does(policies: Policies) -> None:
    policy = policies.load(rule(resources=BOTH_RESOURCES, scopes='"ledger.read", "mail.send"'))
    assert decide(policy, workload(), wants("mail.send")).resources == (MAIL,)
    for ask in (wants(), wants("ledger.read", "mail.send")):
        decision = decide(policy, workload(), ask)
        assert decision.denial is Denial.RESOURCE
        assert decision.because.startswith("name a resource")
    assert decide(policies.load(rule()), workload(), wants()).resources == (LEDGER,)


def test_a_scope_of_a_resource_outside_the_audience_is_not_given(policies: Policies) -> None:
    policy = policies.load(rule(resources=BOTH_RESOURCES, scopes='"ledger.read", "mail.send"'))
    assert decide(policy, workload(), wants("mail.send", resources=(MAIL,))).effect is Effect.ALLOW
    assert decide(policy, workload(), wants("mail.send", resources=(LEDGER,))).denial is Denial.SCOPE


def test_two_rules_that_mean_different_resources_make_the_request_name_one(policies: Policies) -> None:
    policy = policies.load(rule("ledger") + rule("mail", resources=f'"{MAIL}"', scopes='"mail.send"'))
    assert decide(policy, workload(), wants("mail.send")).rule == "mail"
    assert decide(policy, workload(), wants(resources=(LEDGER,))).rule == "ledger"
    assert decide(policy, workload(), wants()).because == "name a resource"


def test_a_lighter_pattern_of_a_rule_does_not_make_the_request_name_a_resource(policies: Policies) -> None:
    """The rule `mail` weighs 2 for this workload. That it also has a pattern as light as that of `ledger`
    matters no more than if it had none."""
    mail = 'path = ["/ns/web/**"{}]'
    ledger = rule("ledger", when="any_path = true", key="broad = true")
    no = rule("no", effect="deny", when='path = "/ns/**", scope = "mail.send"')
    for when in (mail.format(""), mail.format(', "/**"')):
        key = "broad = true" if "," in when else ""
        rules = ledger + no + rule("mail", when=when, key=key, resources=f'"{MAIL}"', scopes='"mail.send"')
        assert decide(policies.load(rules), workload(), wants()).rule == "ledger"


def test_scopes_come_sorted_and_once(policies: Policies) -> None:
    policy = policies.load(rule(scopes='"ledger.write", "ledger.read"'))
    decision = decide(policy, workload(), wants("ledger.write", "ledger.read", "ledger.write"))
    assert decision.scopes == ("ledger.read", "ledger.write")
    assert decide(policy, workload(), wants("ledger.read", resources=(LEDGER, LEDGER))).resources == (LEDGER,)


# Denies.
@pytest.mark.parametrize(
    ("when", "denial"),
    [
        ("", Denial.IDENTITY),
        (', evidence = "jwt-svid"', Denial.IDENTITY),
        (', door = "token"', Denial.IDENTITY),
        (', grant_type = "client_credentials"', Denial.GRANT_TYPE),
        (', scope = "ledger.read"', Denial.SCOPE),
        (f', resource = "{LEDGER}"', Denial.RESOURCE),
        (f', scope = "ledger.read", resource = "{LEDGER}"', Denial.SCOPE),
        (', scope = "ledger.read", grant_type = "client_credentials"', Denial.SCOPE),
    ],
)
def test_a_deny_always_wins_and_its_keys_choose_the_answer(policies: Policies, when: str, denial: Denial) -> None:
    heavy = rule("allow", when='path = "/ns/web/sa/api"')
    assert decide(policies.load(heavy), workload(), wants("ledger.read")).effect is Effect.ALLOW
    denied = policies.load(heavy + rule("no", effect="deny", when=f'path = "/ns/**"{when}'))
    decision = decide(denied, workload(), wants("ledger.read"))
    assert (decision.effect, decision.denial, decision.rule) == (Effect.DENY, denial, "no")
    assert decision.reason is Reason.POLICY_DENY_RULE


@pytest.mark.parametrize(
    "when",
    [
        'path = "/ns/web/sa/other"',
        'path = "/ns/**", evidence = "x509-svid"',
        'path = "/ns/**", door = "par"',
        'path = "/ns/**", grant_type = "refresh_token"',
        'path = "/ns/**", scope = "ledger.write"',
        'path = "/ns/**", scope = "ledger.read", grant_type = "refresh_token"',
        f'path = "/ns/**", resource = "{MAIL}"',
    ],
)
def test_a_deny_holds_only_when_all_its_keys_do(policies: Policies, when: str) -> None:
    policy = policies.load(rule("allow") + rule("no", effect="deny", when=when))
    assert decide(policy, workload(), wants("ledger.read")).effect is Effect.ALLOW


def test_denied_scopes_and_resources_are_taken_out_of_every_rule(policies: Policies) -> None:
    rules = rule("r", resources=BOTH_RESOURCES, scopes='"ledger.read", "ledger.write", "mail.send"')
    policy = policies.load(rules + rule("no", effect="deny", when='path = "/ns/**", scope = "ledger.write"'))
    assert decide(policy, workload(), wants(resources=(LEDGER,))).scopes == ("ledger.read",)
    policy = policies.load(rules + rule("no", effect="deny", when=f'path = "/ns/**", resource = "{MAIL}"'))
    assert decide(policy, workload(), wants("mail.send")).denial is Denial.RESOURCE
    assert decide(policy, workload(), wants(resources=(LEDGER, MAIL))).denial is Denial.RESOURCE
    assert decide(policy, workload(), wants("ledger.read")).effect is Effect.ALLOW


def test_a_rule_with_nothing_left_gives_way_to_a_lighter_one(policies: Policies) -> None:
    light = rule("light", when='path = "/ns/**"', scopes='"ledger.read"')
    heavy = rule("heavy", scopes='"ledger.write"', more='token_ttl = "1m"')
    assert decide(policies.load(light + heavy), workload(), wants()).rule == "heavy"
    deny = rule("no", effect="deny", when='path = "/ns/**", scope = "ledger.write"')
    assert decide(policies.load(light + heavy + deny), workload(), wants()).rule == "light"
    only = decide(policies.load(heavy + deny), workload(), wants())
    assert (only.denial, only.rule) == (Denial.SCOPE, "no")


def test_a_deny_does_not_spare_a_request_the_name_of_its_resource(policies: Policies) -> None:
    rules = rule("r", resources=BOTH_RESOURCES, scopes='"ledger.read", "mail.send"')
    assert decide(policies.load(rules), workload(), wants()).denial is Denial.RESOURCE
    policy = policies.load(rules + rule("no", effect="deny", when=f'path = "/ns/**", resource = "{MAIL}"'))
    assert decide(policy, workload(), wants()).denial is Denial.RESOURCE
    assert decide(policy, workload(), wants(resources=(LEDGER,))).effect is Effect.ALLOW


def test_a_heavier_deny_is_the_one_that_is_named(policies: Policies) -> None:
    denies = rule("a", effect="deny", when='path = "/ns/**"') + rule("b", effect="deny", when='path = "/ns/web/**"')
    assert decide(policies.load(rule() + denies), workload(), wants()).rule == "b"


# bind, ask and clients.
@pytest.mark.parametrize(
    ("bind", "evidence", "meets", "fails", "says"),
    [
        ("jkt", "jwt-svid", DPOP, frozenset(), "send a DPoP proof"),
        ("jkt", "x509-svid", DPOP, CERTIFICATE, "send a DPoP proof"),
        ("x5t#S256", "x509-svid", CERTIFICATE, DPOP, "X.509-SVID over mutual TLS"),
        ("any", "jwt-svid", DPOP, frozenset(), "send a DPoP proof"),
        ("any", "x509-svid", CERTIFICATE, frozenset(), "send a DPoP proof"),
        ("any", "jwt-svid", DPOP, CERTIFICATE, "send a DPoP proof"),
    ],
)
def test_an_unmet_bind_says_which_proof_to_send(
    policies: Policies,
    bind: str,
    evidence: str,
    meets: frozenset[BindingMethod],
    fails: frozenset[BindingMethod],
    says: str,
) -> None:
    """ROFU-27: policy can demand key-bound credentials."""
    policy = policies.load(rule(when=f'path = "/ns/web/sa/*", evidence = "{evidence}"', bind=bind))
    subject = workload(evidence=EvidenceKind(evidence))
    assert decide(policy, subject, wants(), meets).effect is Effect.ALLOW
    decision = decide(policy, subject, wants(), fails)
    assert (decision.effect, decision.denial, decision.rule) == (Effect.DENY, Denial.PROOF, "r")
    assert says in decision.because


@pytest.mark.parametrize("bind", ["if-present", "none"])
def test_a_bind_that_asks_for_nothing_is_always_met(policies: Policies, bind: str) -> None:
    policy = policies.load(rule(bind=bind))
    assert decide(policy, workload(), wants()).effect is Effect.ALLOW


def test_x509_only_rules_bind_to_the_certificate_by_default(policies: Policies) -> None:
    policy = policies.load(rule(when='path = "/ns/web/sa/*", evidence = "x509-svid"', bind=None))
    decision = decide(policy, workload(evidence=X509), wants(), CERTIFICATE)
    assert decision.terms is not None
    assert decision.terms.bind == "x5t#S256"


def test_ask_covers_like_allow(policies: Policies) -> None:
    """ROFU-12: the answer is ask, with the terms that an approval is for."""
    policy = policies.load(rule(effect="ask"))
    decision = decide(policy, workload(), wants("ledger.read"))
    assert (decision.effect, decision.rule) == (Effect.ASK, "r")
    assert decision.terms is not None


def test_the_digest_changes_with_any_term_and_with_nothing_else(policies: Policies) -> None:
    def digest(text: str) -> str:
        decision = decide(policies.load(text), workload(), wants("ledger.read"), DPOP)
        assert decision.terms is not None
        return decision.terms.digest

    first = digest(rule())
    assert first == digest(rule("other", when='path = "/ns/**"', more='client = "identity"'))
    assert len(first) == 64
    changed = [
        rule(scopes='"ledger.read", "ledger.write"'),
        rule(resources=BOTH_RESOURCES, scopes='"ledger.read", "mail.send"'),
        rule(bind="any"),
        rule(more='token_ttl = "1m"'),
        rule(more='replay = "once"'),
        rule(more='grant_types = ["client_credentials", "refresh_token"]'),
        rule(more='grant_types = ["client_credentials", "refresh_token"], refresh_ttl = "1h"'),
        rule(more='lease = "1h"'),
        rule(more="require_par = true"),
        rule(more='redirect_uris = "https://a.example/cb"'),
        rule(more='asserts = "client_name"'),
    ]
    assert len({first, *(digest(text) for text in changed)}) == len(changed) + 1


def test_the_client_belongs_to_the_identity_and_the_heaviest_rule_that_states_it(policies: Policies) -> None:
    fleet = rule("fleet", when='path = "/ns/**"', more='client = { shared = "web-fleet" }')
    special = rule("special", scopes='"ledger.write"', when='path = "/ns/web/sa/*", door = "par"')
    policy = policies.load(fleet + special)
    shared = ClientChoice(ClientMode.SHARED, "web-fleet")
    assert decide(policy, workload(), wants("ledger.read")).client == shared
    assert decide(policy, workload(), wants("ledger.write", door=Door.PAR)).client == shared
    assert decide(policy, workload(), wants("nonsense")).client == shared
    assert policy.client_for(workload()) == shared
    stated = special.replace("grant = {", 'grant = { client = "instance",')
    assert policies.load(fleet + stated).client_for(workload()) == ClientChoice(ClientMode.INSTANCE)
    assert policies.load(rule()).client_for(workload()) == ClientChoice()
    assert policies.load(rule()).client_for(workload("/x")) is None


def test_a_deny_alone_makes_nobody_known(policies: Policies) -> None:
    policy = policies.load(rule("no", effect="deny"))
    assert policy.client_for(workload()) is None
    decision = decide(policy, workload(), wants())
    assert (decision.denial, decision.rule) == (Denial.IDENTITY, "no")


def test_redirect_uri_templates_are_filled_from_the_path(policies: Policies) -> None:
    """ROFU-22: a workload gets the redirect URIs of its own path and no others."""
    text = rule(
        when='path = "/ns/*/sa/*"',
        more='redirect_uris = ["https://{2}.apps.example.org/{1}/cb", "https://fixed.example.org/cb"]',
    )
    decision = decide(policies.load(text), workload(), wants())
    assert decision.terms is not None
    assert decision.terms.redirect_uris == ("https://api.apps.example.org/web/cb", "https://fixed.example.org/cb")
    dotted = decide(policies.load(text), workload("/ns/web/sa/evil.example"), wants())
    assert dotted.terms is not None
    assert dotted.terms.redirect_uris == ("https://fixed.example.org/cb",)
    assert dotted.terms.digest == decision.terms.digest


def test_a_template_that_a_path_would_fill_with_what_no_client_may_have_is_left_out(policies: Policies) -> None:
    """T-7, DCR-21: what comes out of a template is held to the same table as what a client sends."""
    text = rule(when='path = "/ns/*/sa/*"', more='redirect_uris = "https://{2}.apps.example.org/{1}/cb"')
    policy = policies.load(text)
    for label, kept in (("xn--mnchen-3ya", True), ("xn--a", False), ("b", True)):
        decision = decide(policy, workload(f"/ns/web/sa/{label}"), wants())
        assert decision.terms is not None
        assert bool(decision.terms.redirect_uris) is kept, label


# The other sources.
DOCUMENTS = "metadata-documents.toml"


def test_a_document_is_decided_by_its_url_and_by_who_acts_for_it(policies: Policies) -> None:
    """SCA: `spiffe_id` is needed for SPIFFE authentication; without an actor the rule holds all the same."""
    when = 'url = "https://*.apps.example.com/*", spiffe_id = "spiffe://example.org/ns/web/**"'
    policy = policies.load(rule(when=when, bind=None), DOCUMENTS)
    url, ask = "https://a.apps.example.com/c", wants(door=Door.PAR, grant_type="authorization_code")
    assert decide(policy, document(url), ask).effect is Effect.ALLOW
    actor = "spiffe://example.org/ns/web/sa/api"
    jwt = EvidenceKind.JWT_SVID
    assert decide(policy, document(url, spiffe_id=actor, evidence=jwt), ask).effect is Effect.ALLOW
    other = document(url, spiffe_id="spiffe://example.org/ns/x", evidence=jwt)
    assert decide(policy, other, ask).denial is Denial.IDENTITY
    nobody = policies.load(rule(when='url = "https://*.apps.example.com/*"', bind=None), DOCUMENTS)
    assert decide(nobody, document(url, spiffe_id=actor, evidence=jwt), ask).denial is Denial.IDENTITY
    assert decide(nobody, document("https://A.apps.example.com/c"), ask).denial is Denial.IDENTITY


@pytest.mark.parametrize("evidence", [EvidenceKind.JWT_SVID, EvidenceKind.METADATA_DOCUMENT])
@pytest.mark.parametrize("condition", ["", ', evidence = "jwt-svid"', ', scope = "ledger.read"'])
def test_a_trust_domain_s_deny_follows_its_workload_behind_a_document(
    policies: Policies, evidence: EvidenceKind, condition: str
) -> None:
    when = 'url = "https://a.example/*", spiffe_id = "spiffe://example.org/ns/**"'
    policies.rules(rule("doc", when=when, bind=None), DOCUMENTS)
    policy = policies.load(rule("no", effect="deny", when=f'path = "/ns/bad"{condition}'))
    ask = wants("ledger.read", door=Door.AUTHORIZE, grant_type="authorization_code")
    good = document("https://a.example/c", spiffe_id="spiffe://example.org/ns/good", evidence=evidence)
    bad = document("https://a.example/c", spiffe_id="spiffe://example.org/ns/bad", evidence=evidence)
    assert decide(policy, good, ask).rule == "doc"
    assert decide(policy, bad, ask).rule == "no"
    assert decide(policy, document("https://a.example/c"), ask).rule == "doc"


def test_a_trust_domain_s_allow_does_not_follow_its_workload_behind_a_document(policies: Policies) -> None:
    policy = policies.load(rule())
    subject = document("https://a.example/c", spiffe_id="spiffe://example.org/ns/web/sa/api")
    assert decide(policy, workload(), wants()).effect is Effect.ALLOW
    assert decide(policy, subject, wants()).denial is Denial.IDENTITY


def test_a_deny_that_names_actors_needs_one_of_them(policies: Policies) -> None:
    allow = rule("allow", when='url = "https://a.example/*", spiffe_id = "spiffe://example.org/**"', bind=None)
    deny = rule("no", effect="deny", when='url = "https://a.example/*", spiffe_id = "spiffe://example.org/bad"')
    policy = policies.load(allow + deny, DOCUMENTS)
    ask = wants(door=Door.PAR, grant_type="authorization_code")
    assert decide(policy, document("https://a.example/c"), ask).rule == "allow"
    assert decide(policy, document("https://a.example/c", spiffe_id="spiffe://example.org/bad"), ask).rule == "no"


def test_a_statement_is_decided_by_issuer_and_subject_compared_whole(policies: Policies) -> None:
    file = "software-statements.toml"
    general = rule("issuer", when='issuer = "https://ci.example"', bind=None, more='token_ttl = "1m"')
    special = rule("subject", when='issuer = "https://ci.example", subject = ["one", "two/*"]', bind=None)
    policy = policies.load(general + special, file)

    def statement(issuer: str, subject: str) -> PolicySubject:
        return PolicySubject(Source.SOFTWARE_STATEMENT, EvidenceKind.SOFTWARE_STATEMENT, issuer=issuer, subject=subject)

    assert decide(policy, statement("https://ci.example", "one"), wants()).rule == "subject"
    assert decide(policy, statement("https://ci.example", "two/x"), wants()).rule == "issuer"
    assert decide(policy, statement("https://ci.example/", "one"), wants()).denial is Denial.IDENTITY
    assert decide(policy, statement("https://ci.example", ""), wants()).denial is Denial.IDENTITY


def test_a_pushed_client_needs_a_dpop_key_by_default(policies: Policies) -> None:
    text = '\n[[rule]]\nid = "p"\nwhy = "x"\neffect = "allow"\n'
    grant = f'grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"] }}\n'
    policy = policies.load(text + grant, "pushed.toml")
    subject = PolicySubject(Source.PUSHED, EvidenceKind.PUSHED)
    ask = wants(door=Door.PAR, grant_type="authorization_code")
    assert decide(policy, subject, ask, DPOP).rule == "p"
    assert decide(policy, subject, ask).denial is Denial.PROOF
    assert decide(policy, subject, replace(ask, door=Door.TOKEN), DPOP).denial is Denial.IDENTITY


def test_who_may_introspect_is_the_resource_s_word(policies: Policies) -> None:
    policy = policies.load(rule())
    assert policy.may_introspect(LEDGER, SpiffeId.parse("spiffe://example.org/ns/ledger/sa/api"))
    assert not policy.may_introspect(LEDGER, SpiffeId.parse("spiffe://example.org/ns/ledgers/sa/api"))
    assert not policy.may_introspect(MAIL, SpiffeId.parse("spiffe://example.org/ns/ledger/sa/api"))
    assert not policy.may_introspect("https://nowhere.example", SpiffeId.parse("spiffe://example.org/ns/ledger/x"))
    assert policy.scopes() == ("ledger.read", "ledger.write", "mail.read", "mail.send")
