"""`bridge policy reach`: the JSON of the contract, the table for people, exit codes (interface section 3)."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from tests.unit.cli.conftest import ROOT, Run

SHIPPED = ROOT / "policies"
SHOP = "spiffe://example.org/ns/web/sa/shop"
BASE = ("policy", "reach", "--policies", SHIPPED)


def test_the_whole_table_has_a_part_for_each_of_the_four_sources(run: Run) -> None:
    ran = run(*BASE)
    assert ran.code == 0
    headings = [line for line in ran.out.splitlines() if line.startswith(("workloads", "clients"))]
    assert [heading.partition(" ")[0] for heading in headings] == ["workloads,", "clients", "clients", "clients"]
    payments = next(line for line in ran.out.splitlines() if "payments-posts-to-ledger" in line).split("\t")
    assert payments == [
        "spiffe://example.org/ns/payments/sa/*", "ledger.read ledger.write", "x509-svid", "client_credentials",
        "payments-posts-to-ledger", "not where no-default-service-account denies",
    ]  # fmt: skip
    partner = next(line for line in ran.out.splitlines() if "partners-wait-for-approval" in line)
    assert partner.endswith("after approval")


def test_the_json_has_the_fields_of_the_contract(run: Run) -> None:
    rows = run(*BASE, "--subject", SHOP, "--json").json
    assert {name: rows[0][name] for name in ("pattern", "resource", "scope", "evidence", "door", "rule")} == {
        "pattern": "spiffe://example.org/ns/web/sa/*", "resource": "https://ledger.example.org",
        "scope": "ledger.read", "evidence": "jwt-svid", "door": "register", "rule": "web-reads-ledger",
    }  # fmt: skip
    assert {(row["evidence"], row["door"]) for row in rows} == {
        (evidence, door) for evidence in ("jwt-svid", "x509-svid") for door in ("register", "token")
    }


def test_who_could_get_a_scope(run: Run) -> None:
    rows = run(*BASE, "--scope", "reports.publish", "--json").json
    assert {(row["pattern"], row["rule"]) for row in rows} == {
        ("spiffe://example.org/ns/batch/sa/nightly", "nightly-publishes-reports")
    }
    both = run(*BASE, "--scope", "reports.publish", "--scope", "ledger.write", "--json").json
    assert {row["scope"] for row in both} == {"reports.publish", "ledger.write"}
    assert {row["source"] for row in run(*BASE, "--source", "pushed", "--json").json} == {"pushed"}


def test_nobody_is_exit_1_and_a_scope_that_does_not_exist_is_named(run: Run) -> None:
    ran = run(*BASE, "--subject", "spiffe://example.org/ns/web/sa/default")
    assert (ran.code, ran.out) == (1, "nobody gets anything of this\n")
    ran = run(*BASE, "--subject", SHOP, "--scope", "ledger.write", "--json")
    assert (ran.code, ran.json) == (1, [])
    ran = run(*BASE, "--scope", "ledger.reed")
    assert (ran.code, "did you mean 'ledger.read'?" in ran.err) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("--subject", "shop"), ("--issuer", "https://ci.example.org"), ("--subject", "spiffe://A/b"),
        ("--entries", "nowhere"), ("--source", "svid"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_2(run: Run, words: tuple[str, ...]) -> None:
    assert run(*BASE, "--subject", SHOP).code == 0
    assert run(*BASE, *words).code == 2


def given(path: str) -> dict[str, object]:
    return {"id": "x", "spiffe_id": {"trust_domain": "example.org", "path": path}}


def test_entries_from_standard_input_are_held_against_the_rules(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = json.dumps({"entries": [given("/ns/web/sa/shop"), given("/ns/lobby/sa/visitor")]}).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(written)))
    ran = run(*BASE, "--entries", "-", "--json")
    assert ran.code == 1
    found = {finding["finding"]: finding for finding in ran.json}
    assert found["entry-without-rule"]["subject"] == "spiffe://example.org/ns/lobby/sa/visitor"
    assert found["rule-without-entry"]["rule"] is not None
    (tmp_path / "entries.json").write_bytes(written)
    ran = run(*BASE, "--entries", tmp_path / "entries.json")
    assert "entries that no rule gives anything:\n  spiffe://example.org/ns/lobby/sa/visitor\n" in ran.out
    assert "rules that fit no entry:\n  agents-call-tools: spiffe://example.org/ns/agents/sa/*\n" in ran.out
    assert run(*BASE, "--entries", tmp_path / "entries.json", "--subject", SHOP).code == 2


def test_entries_and_rules_that_fit_are_exit_0(run: Run, tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    shutil.copy(SHIPPED / "catalogue.toml", policies)
    rules = (SHIPPED / "example.org.toml").read_text().split("[[rule]]")
    (policies / "example.org.toml").write_text("[[rule]]".join(rules[:2]))
    entries = tmp_path / "entries.json"
    entries.write_text(json.dumps({"entries": [given("/ns/web/sa/shop"), given("/spire/agent/a")]}))
    ran = run("policy", "reach", "--policies", policies, "--entries", entries)
    assert (ran.code, ran.out) == (0, "ok  every entry has a rule, and every rule an entry; identities: 1\n")
    entries.write_text("Found 1 entry")
    assert run("policy", "reach", "--policies", policies, "--entries", entries).code == 2
