"""`bridge policy diff`: sentences for people, rows for programs, and the exit code a pipeline goes by."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.cli.conftest import ROOT, Run

SHIPPED = ROOT / "policies"


@pytest.fixture
def candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped policies in a folder without a configuration."""
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "candidate"
    shutil.copytree(SHIPPED, copy)
    return copy


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_other_texts_that_mean_the_same_are_no_change(run: Run, candidate: Path) -> None:
    path = candidate / "example.org.toml"
    head, *rules = path.read_text(encoding="utf-8").split("\n[[rule]]\n")
    rules = [rule.replace('"web-reads-ledger"', '"renamed"') for rule in reversed(rules)]
    path.write_text("\n\n[[rule]]\n".join([head, *rules]), encoding="utf-8")
    ran = run("policy", "diff", SHIPPED, candidate)
    assert (ran.code, ran.out.startswith("ok")) == (0, True)
    assert run("policy", "diff", SHIPPED, candidate, "--json").json == []


def test_a_gain_is_a_sentence_with_its_conditions(run: Run, candidate: Path) -> None:
    change(candidate / "example.org.toml", '"/ns/payments/sa/*", evi', '"/ns/*/sa/*", evi')
    ran = run("policy", "diff", SHIPPED, candidate)
    assert ran.code == 1
    assert ran.out.splitlines()[:5] == [
        "workloads, by their SPIFFE ID",
        "+ spiffe://example.org/ns/*/sa/* gains ledger.write",
        "    with x509-svid by client_credentials",
        "    by rule payments-posts-to-ledger",
        "    but not spiffe://example.org/ns/*/sa/default, spiffe://example.org/ns/payments/sa/*",
    ]
    back = run("policy", "diff", candidate, SHIPPED)
    assert back.out.splitlines()[1] == "- spiffe://example.org/ns/*/sa/* loses ledger.write"


def test_json_has_the_fields_of_reach_and_both_answers(run: Run, candidate: Path) -> None:
    change(candidate / "example.org.toml", '"ledger.write"], token_ttl = "5m"', '"ledger.write"], token_ttl = "10m"')
    ran = run("policy", "diff", SHIPPED, candidate, "--json")
    assert ran.code == 1
    row = next(row for row in ran.json if row["scope"] == "ledger.write" and row["door"] == "token")
    before, after = row.pop("before"), row.pop("after")
    assert row == {
        "change": "changes",
        "source": "spiffe",
        "pattern": "spiffe://example.org/ns/payments/sa/*",
        "but_not": ["spiffe://example.org/ns/*/sa/default"],
        "actor": None,
        "actor_but_not": [],
        "named": "scope",
        "resource": "https://ledger.example.org",
        "scope": "ledger.write",
        "evidence": "x509-svid",
        "door": "token",
        "grant_types": ["client_credentials"],
        "terms": ["token_ttl"],
        "rules_before": ["payments-posts-to-ledger"],
        "rules_after": ["payments-posts-to-ledger"],
    }
    assert (before["token_ttl"], after["token_ttl"]) == (300, 600)
    assert {name for name in before if before[name] != after[name]} == {"token_ttl"}
    assert {"effect": "allow", "client": "identity", "bind": "x5t#S256", "approval": None}.items() <= before.items()


def test_terms_are_told_in_words(run: Run, candidate: Path) -> None:
    change(candidate / "example.org.toml", 'bind = "any" }', 'bind = "jkt", token_ttl = "10m" }')
    out = run("policy", "diff", SHIPPED, candidate).out
    wanted = "gets tools.call tools.list on other terms: token_ttl 5m -> 10m, bind any -> jkt, has to be approved anew"
    assert f"~ spiffe://example.org/ns/agents/sa/* {wanted}" in out


def test_who_may_introspect_is_told_too(run: Run, candidate: Path) -> None:
    change(candidate / "catalogue.toml", "/ns/reports/sa/*", "/ns/reports/sa/api")
    ran = run("policy", "diff", SHIPPED, candidate)
    told = "- spiffe://example.org/ns/reports/sa/* may no longer introspect tokens for https://reports.example.org\n"
    assert (ran.code, told in ran.out) == (1, True)
    (row,) = run("policy", "diff", SHIPPED, candidate, "--json").json
    assert (row["named"], row["change"], row["but_not"]) == (
        "introspection", "loses", ["spiffe://example.org/ns/reports/sa/api"],
    )  # fmt: skip


def test_a_folder_that_does_not_load_is_named_and_compares_with_nothing(run: Run, candidate: Path) -> None:
    change(candidate / "pushed.toml", "why", "wy")
    ran = run("policy", "diff", SHIPPED, candidate)
    assert (ran.code, ran.out) == (2, "")
    assert "pushed.toml:" in ran.err
    assert f"{candidate}: these policies do not load" in ran.err
    assert run("policy", "diff", SHIPPED, candidate / "nowhere").code == 2


def test_a_configuration_that_is_named_says_which_defaults_hold(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in the current folder is not meant: two folders need none."""
    copy = folder / "candidate"
    shutil.copytree(folder / "policies", copy)
    change(copy / "metadata-documents.toml", '"ledger.read"] }', '"ledger.read"], token_ttl = "7m" }')
    monkeypatch.setenv("BRIDGE_TOKENS__DEFAULT_TTL", "7m")
    assert run("policy", "diff", "policies", copy).code == 1
    assert run("policy", "diff", "policies", copy, "--config", folder / "bridge.toml").code == 0
