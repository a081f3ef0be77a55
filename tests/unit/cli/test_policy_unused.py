"""`bridge policy unused`: exactly the rules that no row names, and how far back the log can say so."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from bridge.ambient import now
from bridge.cli.policy import unused as policy_unused
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.store.ports import Store
from tests.unit.cli.conftest import Run

DAY = 86_400
COUNTING = (
    AuditEventKind.TOKEN_ISSUED,
    AuditEventKind.REFUSED,
    AuditEventKind.REGISTERED,
    AuditEventKind.UPDATED,
    AuditEventKind.APPROVED,
)
RULES = """version = 1
source = "spiffe"
trust_domain = "example.org"
"""


@pytest.fixture
def rules(folder: Path) -> list[str]:
    """Twelve rules, one of them a deny of a scope, and one that can never decide."""
    file = folder / "policies/example.org.toml"
    scopes = re.findall(r'scopes = \["([^"]+)"', file.read_text())
    resource = re.findall(r'resources = \["([^"]+)"', file.read_text())[0]
    text = RULES
    for number in range(10):
        text += f"""
[[rule]]
id = "rule-{number}"
why = "a test"
effect = "allow"
when = {{ path = "/n/{number}" }}
grant = {{ resources = ["{resource}"], scopes = ["{scopes[0]}"], bind = "if-present" }}
"""
    text += f"""
[[rule]]
id = "narrow"
why = "a test"
effect = "deny"
when = {{ path = "/other", scope = "{scopes[0]}" }}

[[rule]]
id = "shadowed"
why = "a test"
effect = "deny"
when = {{ path = "/other", scope = "{scopes[0]}" }}
"""
    file.write_text(text)
    for other in ("metadata-documents", "software-statements", "pushed"):
        (folder / f"policies/{other}.toml").unlink()
    return [*(f"rule-{number}" for number in range(10)), "narrow", "shadowed"]


def add(
    store: Store, rule: str, *, ago: int, kind: AuditEventKind = AuditEventKind.TOKEN_ISSUED, **more: object
) -> None:
    asked: Mapping[str, object] = {"grant_type": "client_credentials"}
    given = {"id": f"id-{rule}", "time": now() - ago, "event": kind, "rule": rule, "ask": asked}
    store.audit.append(AuditEvent(**(given | more)))  # type: ignore[arg-type]


def names(ran: object) -> list[str]:
    return [rule["rule"] for rule in ran["rules"]]  # type: ignore[index]


def test_rules_that_decided_something_are_not_listed(run: Run, store: Store, rules: list[str]) -> None:
    for number, kind in enumerate(COUNTING):
        add(store, f"rule-{number}", ago=DAY, kind=kind)
    add(store, "rule-9", ago=DAY, kind=AuditEventKind.EXPIRED)
    ran = run("policy", "unused", "--json")
    assert (ran.code, names(ran.json)) == (1, rules[len(COUNTING) :])
    for rule in rules:
        add(store, rule, ago=DAY)
    ran = run("policy", "unused", "--json")
    assert (ran.code, names(ran.json)) == (0, [])
    assert "each of the 12 rules" in run("policy", "unused").out


def test_a_rule_is_shown_with_its_place_its_last_match_and_what_else_it_does(
    run: Run, store: Store, rules: list[str], folder: Path
) -> None:
    for rule in rules[1:]:
        add(store, rule, ago=40 * DAY if rule in ("rule-3", "shadowed") else DAY)
    ran = run("policy", "unused", "--since", "30d", "--json").json
    assert names(ran) == ["rule-0", "rule-3", "shadowed"]
    text = (folder / "policies/example.org.toml").read_text().splitlines()
    for rule in ran["rules"]:
        assert text[rule["line"] - 1 : rule["line"] + 1] == ["[[rule]]", f'id = "{rule["rule"]}"']
    never, once, deny = ran["rules"]
    assert (never["last_match"], never["last_id"], never["beside"]) == (None, None, None)
    assert (once["last_id"], once["effect"]) == ("id-rule-3", "allow")
    assert deny["beside"] == "narrows what other rules give"
    assert deny["finding"].startswith("unreachable")
    said = run("policy", "unused", "--since", "30d").out
    assert "example.org.toml:5\trule-0\tallow\tnever\t" in said
    assert "3 of 12 rules decided nothing" in said


def test_how_far_back_the_log_goes_is_said(run: Run, store: Store, rules: list[str]) -> None:
    add(store, "rule-0", ago=12 * DAY + 60)
    first = store.audit.rows(limit=1)[0].event.time
    if first > now() - 12 * DAY:
        store.audit.prune(before=first + 1, now=now(), batch=100)
    short = run("policy", "unused", "--since", "30d")
    whole = run("policy", "unused", "--since", "30d", "--json").json
    assert (whole["reaches"], whole["audit_since"] is not None) == (False, True)
    assert "days only: nothing can be said for 30" in short.err
    ran = run("policy", "unused", "--since", "1m")
    assert "nothing can be said" not in ran.err
    assert run("policy", "unused", "--since", "1m", "--json").json["reaches"] is True


def test_refusals_of_which_only_the_number_is_kept_are_said(run: Run, store: Store, rules: list[str]) -> None:
    add(store, "rule-0", ago=60)
    assert "only the number" not in run("policy", "unused").err
    add(store, "", ago=60, kind=AuditEventKind.REFUSED, ask={}, count=7)
    assert run("policy", "unused", "--json").json["unkept"] == 7
    assert "keeps only the number: 7" in run("policy", "unused").err


def test_many_rows_are_counted_exactly(
    run: Run, store: Store, rules: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against brute force, in pieces that end anywhere."""
    chance = random.Random(7)
    at, written = now(), list[tuple[str, int]]()
    for number in range(120):
        rule, ago = chance.choice([*rules[:6], "gone", ""]), chance.randrange(1, 60 * DAY)
        kind = chance.choice([*COUNTING, AuditEventKind.EXPIRED])
        add(store, rule, ago=now() - at + ago, kind=kind, id=f"row-{number}")
        if kind in COUNTING:
            written.append((rule, ago))
    for size, days in ((1, 30), (7, 45), (10_000, 5)):
        monkeypatch.setattr(policy_unused, "_ROWS_AT_ONCE", size)
        used = {rule for rule, ago in written if ago <= days * DAY - 120}
        doubtful = {rule for rule, ago in written if days * DAY - 120 < ago <= days * DAY + 120} - used
        found = names(run("policy", "unused", "--since", f"{days}d", "--json").json)
        assert set(found) - doubtful == set(rules) - used - doubtful


def test_policies_that_do_not_load_are_no_answer(run: Run, store: Store, rules: list[str], folder: Path) -> None:
    assert run("policy", "unused").code == 1
    (folder / "policies/example.org.toml").write_text("version = 2\n")
    ran = run("policy", "unused")
    assert (ran.code, ran.out) == (2, "")
