"""The policies that come with the bridge are sound, tested by their own cases, and described by the schema."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bridge.model.identity import Source
from bridge.policy.cases import load_cases, run
from bridge.policy.folder import PolicyDefaults, PolicyFolder, check_folder
from bridge.policy.schema import schema_text

POLICIES = Path(__file__).resolve().parents[2] / "policies"


def test_the_shipped_policies_have_no_finding() -> None:
    checked = check_folder(POLICIES, PolicyDefaults())
    assert checked.findings == ()
    assert PolicyFolder(POLICIES, PolicyDefaults()).load().policy_set.rules


def test_the_shipped_cases_pass_and_reach_every_rule() -> None:
    policy = check_folder(POLICIES, PolicyDefaults()).policy_set
    cases, findings = load_cases(POLICIES)
    assert findings == ()
    assert policy is not None
    assert run(policy, cases).failures == ()


def test_every_source_has_a_rule_to_learn_from() -> None:
    policy = check_folder(POLICIES, PolicyDefaults()).policy_set
    assert policy is not None
    assert {rule.source for rule in policy.rules} == set(Source)
    assert {rule.effect.value for rule in policy.rules} == {"allow", "deny", "ask"}


def test_the_schema_file_is_the_one_the_code_generates() -> None:
    """`python -m bridge.policy.schema > policies/schema.json` writes it."""
    assert (POLICIES / "schema.json").read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("path", sorted(POLICIES.rglob("*.toml")), ids=lambda path: path.name)
def test_the_first_line_of_each_file_names_the_schema_for_editors(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("#:schema ")
    assert (path.parent / first.removeprefix("#:schema ")).resolve() == POLICIES / "schema.json"


def readme_blocks() -> list[str]:
    """The TOML that the README shows, block by block."""
    blocks = (POLICIES / "README.md").read_text(encoding="utf-8").split("```toml\n")[1:]
    return [block.split("```")[0] for block in blocks]


def test_what_the_readme_shows_loads_and_passes_with_nothing_added(tmp_path: Path) -> None:
    """Its rules in one file, its cases in another, beside the shipped catalogue: as somebody who follows it would."""
    blocks = readme_blocks()
    (tmp_path / "tests").mkdir()
    (tmp_path / "catalogue.toml").write_bytes((POLICIES / "catalogue.toml").read_bytes())
    rules = "\n".join(block for block in blocks if "[[case]]" not in block)
    (tmp_path / "example.org.toml").write_text(rules, encoding="utf-8")
    cases = "\n".join(block for block in blocks if "[[case]]" in block)
    (tmp_path / "tests" / "example.org.cases.toml").write_text(cases, encoding="utf-8")
    checked = check_folder(tmp_path, PolicyDefaults())
    found, findings = load_cases(tmp_path)
    assert (checked.findings, findings) == ((), ())
    assert checked.policy_set is not None
    outcome = run(checked.policy_set, found)
    assert (outcome.cases, outcome.passed, outcome.failures) == (2, 2, ())


def test_the_readme_s_rules_and_cases_are_those_of_the_files() -> None:
    shipped = tomllib.loads((POLICIES / "example.org.toml").read_text(encoding="utf-8"))
    theirs = {rule["id"]: rule for rule in shipped["rule"]}
    shown = tomllib.loads("\n".join(block for block in readme_blocks() if "[[case]]" not in block))
    assert len(shown["rule"]) == 2
    for rule in shown["rule"]:
        assert {key: rule[key] for key in ("why", "effect", "when")}.items() <= theirs[rule["id"]].items()
