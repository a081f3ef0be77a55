"""Everything wrong with the files comes in one run: a fault of one rule hides none of another, and makes none up."""

from __future__ import annotations

import pytest

from tests.unit.policy.policy_folders import CATALOGUE, HEADERS, Policies, rule

FULL = rule("full")
# What is found in rules of sound shape, whatever else is in the file: code, rule.
SOUND = (
    rule("pattern", when='path = "/ns/web*"')
    + rule("bind", when='path = "/ns/a/sa/*"', bind=None)
    + rule("redirect", when='path = "/ns/b/sa/*"', more='redirect_uris = "http://a.example/cb"')
    + rule("tied", when='path = "/ns/*/sa/c"')
    + rule("tie", when='path = "/ns/c/sa/*"', more='token_ttl = "9m"')
    + rule("denied", when='path = "/ns/d/sa/e"')
    + rule("deny", when='path = "/ns/d/sa/*"', effect="deny")
)
OF_SOUND = {
    ("pattern", "pattern"),
    ("bind-missing", "bind"),
    ("redirect-uri", "redirect"),
    ("ambiguous", "tie"),
    ("fully-denied", "denied"),
}
UNSAID = rule("x").replace('why = "because"\n', "")


def found(policies: Policies) -> set[tuple[str, str]]:
    return {(finding.code, finding.rule) for finding in policies.check()}


@pytest.mark.parametrize(
    ("shapeless", "own"),
    [
        pytest.param("", set(), id="nothing"),
        pytest.param(
            rule("x", more='bnd = "any"', bind=None), {("unknown-key", "x")}, id="a key that was meant to be bind"
        ),
        pytest.param(
            rule("x", when='paht = "/ns/web/sa/*"'), {("unknown-key", "x")}, id="a key that was meant to be path"
        ),
        pytest.param(rule("tied", when="path = 7"), {("wrong-type", "tied")}, id="an id that another has, too"),
        pytest.param(rule("x", effect="denie"), {("unknown-value", "x")}, id="an effect that does not exist"),
        pytest.param(FULL.replace('id = "full"\n', ""), {("missing-id", "")}, id="a rule without a name"),
        pytest.param(
            UNSAID.replace('"/ns/web/sa/*"', '"/ns*"'), {("missing-why", "x"), ("pattern", "x")}, id="nothing but why"
        ),
    ],
)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_rule_of_faulty_shape_hides_nothing_and_adds_its_own_fault_alone(
    policies: Policies, shapeless: str, own: set[tuple[str, str]], place: str
) -> None:
    policies.rules(shapeless + SOUND if place == "before" else SOUND + shapeless)
    assert found(policies) == OF_SOUND | own
    # Each stands at its own rule, wherever rules were left out.
    text = (policies.path / "example.org.toml").read_text().splitlines()
    for finding in policies.check():
        if finding.rule and finding.rule != "tied":
            above = [line for line in text[: finding.line + 1] if line.startswith("id = ")]
            assert above[-1:] == [f'id = "{finding.rule}"'], finding


def test_a_surplus_key_of_the_file_and_another_version_hide_no_rule_and_a_missing_domain_hides_all(
    policies: Policies,
) -> None:
    header = HEADERS["example.org.toml"]
    policies.write("example.org.toml", "surplus = 1\n" + header.replace("version = 1", "version = 2") + SOUND)
    assert found(policies) == OF_SOUND | {("unknown-key", ""), ("unknown-value", "")}
    policies.write("example.org.toml", header.replace("trust_domain", "trust_domian") + SOUND)
    assert {code for code, _ in found(policies)} == {"unknown-key", "missing-trust-domain"}


@pytest.mark.parametrize("catalogue", [None, "version = ", CATALOGUE.replace("version = 1", "version = 2")])
def test_a_broken_catalogue_hides_what_is_wrong_with_rules_no_more_than_it_must(
    policies: Policies, catalogue: str | None
) -> None:
    """Which names are unknown, and what follows from names, nobody knows without one."""
    policies.rules(SOUND + rule("name", when='path = "/x"', scopes='"ledger.reed"'))
    assert found(policies) == OF_SOUND | {("unknown-scope", "name")}
    if catalogue is None:
        (policies.path / "catalogue.toml").unlink()
    else:
        policies.write("catalogue.toml", catalogue)
    rules = {finding for finding in policies.check() if finding.file != "catalogue.toml"}
    assert {(finding.code, finding.rule) for finding in rules} == {
        ("pattern", "pattern"),
        ("bind-missing", "bind"),
        ("redirect-uri", "redirect"),
    }
    assert "catalogue.toml" in {finding.file for finding in policies.check()}


def test_an_id_that_a_file_with_faults_shares_with_another_file_is_found_as_well(policies: Policies) -> None:
    policies.rules(rule("one", when='path = "/x"') + rule("bad", when="path = 7"))
    policies.rules(rule("one", when='url = "https://a.example/c"', bind=None), "metadata-documents.toml")
    assert found(policies) == {("wrong-type", "bad"), ("duplicate-id", "one")}


def test_a_copy_under_another_name_is_one_fault_and_not_one_for_each_rule(policies: Policies) -> None:
    policies.rules(FULL)
    policies.write("copy.toml", HEADERS["example.org.toml"] + FULL)
    assert found(policies) == {("file-name", "")}


def test_a_case_of_faulty_shape_hides_no_other_case(policies: Policies) -> None:
    from bridge.policy.cases import load_cases

    policies.rules(FULL)
    (policies.path / "tests").mkdir()
    policies.write(
        "tests/example.org.cases.toml",
        """[[case]]
name = "shapeless"
subjekt = "x"
expect = "deny"
[[case]]
name = "no rule"
subject = "spiffe://example.org/x"
evidence = "jwt-svid"
expect = "allow"
""",
    )
    findings = {(finding.code, finding.case, finding.line) for finding in load_cases(policies.path)[1]}
    assert findings == {("unknown-key", "shapeless", 3), ("missing-rule", "no rule", 5)}
