"""`bridge audit`: the log in the shape of the contract, followed, verified and exported."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.ambient import new_id, now
from bridge.cli.audit.lookup import ask_of
from bridge.cli.options import Failure, Moment, moment_at
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, Source
from bridge.model.terms import Ask
from bridge.store.ports import Store
from tests.unit.cli.conftest import Run, bridge_that_goes_on

API = "spiffe://example.org/ns/example/sa/api"
CONTRACT = [
    "id", "time", "event", "door", "subject", "evidence", "ask", "rule", "outcome", "reason", "client_id", "jti",
    "count",
]  # fmt: skip


def refusal(identifier: str, *, at: int | None = None, evidence: str = "jwt-svid", **ask: object) -> AuditEvent:
    return AuditEvent(
        id=identifier,
        time=now() if at is None else at,
        event=AuditEventKind.REFUSED,
        door="token",
        subject=API,
        evidence=evidence,
        ask={"grant_type": "client_credentials", "scopes": ["ledger.write"], "resources": [], **ask},
        rule="example-workloads-read-ledger",
        outcome="deny",
        reason="policy_scope",
    )


def tail(run: Run, *words: str) -> list[str]:
    """The ids of the rows that the test wrote; preparing the store wrote some too."""
    return [row["id"] for row in run("audit", "tail", "--json", *words).lines if row["event"] == "refused"]


# --- tail -----------------------------------------------------------------------------------------


def test_a_row_has_the_fields_of_the_contract_first(run: Run, store: Store) -> None:
    store.audit.append(refusal("id-1", at=1_800_000_000))
    (row,) = run("audit", "tail", "--json", "--event", "refused").lines
    assert list(row)[: len(CONTRACT)] == CONTRACT
    assert {name: row[name] for name in CONTRACT} == {
        "id": "id-1",
        "time": "2027-01-15T08:00:00Z",
        "event": "refused",
        "door": "token",
        "subject": API,
        "evidence": "jwt-svid",
        "ask": {"grant_type": "client_credentials", "scopes": ["ledger.write"], "resources": []},
        "rule": "example-workloads-read-ledger",
        "outcome": "deny",
        "reason": "policy_scope",
        "client_id": "",
        "jti": "",
        "count": 1,
    }


def test_tail_shows_the_newest_rows_oldest_of_them_first(run: Run, store: Store) -> None:
    for number in range(120):
        store.audit.append(refusal(f"id-{number}"))
    assert tail(run, "--event", "refused") == [f"id-{n}" for n in range(20, 120)]
    assert tail(run, "--limit", "2") == ["id-118", "id-119"]
    assert tail(run, "--all") == [f"id-{n}" for n in range(120)]


def test_tail_since_leaves_out_what_is_older(run: Run, store: Store) -> None:
    store.audit.append(refusal("old", at=now() - 7200))
    store.audit.append(refusal("new", at=now() - 1800))
    assert tail(run, "--since", "3h") == ["old", "new"]
    assert tail(run, "--since", "1h") == ["new"]
    assert tail(run, "--since", "1h", "--all") == ["new"]


def test_tail_shows_only_the_events_asked_for(run: Run, store: Store) -> None:
    store.audit.append(refusal("no"))
    events = {row["event"] for row in run("audit", "tail", "--json", "--event", "keys_rotated").lines}
    assert events == {"keys_rotated"}
    ran = run("audit", "tail", "--json", "--event", "keys_rotated", "--event", "refused")
    assert {row["event"] for row in ran.lines} == {"keys_rotated", "refused"}
    assert run("audit", "tail", "--event", "nonsense").code == 2


def test_people_see_what_was_asked(run: Run, store: Store) -> None:
    store.audit.append(refusal("id-1"))
    out = run("audit", "tail", "--event", "refused").out
    assert "ledger.write" in out
    assert API in out
    # A list stays one, whatever somebody asks for; JSON has all of it.
    store.audit.append(replace(refusal("id-2"), ask={"scopes": ["x" * 250] * 64}))
    assert f"\t{'x' * 200}... (16063 characters)\t" in run("audit", "tail").out
    assert len(run("audit", "tail", "--json").lines[-1]["ask"]["scopes"]) == 64


def following(folder: Path, *words: str | Path) -> AbstractContextManager[subprocess.Popen[str]]:
    return bridge_that_goes_on(["audit", "tail", "--follow", *words], cwd=folder)


def test_follow_shows_each_new_row_once_until_ctrl_c(folder: Path, store: Store) -> None:
    store.audit.append(refusal("before"))
    with following(folder, "--json", "--event", "refused") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == "before"
        for number in range(3):
            store.audit.append(refusal(f"after-{number}"))
        assert [json.loads(process.stdout.readline())["id"] for _ in range(3)] == ["after-0", "after-1", "after-2"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (out, process.returncode) == ("", 130)
        assert "Traceback" not in err


# --- show -----------------------------------------------------------------------------------------


def test_show_has_all_rows_of_one_request(run: Run, store: Store) -> None:
    store.audit.append(refusal("id-1"))
    store.audit.append(refusal("id-2"))
    store.audit.append(refusal("id-1"))
    assert [row["id"] for row in run("audit", "show", "id-1", "--json").lines] == ["id-1", "id-1"]
    ran = run("audit", "show", "id-1")
    assert "policy_scope" in ran.out
    assert "policy explain --audit id-1" in ran.err


@pytest.mark.parametrize(
    ("reason", "next_step"),
    [
        ("policy_no_rule", "policy explain --audit id-1"),
        ("approval_pending", "clients list --pending"),
        ("identity_denied", "audit tail --event denied"),
        ("access_denied", "the user pressed Deny"),
        ("limit_reached", "the service's log"),
        ("metadata_invalid", "the service's log"),
    ],
)
def test_show_sends_to_where_the_reason_is_explained(run: Run, store: Store, reason: str, next_step: str) -> None:
    store.audit.append(replace(refusal("id-1"), reason=reason))
    ran = run("audit", "show", "id-1")
    assert (ran.code, ran.err.count("next: ")) == (0, 1)
    assert next_step in ran.err


@pytest.mark.parametrize("outcome", ["code_reused", "refresh_token_reused"])
def test_show_says_what_a_second_use_means(run: Run, store: Store, outcome: str) -> None:
    ended = AuditEvent("id-1", now(), AuditEventKind.REVOKED, subject=API, outcome=outcome, jti="grant-1")
    store.audit.append(ended)
    store.audit.append(replace(refusal("id-1"), reason="grant_reused"))
    assert "audit export | grep grant-1" in run("audit", "show", "id-1").err
    store.audit.append(replace(ended, id="id-2", outcome="grant_revoked"))
    assert "next: " not in run("audit", "show", "id-2").err


@pytest.mark.parametrize("words", [("audit", "show"), ("policy", "explain", "--audit")])
def test_an_id_without_rows_is_exit_1_and_says_where_to_look(run: Run, store: Store, words: tuple[str, ...]) -> None:
    ran = run(*words, "none")
    assert (ran.code, ran.out) == (1, "")
    assert "the service's log" in ran.err


# --- verify ---------------------------------------------------------------------------------------


def test_a_log_that_nobody_touched_is_intact(run: Run, store: Store) -> None:
    store.audit.append(refusal("id-1"))
    ran = run("audit", "verify", "--json")
    assert ran.code == 0
    assert (ran.json["intact"], ran.json["faults"]) == (True, [])
    assert {"writer", "sequence", "mac"} == set(ran.json["heads"][0])
    assert "ok" in run("audit", "verify").out


@pytest.mark.parametrize(
    "tampering",
    ["UPDATE audit SET reason = 'x' WHERE id = 'id-2'", "DELETE FROM audit WHERE id = 'id-2'"],
    ids=["changed", "missing"],
)
def test_a_changed_or_missing_row_is_named_and_exit_1_t_40(
    run: Run, store: Store, folder: Path, tampering: str
) -> None:
    for number in (1, 2, 3):
        store.audit.append(refusal(f"id-{number}"))
    assert run("audit", "verify").code == 0
    with sqlite3.connect(folder / "bridge.db") as connection:
        connection.execute(tampering)
    connection.close()
    ran = run("audit", "verify", "--json")
    assert ran.code == 1
    assert ran.json["faults"]
    assert run("audit", "verify").code == 1


# --- export ---------------------------------------------------------------------------------------


def test_export_writes_json_lines_of_a_span_of_time(run: Run, store: Store) -> None:
    for hour in range(4):
        store.audit.append(refusal(f"hour-{hour}", at=1_800_000_000 + 3600 * hour))
    span = ["--since", "2027-01-15T09:00:00Z", "--until", "2027-01-15T11:00:00Z"]
    assert [row["id"] for row in run("audit", "export", *span).lines] == ["hour-1", "hour-2"]
    whole = run("audit", "export", "--event", "refused")
    assert [row["id"] for row in whole.lines] == [f"hour-{n}" for n in range(4)]
    assert whole.err == ""


def test_a_span_that_is_none_is_exit_2(run: Run, store: Store) -> None:
    assert run("audit", "export", "--since", "2h", "--until", "1h").code == 0
    assert run("audit", "export", "--since", "1h", "--until", "2h").code == 2
    assert run("audit", "export", "--since", "yesterday").code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 910), ("15m", 100), ("1970-01-01T00:10:00Z", 600), ("1970-01-01T01:10:00+01:00", 600), ("1970-01-01", 0)],
)
def test_times_are_durations_or_rfc_3339(text: str, expected: int) -> None:
    assert moment_at(Moment().convert(text, None, None), 1000) == expected


# --- from a row back to the ask -------------------------------------------------------------------


def test_a_refusal_can_be_asked_again(store: Store) -> None:
    store.audit.append(refusal("id-1", proved=["jkt"]))
    recorded = ask_of(store, "id-1")
    subject, ask, proved = recorded.subject, recorded.ask, recorded.proved
    assert (subject.source, subject.evidence, subject.name) == (Source.SPIFFE, EvidenceKind.JWT_SVID, API)
    assert ask == Ask(Door.TOKEN, "client_credentials", ("ledger.write",), ())
    assert proved == {BindingMethod.JKT}


@pytest.mark.parametrize(("evidence", "proved"), [("x509-svid", {BindingMethod.X5T_S256}), ("jwt-svid", set())])
def test_a_row_that_does_not_say_what_was_proved_is_read_as_its_evidence_alone(
    store: Store, evidence: str, proved: set[BindingMethod]
) -> None:
    store.audit.append(refusal("id-1", evidence=evidence))
    assert ask_of(store, "id-1").proved == proved


def test_of_several_rows_of_one_request_the_one_with_the_ask_counts(store: Store) -> None:
    store.audit.append(AuditEvent("id-1", now(), AuditEventKind.REGISTERED, subject=API, evidence="jwt-svid"))
    store.audit.append(refusal("id-1"))
    assert ask_of(store, "id-1").ask.scopes == ("ledger.write",)


def test_an_operators_act_is_no_ask(store: Store) -> None:
    store.audit.append(AuditEvent("id-1", now(), AuditEventKind.REVOKED, subject=API, door="operator"))
    with pytest.raises(Failure, match="no request that policy decided"):
        ask_of(store, "id-1")
    with pytest.raises(Failure, match="no audit row"):
        ask_of(store, "id-2")


def test_what_a_user_approved_is_an_ask_and_what_an_operator_approved_is_none(store: Store) -> None:
    ask = {"grant_type": "authorization_code", "scopes": ["ledger.read"], "resources": [], "user": "user-1"}
    store.audit.append(replace(refusal("id-1"), event=AuditEventKind.APPROVED, door="par", ask=ask))
    assert ask_of(store, "id-1").ask.grant_type == "authorization_code"
    store.audit.append(AuditEvent("id-2", now(), AuditEventKind.APPROVED, subject=API, door="operator"))
    with pytest.raises(Failure, match="no request that policy decided"):
        ask_of(store, "id-2")


def test_explain_takes_a_refusal_from_the_log(run: Run, store: Store) -> None:
    store.audit.append(refusal("id-1"))
    ran = run("policy", "explain", "--audit", "id-1", "--json")
    assert ran.code == 1
    assert ran.json["effect"] == "deny"
    assert "it was refused" not in ran.err


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("limit_reached", "by no rule: limit_reached"),
        ("policy_scope", "it was refused then (policy_scope), by policies older"),
    ],
)
def test_explain_says_so_when_what_was_refused_would_be_allowed(
    run: Run, store: Store, reason: str, words: str
) -> None:
    allowed = {"grant_type": "client_credentials", "scopes": ["ledger.read"], "resources": []}
    store.audit.append(replace(refusal("id-1"), reason=reason, ask=allowed, policy_version="older"))
    ran = run("policy", "explain", "--audit", "id-1", "--json")
    assert (ran.code, ran.json["effect"]) == (0, "allow")
    assert words in ran.err


@pytest.mark.parametrize(("drawn", "made"), [(["-a", "-", "b-c"], "b-c"), (["b-c", "d"], "b-c")])
def test_no_id_could_be_taken_for_an_option(monkeypatch: pytest.MonkeyPatch, drawn: list[str], made: str) -> None:
    """People copy ids out of refusals and logs behind `bridge audit show`."""
    draws = iter(drawn)
    monkeypatch.setattr("bridge.ambient.secrets.token_urlsafe", lambda size: next(draws))
    assert new_id() == made
