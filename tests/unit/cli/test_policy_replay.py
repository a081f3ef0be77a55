"""`bridge policy replay`: exactly the requests that a candidate would answer otherwise, however long the log is."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.ambient import now
from bridge.cli.policy.replay_book import ReplayBook
from bridge.cli.policy.replay_run import ReplayRun
from bridge.config import Settings
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.terms import Decision, Effect
from bridge.policy.cases import Request, request_of
from bridge.policy.evaluate import PolicySet
from bridge.policy.folder import PolicyDefaults, check_folder
from bridge.policy.permits import permit_of
from bridge.policy.replay import Replay
from bridge.store.ports import AskRow, Store
from tests.unit.cli.conftest import ROOT, Run

SHIPPED = ROOT / "policies"
API = "spiffe://example.org/ns/web/sa/api"
EVERY = ["jkt", "x5t#S256"]


@pytest.fixture
def candidate(folder: Path) -> Path:
    """The shipped policies in force, and a copy to change."""
    shutil.rmtree(folder / "policies")
    shutil.copytree(SHIPPED, folder / "policies")
    shutil.copytree(SHIPPED, folder / "candidate")
    return folder / "candidate"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def policy_in(folder: Path) -> PolicySet:
    found = check_folder(folder, PolicyDefaults()).policy_set
    assert found is not None
    return found


def row(request: Request, decision: Decision, id: str, **more: Any) -> AuditEvent:
    """The row of a request that was decided so, as the service writes it."""
    allowed = decision.effect is Effect.ALLOW
    reason = "approval_pending" if decision.effect is Effect.ASK else decision.reason.value if decision.reason else ""
    event = AuditEvent(
        id=id,
        time=now() - 3600,
        event=AuditEventKind.TOKEN_ISSUED if allowed else AuditEventKind.REFUSED,
        door=request.ask.door.value,
        subject=request.subject.actor,
        evidence=request.subject.evidence.value,
        ask={**request.ask.to_audit(), "proved": sorted(method.value for method in request.proved)},
        rule=decision.rule or "",
        outcome="allow" if allowed else "deny",
        reason=reason,
        client_id=request.subject.url or (request.subject.name if allowed else ""),
        policy_version=decision.policy_version,
    )
    return replace(event, **more)


Record = Callable[..., None]


@pytest.fixture
def record(store: Store, candidate: Path, folder: Path) -> Record:
    """Write down what the policies in force say to a request."""
    policy = policy_in(folder / "policies")

    def write(id: str = "id-1", *, more: Mapping[str, Any] | None = None, **words: Any) -> None:
        request = request_of(**{"subject": API, "evidence": "jwt-svid", "proved": (), **words})
        decision = policy.decide(request.subject, request.ask, proved=request.proved)
        store.audit.append(row(request, decision, id, **(more or {})))

    return write


REPLAY = ("policy", "replay", "--candidate", "candidate")


def test_what_stays_as_it_is_is_not_printed(run: Run, record: Record) -> None:
    record()
    record("id-2", scopes=["ledger.write"])
    record("id-3", subject="spiffe://example.org/ns/agents/sa/x", proved=["jkt"])
    ran = run(*REPLAY)
    assert (ran.code, ran.out) == (0, "ok  3 recorded requests: none would be answered otherwise\n")
    assert (run(*REPLAY, "--json").code, run(*REPLAY, "--json").out) == (0, "")


def test_a_change_is_one_object_with_both_answers_and_its_count(run: Run, record: Record, candidate: Path) -> None:
    record("id-1")
    record("id-2", more={"time": now() - 60})
    change(candidate / "example.org.toml", '"/ns/web/sa/*"', '"/ns/shop/sa/*"')
    ran = run(*REPLAY, "--json")
    (told,) = ran.lines
    assert ran.code == 1
    assert {name: told[name] for name in ("subject", "evidence", "ask", "change", "already", "requests", "id")} == {
        "subject": API,
        "evidence": "jwt-svid",
        "ask": {"grant_type": "client_credentials", "scopes": [], "resources": [], "proved": []},
        "change": "loses",
        "already": False,
        "requests": 2,
        "id": "id-2",
    }
    assert (told["before"]["effect"], told["before"]["rule"]) == ("allow", "web-reads-ledger")
    assert told["before"]["terms"]["token_ttl"] == 300
    assert (told["after"]["effect"], told["after"]["because"]) == ("deny", "policy_no_rule")


def test_people_see_it_by_rule_and_identity(run: Run, record: Record, candidate: Path) -> None:
    record("id-1")
    record("id-2", scopes=["ledger.read"])
    record("id-3", subject="spiffe://example.org/ns/shop/sa/api")
    change(candidate / "example.org.toml", '"/ns/web/sa/*"', '"/ns/shop/sa/*"')
    lines = [line.split("\t") for line in run(*REPLAY).out.splitlines()]
    assert [line[0] for line in lines] == [
        "would be given by rule web-reads-ledger:",
        "who",
        "spiffe://example.org/ns/shop/sa/api",
        "",
        "would no longer be given by rule web-reads-ledger:",
        "who",
        API,
        API,
        "",
        "3 of 3 recorded requests, of 2 identities, would be answered otherwise",
    ]
    assert lines[6][1:4] == ["ledger.read", "jwt-svid", "1"]
    assert lines[6][5:] == ["policy_no_rule", "id-2"]


@pytest.mark.parametrize(
    ("old", "new", "words", "told"),
    [
        ('["ledger.read"], token_ttl = "5m"', '["ledger.read"], token_ttl = "9m"', {}, "token_ttl 5m -> 9m"),
        ('["ledger.read"], token', '["ledger.read", "ledger.write"], token', {"subject": API}, None),
        ('bind = "any" }', 'bind = "jkt" }', {"subject": "spiffe://example.org/ns/agents/sa/x", "proved": ["jkt"]}, ""),
        ('client = { shared = "batch-fleet" }', "", {"subject": "spiffe://example.org/ns/batch/sa/x"}, "client"),
    ],
    ids=["ttl", "a scope that a JWT-SVID never gets", "an approval that is void", "another client"],
)
def test_other_terms_are_a_change_and_what_nobody_notices_is_none(
    run: Run, record: Record, candidate: Path, old: str, new: str, words: dict[str, Any], told: str | None
) -> None:
    """A row keeps no terms: they are those of the policies in force where these decide as was recorded."""
    record(**words)
    change(candidate / "example.org.toml", old, new)
    ran = run(*REPLAY)
    assert (ran.code, "would be given on other terms" in ran.out) == ((0, False) if told is None else (1, True))
    assert (told or "") in ran.out


def test_what_an_operator_approved_was_allowed_and_still_has_to_be_approved(
    run: Run, record: Record, candidate: Path
) -> None:
    """T-45: the row says that it was allowed, the rule that it had to be."""
    agent = {"subject": "spiffe://example.org/ns/agents/sa/x", "proved": ["jkt"]}
    approved = {"event": AuditEventKind.TOKEN_ISSUED, "outcome": "allow", "reason": "", "rule": "agents-call-tools"}
    record(**agent, more=approved)
    assert run(*REPLAY).code == 0
    change(candidate / "example.org.toml", 'effect = "ask"', 'effect = "allow"')
    (told,) = run(*REPLAY, "--json").lines
    assert (told["before"]["effect"], told["after"]["effect"], told["change"]) == ("ask", "allow", "changes")


@pytest.mark.parametrize("reason", ["limit_reached", "credential_replayed", "identity_denied", "access_denied"])
def test_what_no_rule_refused_is_not_policy_s(run: Run, record: Record, candidate: Path, reason: str) -> None:
    """Its twin: the same refused by policy."""
    refused = {"event": AuditEventKind.REFUSED, "outcome": "deny", "rule": "", "policy_version": "older"}
    record("id-1", more={**refused, "reason": reason, "count": 7})
    ran = run(*REPLAY)
    assert (ran.code, "7 refused by no rule" in ran.err) == (0, True)
    record("id-2", more={**refused, "reason": "policy_no_rule", "count": 7})
    (told,) = run(*REPLAY, "--json").lines
    assert (told["change"], told["requests"], told["rows"], told["already"]) == ("gains", 7, 1, True)


def test_other_events_and_asks_that_were_not_kept_are_left_out(run: Run, record: Record, store: Store) -> None:
    record("id-1", more={"ask": {}, "event": AuditEventKind.REFUSED, "reason": "policy_scope", "count": 40})
    asked_nothing = {"grant_type": "", "scopes": [], "resources": []}
    record("id-2", more={"ask": asked_nothing, "event": AuditEventKind.REFUSED, "reason": "policy_deny_rule"})
    record("id-3", more={"ask": {}, "event": AuditEventKind.REGISTERED, "outcome": "active"})
    store.audit.append(AuditEvent("id-4", now(), AuditEventKind.REVOKED, subject=API, door="operator"))
    ran = run(*REPLAY)
    assert (ran.code, ran.out) == (0, "ok  0 recorded requests: none would be answered otherwise\n")
    assert "40 of which the log keeps only the number" in ran.err


def test_a_change_that_is_in_force_already_says_so_and_can_be_left_out(
    run: Run, record: Record, candidate: Path, folder: Path
) -> None:
    """What was recorded is what happened; what only the candidate does is what a pipeline asks about."""
    record("id-1")
    for where in ("policies", "candidate"):
        change(folder / where / "example.org.toml", '"/ns/web/sa/*"', '"/ns/shop/sa/*"')
    ran = run(*REPLAY)
    assert (ran.code, ", as the policies in force do already:" in ran.out) == (1, True)
    assert "1, of 1 identities, are answered so by the policies in force already" in ran.out
    assert run(*REPLAY, "--against", "in-force").code == 0
    shutil.rmtree(candidate)
    shutil.copytree(SHIPPED, candidate)
    assert run(*REPLAY).code == 0
    (told,) = run(*REPLAY, "--against", "in-force", "--json").lines
    assert (told["change"], told["before"]["effect"]) == ("gains", "deny")


@pytest.mark.parametrize("more", [{}, {"policy_version": ""}], ids=["by these policies", "by none named"])
def test_a_row_that_the_policies_of_then_do_not_explain_is_no_change(
    run: Run, record: Record, candidate: Path, more: dict[str, str]
) -> None:
    """Refused though the rules allow what stands in the row: it turned on something else, as when a document does not
    state the grant type, or a refresh asks for what its grant does not have."""
    record(more={"event": AuditEventKind.REFUSED, "outcome": "deny", "reason": "policy_grant_type", **more})
    change(candidate / "example.org.toml", '["ledger.read"], token_ttl = "5m"', '["ledger.read"], token_ttl = "9m"')
    ran = run(*REPLAY)
    assert (ran.code, "1 whose row does not hold all that the answer turned on" in ran.err) == (0, True)


def test_a_request_of_a_user_is_decided_as_it_was_with_every_key(run: Run, record: Record, candidate: Path) -> None:
    """Before there is a token, no key has to be proved: `bind = "any"` refuses nothing there (PCR-19)."""
    change(candidate / "metadata-documents.toml", 'refresh_ttl = "8h"', 'bind = "any"')
    app = {"subject": "https://mail.apps.example.org/oauth/x", "evidence": None, "proved": []}
    consent = {"event": AuditEventKind.APPROVED, "outcome": "consent", "rule": "our-apps-list-tools", "reason": ""}
    record("id-1", **app, more=consent)
    (told,) = run(*REPLAY, "--json").lines
    assert (told["change"], told["ask"]["proved"], told["after"]["effect"]) == ("changes", EVERY, "allow")
    record("id-2", **app)
    assert {line["change"] for line in run(*REPLAY, "--json").lines} == {"changes", "loses"}


def test_since_leaves_out_what_is_older(run: Run, record: Record, candidate: Path) -> None:
    record("id-1", more={"time": now() - 7200})
    record("id-2", more={"time": now() - 60})
    change(candidate / "example.org.toml", '"/ns/web/sa/*"', '"/ns/shop/sa/*"')
    assert [line["requests"] for line in run(*REPLAY, "--json").lines] == [2]
    assert [line["requests"] for line in run(*REPLAY, "--json", "--since", "1h").lines] == [1]


# --- bad input ----------------------------------------------------------------------------------------------------


def test_a_candidate_that_does_not_load_replays_nothing(run: Run, record: Record, candidate: Path) -> None:
    record()
    change(candidate / "pushed.toml", "why", "wy")
    ran = run(*REPLAY)
    assert (ran.code, ran.out) == (2, "")
    assert "pushed.toml:" in ran.err
    assert "candidate: these policies do not load" in ran.err


def test_policies_in_force_that_do_not_load_are_needed_for_terms_only(
    run: Run, record: Record, candidate: Path, folder: Path
) -> None:
    record()
    change(folder / "policies" / "pushed.toml", "why", "wy")
    ran = run(*REPLAY)
    assert (ran.code, "other terms go unseen" in ran.err) == (0, True)
    assert run(*REPLAY, "--against", "in-force").code == 2
    change(candidate / "example.org.toml", '"/ns/web/sa/*"', '"/ns/shop/sa/*"')
    assert run(*REPLAY).code == 1


def damage(settings: Settings, statement: str) -> None:
    with sqlite3.connect(settings.database) as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


@pytest.mark.parametrize(
    "column",
    [
        "ask = '{\"grant_type\"'",
        "ask = '[1]'",
        "subject = 'spiffe://example.org/%1b'",
        "evidence = 'x'",
        'ask = \'{"grant_type": "x", "scopes": 7}\'',
        "time = 253402300800",
        "time = -1",
        "count = 4611686018427387904",
    ],
)
def test_a_row_that_somebody_changed_is_named_and_never_means_that_nothing_changes(
    run: Run, record: Record, settings: Settings, column: str
) -> None:
    record("id-1")
    record("id-2")
    assert run(*REPLAY).code == 0
    damage(settings, f"UPDATE audit SET {column} WHERE id = 'id-1'")
    ran = run(*REPLAY)
    assert (ran.code, "(id id-1) cannot be read" in ran.err) == (1, True)
    assert "next: `bridge audit verify`" in ran.err


def test_verify_replays_only_a_whole_log(run: Run, record: Record, settings: Settings) -> None:
    for number in range(3):
        record(f"id-{number}")
    assert run(*REPLAY, "--verify").code == 0
    damage(settings, "DELETE FROM audit WHERE id = 'id-1'")
    assert run(*REPLAY).code == 0
    ran = run(*REPLAY, "--verify")
    assert (ran.code, ran.out) == (1, "")
    assert "the audit log is not whole, so it was not replayed" in ran.err


def test_what_rows_hold_cannot_move_a_terminal(run: Run, record: Record, candidate: Path) -> None:
    """The scope that was asked for, and the id of an assertion's subject, came from outside."""
    evil = "\x1b[31m\x9b2J\u202eledger.read"
    ci = {"subject": f"pipelines/{evil}", "issuer": "https://ci.example.org", "evidence": None}
    record("id-1", **ci, scopes=[evil], more={"event": AuditEventKind.TOKEN_ISSUED, "policy_version": "older"})
    for ran in (run(*REPLAY), run(*REPLAY, "--json")):
        assert ran.code == 1
        assert not {"\x1b", "\x9b", "\u202e"} & set(ran.out + ran.err)
    assert run(*REPLAY, "--json").lines[0]["ask"]["scopes"] == [evil]


# --- brute force --------------------------------------------------------------------------------------------------


def requests(chance: random.Random) -> Iterator[Request]:
    """Requests of all sources, a few kinds of each again and again."""
    scopes = ["ledger.read", "ledger.write", "reports.read", "tools.call", "tools.list", "nothing.known"]
    while True:
        namespace = chance.choice(["web", "payments", "batch", "agents", "crawl", "other"])
        words: dict[str, Any] = chance.choice(
            [
                {
                    "subject": f"spiffe://example.org/ns/{namespace}/sa/{chance.choice(['api', 'default', 'nightly'])}",
                    "evidence": chance.choice(["jwt-svid", "x509-svid"]),
                    "door": chance.choice(["token", "token", "register"]),
                },
                {"subject": f"https://{chance.choice(['mail', 'legacy'])}.apps.example.org/oauth/x", "door": "par"},
                {"subject": "pipelines/release", "issuer": "https://ci.example.org"},
            ]
        )
        named = chance.sample(scopes, chance.choice([0, 1, 1, 2]))
        # Before there is a token every key counts as proved, whatever the row says.
        proved = EVERY if words.get("door") == "par" else chance.choice([(), ("jkt",), ("x5t#S256",)])
        yield request_of(**words, scopes=named, proved=proved)


def test_replay_prints_exactly_the_identities_that_gain_or_lose(
    run: Run, store: Store, candidate: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against deciding each row by itself; with every bound so small that each is passed many times."""
    monkeypatch.setattr("bridge.cli.policy.replay.ROWS_AT_ONCE", 37)
    monkeypatch.setattr("bridge.cli.policy.replay_run.MOST_REMEMBERED", 11)
    monkeypatch.setattr("bridge.cli.policy.replay_run.MOST_CHARACTERS", 900)
    monkeypatch.setattr("bridge.cli.policy.replay_book.MOST_IN_MEMORY", 7)
    monkeypatch.setattr("bridge.cli.policy.replay_book.MOST_CHARACTERS", 2500)
    change(candidate / "example.org.toml", '"/ns/web/sa/*"', '"/ns/other/sa/*"')
    change(candidate / "example.org.toml", 'token_ttl = "15m"', 'token_ttl = "16m"')
    change(candidate / "example.org.toml", '"/ns/*/sa/default"', '"/ns/payments/sa/*"')
    change(candidate / "metadata-documents.toml", 'scopes = ["tools.list"]\n# {1}', 'scopes = ["tools.call"]\n# {1}')
    before, after = policy_in(folder / "policies"), policy_in(candidate)
    expected: Counter[tuple[str, str, str, str]] = Counter()
    source = requests(random.Random(7))
    for number in range(700):
        request = next(source)
        one, other = (p.decide(request.subject, request.ask, proved=request.proved) for p in (before, after))
        store.audit.append(row(request, one, f"id-{number}"))
        if permit_of(one) != permit_of(other) or one.effect is not other.effect:
            kind = "gains" if one.effect is Effect.DENY else "loses" if other.effect is Effect.DENY else "changes"
            proved = sorted(method.value for method in request.proved)
            asked = json.dumps({**request.ask.to_audit(), "proved": proved}) + request.ask.door
            expected[request.subject.name, request.subject.evidence, asked, kind] += 1
    told: Counter[tuple[str, str, str, str]] = Counter()
    for line in run(*REPLAY, "--json").lines:
        asked = json.dumps(line["ask"]) + line["door"]
        told[line["subject"], line["evidence"], asked, line["change"]] += line["requests"]
    assert len(expected) > 30
    assert {kind for *_, kind in expected} == {"gains", "loses", "changes"}
    assert told == expected
    assert f"{sum(expected.values())} of 700 recorded requests" in run(*REPLAY).out


def test_what_was_asked_at_length_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """T-27: who is refused chooses what the log keeps of it, thirty thousand characters and each time others."""
    monkeypatch.setattr("bridge.cli.policy.replay_run.MOST_CHARACTERS", 10_000)
    monkeypatch.setattr("bridge.cli.policy.replay_book.MOST_CHARACTERS", 10_000)
    policy, book = policy_in(SHIPPED), ReplayBook()
    # Recorded as refused by nobody's rule for what the policies allow: each is a change.
    going = ReplayRun(Replay(None, policy).against_recorded, None, book)
    for number in range(40):
        ask = {"grant_type": "client_credentials", "scopes": [f"{number}-" + "x" * 2000], "resources": [], "proved": []}
        said = ("refused", "token", API, "jwt-svid", json.dumps(ask), "", "deny", "approval_pending", "", "v", 1)
        going.take([AskRow(number + 1, 1, "id", *said)])
        kept = sum(len(columns[3]) for columns in going._forms) + sum(len(change.told) for change in book._open)
        assert kept < 30_000
    assert (going.tally.replayed, book.totals(already=False)[0]) == (40, 40)
    book.close()
