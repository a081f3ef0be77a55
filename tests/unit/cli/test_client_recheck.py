"""`bridge clients recheck`: what changed rules meet, and clearing away what nobody can use any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.ambient import now
from bridge.cli.clients import recheck as client_recheck
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientState
from bridge.store.ports import Store
from tests.unit.cli.conftest import Records, Run

RULE = "example-workloads-read-ledger"


@pytest.fixture
def live(records: Records) -> list[str]:
    """Three records that the example rule admits."""
    return [records.add(f"/ns/example/sa/{name}", rule=RULE, now=now()) for name in ("a", "b", "c")]


def change(folder: Path, old: str, new: str) -> None:
    rules = folder / "policies" / "example.org.toml"
    text = rules.read_text()
    assert old in text
    rules.write_text(text.replace(old, new, 1))


def add_rule(folder: Path, text: str) -> None:
    rules = folder / "policies" / "example.org.toml"
    rules.write_text(rules.read_text() + text)


def deny(path: str, id: str = "out") -> str:
    return f'\n[[rule]]\nid = "{id}"\nwhy = "x"\neffect = "deny"\nwhen = {{ path = "{path}" }}\n'


def states(store: Store, *client_ids: str) -> list[str]:
    found = [store.clients.get(client_id) for client_id in client_ids]
    return ["none" if record is None else record.state.value for record in found]


def test_nothing_changes_while_the_rules_stand(run: Run, live: list[str]) -> None:
    ran = run("clients", "recheck", "--json")
    assert (ran.code, ran.json) == (0, [])
    found = run("clients", "recheck", "--all", "--json").json
    assert [(one["client_id"], one["outcome"]) for one in found] == [(name, "admitted") for name in live]


def test_what_changes_is_shown_and_nothing_is_done(run: Run, store: Store, folder: Path, live: list[str]) -> None:
    add_rule(folder, deny("/ns/example/sa/b"))
    ran = run("clients", "recheck", "--json")
    assert ran.code == 1
    assert ran.json == [
        {
            "client_id": live[1],
            "subject": live[1],
            "member": None,
            "rule": RULE,
            "outcome": "denied",
            "new_rule": "out",
            "new_client_id": live[1],
            "because": "out denies it",
            "ended": False,
        }
    ]
    assert states(store, *live) == ["active"] * 3
    people = run("clients", "recheck")
    assert people.code == 1
    assert people.out.splitlines()[1].split("\t") == [live[1], "-", RULE, "denied", "out", "-", "no"]
    assert "3 looked at, 1 change, 0 ended" in people.err


def test_apply_ends_them_with_an_audit_row_each(
    run: Run, store: Store, folder: Path, live: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_recheck, "BATCH", 2)
    change(folder, "/ns/example/sa/*", "/ns/elsewhere/sa/*")
    ran = run("clients", "recheck", "--apply", "--json")
    assert ran.code == 0
    assert [(one["client_id"], one["outcome"], one["ended"]) for one in ran.json] == [
        (name, "no_rule", True) for name in live
    ]
    assert states(store, *live) == ["revoked"] * 3
    rows = [row.event for row in store.audit.rows() if row.event.outcome == "recheck"]
    assert [(row.event, row.client_id, row.door) for row in rows] == [
        (AuditEventKind.REVOKED, name, "operator") for name in live
    ]
    assert {row.reason for row in rows} == {"no_rule: no rule names it"}
    (run_id,) = {row.id for row in rows}
    assert len(run("audit", "show", run_id, "--json").lines) == 3
    again = run("clients", "recheck", "--json")
    assert (again.code, again.json) == (0, [])


def test_another_rule_is_no_change_and_shown_with_all_only(run: Run, folder: Path, live: list[str]) -> None:
    change(folder, RULE, "renamed")
    assert run("clients", "recheck", "--json").json == []
    found = run("clients", "recheck", "--json", "--all").json
    assert {(one["outcome"], one["new_rule"]) for one in found} == {("other_rule", "renamed")}
    assert run("clients", "recheck", "--apply").code == 0


def test_what_waits_for_an_operator_now_is_shown_and_not_ended_rofu_12(
    run: Run, store: Store, folder: Path, live: list[str]
) -> None:
    change(folder, 'effect = "allow"', 'effect = "ask"')
    ran = run("clients", "recheck", "--json")
    assert (ran.code, {one["outcome"] for one in ran.json}) == (1, {"waits"})
    ran = run("clients", "recheck", "--json", "--apply")
    assert (ran.code, {one["ended"] for one in ran.json}) == (0, {False})
    assert states(store, *live) == ["active"] * 3


def test_an_identity_that_became_another_client_ends_under_the_old_one(
    run: Run, records: Records, store: Store, folder: Path, live: list[str]
) -> None:
    change(folder, 'bind = "if-present"', 'bind = "if-present", client = { shared = "fleet" }')
    records.add("/ns/example/sa/a", shared="fleet", rule=RULE, now=now())
    found = run("clients", "recheck", "--json", "--apply").json
    assert {(one["client_id"], one["outcome"], one["new_client_id"]) for one in found} == {
        (name, "other_client", "fleet") for name in live
    }
    assert states(store, *live, "fleet") == ["revoked"] * 3 + ["active"]


def test_members_of_a_shared_client_end_alone(
    run: Run, records: Records, store: Store, folder: Path, live: list[str]
) -> None:
    change(folder, 'bind = "if-present"', 'bind = "if-present", client = { shared = "fleet" }')
    for name in ("a", "b"):
        records.add(f"/ns/example/sa/{name}", shared="fleet", rule=RULE, now=now())
    add_rule(folder, deny("/ns/example/sa/b"))
    found = run("clients", "recheck", "--json", "--apply").json
    members = {one["member"]: (one["outcome"], one["ended"]) for one in found if one["client_id"] == "fleet"}
    assert members == {live[1]: ("denied", True)}
    after = {member.spiffe_id: member.state for member in store.clients.members("fleet", limit=9)}
    assert after == {live[0]: ClientState.ACTIVE, live[1]: ClientState.REVOKED}


def test_who_ended_already_is_not_looked_at(run: Run, store: Store, folder: Path, live: list[str]) -> None:
    event = AuditEvent(id="x", time=now(), event=AuditEventKind.REVOKED)
    store.clients.revoke(live[0], event=event, now=now())
    change(folder, "/ns/example/sa/*", "/ns/elsewhere/sa/*")
    assert [one["client_id"] for one in run("clients", "recheck", "--json").json] == live[1:]


def test_it_can_be_narrowed(run: Run, records: Records, folder: Path, live: list[str]) -> None:
    other = records.add("/ns/example/sa/d", rule="older", now=now())
    partner = records.add("/ns/example/sa/e", rule=RULE, trust_domain="partner.example", now=now())
    change(folder, "/ns/example/sa/*", "/ns/elsewhere/sa/*")

    def ids(*words: str) -> set[str]:
        return {one["client_id"] for one in run("clients", "recheck", "--json", *words).json}

    assert ids() == {*live, other, partner}
    assert ids("--rule", "older") == {other}
    assert ids("--trust-domain", "partner.example") == {partner}


def test_policies_that_do_not_load_are_exit_2_and_end_nobody(
    run: Run, store: Store, folder: Path, live: list[str]
) -> None:
    assert run("clients", "recheck", "--apply").code == 0
    change(folder, 'effect = "allow"', 'effect = "perhaps"')
    ran = run("clients", "recheck", "--apply")
    assert (ran.code, ran.out) == (2, "")
    assert states(store, *live) == ["active"] * 3
