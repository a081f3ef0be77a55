"""Ambiguous rules do not load; and ten thousand rules do, without comparing all pairs."""

from __future__ import annotations

import pytest

from tests.unit.policy.policy_folders import LEDGER, MAIL, Policies, decide, rule, wants, workload

A = rule("a", when='path = "/ns/web/sa/*"')
OTHER_TERMS = 'token_ttl = "1m"'


@pytest.mark.parametrize(
    ("tied", "apart"),
    [
        ('path = "/ns/web/sa/*"', 'path = "/ns/mail/sa/*"'),
        ('path = "/ns/*/sa/api"', 'path = "/ns/*/sa/api/x"'),
        ('path = "/ns/web/sa/**"', 'path = "/ns/web/**"'),
        ('path = "/*/web/sa/api"', 'path = "/ns/web/sa/api"'),
        ('path = ["/x", "/*/web/*/api"]', 'path = ["/x", "/*/web/*/x/api"]'),
        ('path = "/ns/web/*/api"', 'path = "/ns/web/*/*"'),
    ],
)
def test_two_rules_of_equal_weight_that_one_request_could_meet_do_not_load(
    policies: Policies, tied: str, apart: str
) -> None:
    first = A if '"/*/web/*' not in tied else rule("a", when='path = "/ns/*/sa/*"')
    policies.rules(first + rule("b", when=apart, more=OTHER_TERMS))
    assert policies.codes() <= {"broad"}
    policies.rules(first + rule("b", when=tied, more=OTHER_TERMS))
    assert "ambiguous" in policies.codes()
    finding = next(f for f in policies.check() if f.code == "ambiguous")
    assert (finding.rule, "'a'" in finding.message) == ("b", True)


@pytest.mark.parametrize(
    "apart",
    [
        {"when": 'path = "/ns/web/sa/*", evidence = "x509-svid"'},
        {"when": 'path = "/ns/web/sa/*", evidence = "jwt-svid", door = "par"'},
        {"more": f'{OTHER_TERMS}, grant_types = ["refresh_token"]'},
        {"resources": f'"{MAIL}"', "scopes": '"mail.send"'},
        {"more": 'token_ttl = "2m"'},
    ],
)
def test_equal_terms_and_disjoint_evidence_doors_grant_types_or_resources_are_no_tie(
    policies: Policies, apart: dict[str, str]
) -> None:
    first = rule("a", when='path = "/ns/*/sa/api", evidence = "jwt-svid", door = "token"', more='token_ttl = "2m"')
    policies.rules(first + rule("b", more=OTHER_TERMS))
    assert policies.codes() == {"ambiguous"}
    policies.rules(first + rule("b", **{"more": OTHER_TERMS, **apart}))  # type: ignore[arg-type]
    assert policies.codes() == set()


def test_disjoint_scopes_alone_do_tie(policies: Policies) -> None:
    policies.rules(A + rule("b", scopes='"ledger.write"'))
    assert policies.codes() == {"ambiguous"}
    policies.rules(A + rule("b", resources=f'"{MAIL}", "{LEDGER}"', scopes='"mail.send", "ledger.write"'))
    assert policies.codes() == {"ambiguous"}


def test_ask_is_a_term_like_others(policies: Policies) -> None:
    policies.rules(A + rule("b", effect="ask"))
    assert policies.codes() == {"ambiguous"}


def test_denies_never_tie(policies: Policies) -> None:
    policies.rules(A + rule("b", effect="deny", when='path = "/ns/*/sa/api"'))
    assert policies.codes() == set()


def test_a_heavier_pattern_of_the_same_rule_settles_it(policies: Policies) -> None:
    """The matching entry of rule a is then `/ns/web/sa/api`, which outweighs rule b's."""
    settled = rule("a", when='path = ["/ns/web/sa/*", "/ns/web/sa/api"]')
    other = rule("b", when='path = "/ns/*/sa/api"', more=OTHER_TERMS)
    policies.rules(A + other)
    assert policies.codes() == {"ambiguous"}
    policy = policies.load(settled + other)
    assert decide(policy, workload(), wants()).rule == "a"
    assert decide(policy, workload("/ns/x/sa/api"), wants()).rule == "b"


def test_different_clients_of_equal_weight_do_not_load_whatever_the_request(policies: Policies) -> None:
    """ROFU-5: one identity has one client whatever it asks."""
    by_certificate = 'path = "/ns/*/sa/api", evidence = "x509-svid"'
    first = rule("a", when='path = "/ns/web/sa/*", evidence = "jwt-svid"', more='client = { shared = "one" }')
    policies.rules(first + rule("b", when=by_certificate, bind=None, more='client = { shared = "one" }'))
    assert policies.codes() == set()
    policies.rules(first + rule("b", when=by_certificate, bind=None))
    assert policies.codes() == set()
    policies.rules(first + rule("b", when=by_certificate, bind=None, more='client = "identity"'))
    assert policies.codes() == {"client-tie"}


def test_url_and_statement_rules_tie_by_the_same_law(policies: Policies) -> None:
    url = 'url = "https://{}/*"'
    documents = [
        rule("a", when=url.format("*.apps.a.example"), bind=None),
        rule("b", when=url.format("x.*.a.example"), bind=None, more=OTHER_TERMS),
        rule("c", when=url.format("x.y.*.example").replace("/*", "/*/z"), bind=None, key="broad = true"),
    ]
    policies.rules("".join(documents), "metadata-documents.toml")
    assert [f.rule for f in policies.check()] == ["b"]
    policies.rules("", "metadata-documents.toml")
    issuer = 'issuer = ["https://ci.example", "https://x.example"]'
    statements = [
        rule("a", when=issuer, bind=None),
        rule("b", when=f'{issuer}, subject = "s"', bind=None, more=OTHER_TERMS),
        rule("c", when='issuer = "https://x.example"', bind=None, more=OTHER_TERMS),
    ]
    policies.rules("".join(statements), "software-statements.toml")
    assert [f.rule for f in policies.check()] == ["c"]


def test_pushed_rules_all_weigh_nothing(policies: Policies) -> None:
    policies.rules(rule("a", when="", bind=None) + rule("b", when="", bind=None, more=OTHER_TERMS), "pushed.toml")
    assert policies.codes() == {"ambiguous"}


def test_all_pairs_are_told_but_not_without_end(policies: Policies) -> None:
    three = "".join(rule(f"r{n}", more=f'token_ttl = "{n + 1}m"') for n in range(3))
    policies.rules(three)
    assert len(policies.check()) == 3
    policies.rules("".join(rule(f"r{n}", more=f'token_ttl = "{n + 1}s"') for n in range(200)))
    assert len(policies.check()) == 51


@pytest.mark.parametrize("crossed", [False, True])
def test_ten_thousand_rules_load_without_comparing_all_pairs(policies: Policies, crossed: bool) -> None:
    """Crossed: half of the patterns overlap with all of the other half, with equal weight, and do not tie
    because their evidence is disjoint. Comparing pairs would mean 25 million comparisons."""
    many = 5000
    out = []
    for n in range(many):
        one = f'path = "/ns/n{n}/sa/{"*" if crossed else f"s{n}"}", evidence = "jwt-svid"'
        other = f'path = "/ns/{"*" if crossed else f"m{n}"}/sa/s{n}", evidence = "x509-svid"'
        out.append(rule(f"a{n}", when=one, more=f'token_ttl = "{n % 50 + 1}m"'))
        out.append(rule(f"b{n}", when=other, bind=None, more=f'token_ttl = "{n % 40 + 1}m"'))
    policy = policies.load("".join(out))
    assert len(policy.rules) == 2 * many
    assert decide(policy, workload("/ns/n7/sa/s7"), wants()).rule == "a7"
