"""A registration is managed by its token and its client's own SVID: one of the two opens nothing (RFC 7592, T-47)."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.store.management import SqliteManagement
from bridge.store.ports import Access
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import Office
from tests.flows.managing import Mine


def test_token_and_certificate_are_both_needed_and_no_answer_says_which_failed_DCR_26_27(desk: Office) -> None:
    mine, other = Mine(desk, "/ns/web/sa/mine"), Mine(desk, "/ns/web/sa/others")
    stranger = desk.stand.stranger.x509_svid("/ns/web/sa/mine")
    expired = desk.stand.authority.x509_svid("/ns/web/sa/mine", ttl=-9)
    attempts = [
        mine.send("GET", token="A" * 43),
        mine.send("GET", token=other.token),
        mine.send("GET", at=other.at),
        mine.send("GET", token=other.token, at=other.at),
        mine.send("GET", svid=other.svid),
        mine.send("GET", svid=stranger),
        mine.send("GET", svid=expired),
        mine.send("GET", at="/register/none"),
    ]
    headers = [(b"authorization", f"Bearer {mine.token}".encode())]
    attempts.append(desk.call("GET", mine.at, headers=headers))
    for answer in attempts:
        assert answer.error == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert len({answer.content for answer in attempts}) == 1
    missing = mine.send("GET", token=None)
    assert (missing.status, missing.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert mine.send("GET").status == 200
    assert other.send("GET").status == 200


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer  ", "Bearer a b", "Basic YTpi", "bearer{}", "Bearer {}, Bearer {}", "{}", "DPoP {}"]
)
def test_a_malformed_authorization_is_401_and_changes_nothing_T_47(desk: Office, value: str) -> None:
    mine = Mine(desk, "/ns/web/sa/malformed")
    before = desk.record(mine.path)
    for method in ("GET", "DELETE"):
        headers = [(b"authorization", value.format(mine.token, mine.token).encode())]
        assert desk.call(method, mine.at, headers=headers, svid=mine.svid).error == (401, "invalid_token")
    assert desk.record(mine.path) == before
    assert mine.send("GET").status == 200


def test_a_token_read_from_a_log_is_worth_nothing_without_the_svid_T_47(desk: Office) -> None:
    """The statement was captured too: it gives the token again, which is still only one of two."""
    mine = Mine(desk, "/ns/web/sa/leaked")
    captured = desk.register({"software_statement": mine.told["software_statement"]}).registered
    assert captured["registration_access_token"] == mine.token
    thief = desk.stand.authority.x509_svid("/ns/web/sa/thief")
    assert mine.send("DELETE", token=captured["registration_access_token"], svid=thief).status == 401
    assert mine.send("GET").status == 200


def test_the_token_changes_with_reads_and_updates_and_at_no_other_time_DCR_32(desk: Office) -> None:
    mine = Mine(desk, "/ns/web/sa/rotates")
    first = mine.token
    for _ in range(2):
        assert desk.enrol(mine.path).registered["registration_access_token"] == first
    assert desk.token(desk.stand.jwt(mine.path)).status == 200
    second = mine.keep(mine.send("GET"))["registration_access_token"]
    assert mine.send("GET", token=first).error == (401, "invalid_token")
    third = mine.keep(mine.send("PUT", mine.update(client_name="x")))["registration_access_token"]
    assert mine.send("GET", token=second).error == (401, "invalid_token")
    assert len({first, second, third}) == 3
    assert desk.enrol(mine.path).registered["registration_access_token"] == third


def test_of_many_reads_with_one_token_one_gets_the_next_one(desk: Office) -> None:
    mine = Mine(desk, "/ns/web/sa/raced")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: mine.send("GET"), range(16)))
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 1
    assert {answer.status for answer in answers} == {200, 401}
    mine.keep(won[0])
    assert mine.send("GET").status == 200


def test_of_many_updates_with_one_token_one_is_made(desk: Office) -> None:
    """DCR-32, F-4: who is answered 401 has changed nothing."""
    mine = Mine(desk, "/ns/web/sa/updates-raced")
    before = desk.last_row()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: mine.send("PUT", mine.update(client_name=f"name {n}")), range(16)))
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 1
    assert {answer.status for answer in answers} == {200, 401}
    record = desk.record(mine.path)
    assert record is not None
    assert record.metadata["client_name"] == mine.keep(won[0])["client_name"]
    assert [row for row in desk.events(before) if row[0] == "updated"] == [("updated", "register", "metadata_replaced")]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("wrong", "answer", "reason"),
    [
        ("nothing", 0, ""),
        ("the token of another", 401, "registration_token"),
        ("a token of nobody", 401, "registration_token"),
        ("the address of another", 401, "registration_token"),
        ("an address of nobody", 401, "registration_token"),
        ("the SVID of another", 401, "registration_token"),
        ("a token rotated out", 401, "registration_token"),
        ("denied by a rule", 403, "management_forbidden"),
        ("denied by an operator", 401, "registration_token"),
    ],
)
def test_whoever_is_refused_with_an_SVID_is_in_the_audit_log_T_47(
    desk: Office, method: str, wrong: str, answer: int, reason: str
) -> None:
    """Section 8 of the contract: a stolen token and the workload that tried it are somebody's affair."""
    place = f"{method.lower()}-{wrong.replace(' ', '-').lower()}"
    mine, other = Mine(desk, f"/ns/web/sa/{place}"), Mine(desk, f"/ns/web/sa/other-{place}")
    sent = mine.update()
    token, svid = {"the token of another": other.token, "a token of nobody": "A" * 43}.get(wrong, mine.token), mine.svid
    at = {"the address of another": other.at, "an address of nobody": "/register/none"}.get(wrong, "")
    if wrong == "the SVID of another":
        svid = other.svid
    if wrong == "a token rotated out":
        mine.keep(mine.send("GET"))
    with denied(desk, mine.path, wrong):
        before = desk.last_row()
        got = mine.send(method, sent if method == "PUT" else b"", token=token, svid=svid, at=at)
    refused = [row for row in rows_after(desk, before) if row.event is AuditEventKind.REFUSED]
    if wrong == "nothing":
        assert got.status in (200, 204)
        assert refused == []
        return
    assert got.status == answer
    assert [(row.subject, row.reason, row.door) for row in refused] == [(str(svid.spiffe_id), reason, "register")]


@contextmanager
def denied(desk: Office, path: str, how: str) -> Iterator[None]:
    """Deny the identity as `how` says, if it says so."""
    before = (desk.stand.policies / "example.org.toml").read_text()
    if how == "denied by a rule":
        when = f'when = {{ path = "{path}" }}'
        desk.stand.write_rules(f'{before}\n[[rule]]\nid = "out"\nwhy = "INC-9"\neffect = "deny"\n{when}\n')
        desk.look()
    elif how == "denied by an operator":
        event = AuditEvent(id="an-operator", time=int(time.time()), event=AuditEventKind.DENIED)
        store = desk.process.worker._store.clients
        store.deny(f"spiffe://example.org{path}", absent=None, event=event, now=event.time)
    try:
        yield
    finally:
        desk.stand.write_rules(before)
        desk.look()


def rows_after(desk: Office, row: int) -> list[AuditEvent]:
    return [found.event for found in desk.process.worker._store.audit.rows(after=row, limit=100)]


def test_a_token_that_is_given_out_anew_is_in_the_audit_log_DCR_32(desk: Office) -> None:
    mine = Mine(desk, "/ns/web/sa/read")
    before = desk.last_row()
    assert mine.send("GET", token="A" * 43).status == 401
    mine.keep(mine.send("GET"))
    assert [row.outcome for row in rows_after(desk, before) if row.event is AuditEventKind.UPDATED] == [
        "registration_token_rotated"
    ]


@pytest.mark.parametrize("ended", [False, True])
def test_a_registration_that_an_operator_ends_at_once_is_no_replay_of_its_own_proof(
    desk: Office, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    """The record was made and is gone again before its token could be given out: there is none to give."""
    path = f"/ns/web/sa/ended-at-once-{ended}"
    store, open_access = desk.process.worker._store, SqliteManagement.open

    def after_the_operator(management: SqliteManagement, wanted: Access) -> Access:
        if ended:
            event = AuditEvent(id="an-operator", time=int(time.time()), event=AuditEventKind.REVOKED)
            store.clients.revoke(wanted.client_id, event=event, now=event.time)
        return open_access(management, wanted)

    monkeypatch.setattr(SqliteManagement, "open", after_the_operator)
    before = desk.last_row()
    told = desk.enrol(path, desk.proof(DpopKey())).registered
    assert ("registration_access_token" in told, "registration_client_uri" in told) == (not ended, not ended)
    kinds = [row.event for row in rows_after(desk, before)]
    assert kinds == [AuditEventKind.REGISTERED, AuditEventKind.REVOKED][: 1 + ended]
    monkeypatch.undo()
    assert "registration_access_token" in desk.enrol(path, desk.proof(DpopKey())).registered


def test_the_store_holds_a_digest_and_no_token_DCR_33(desk: Office) -> None:
    mine = Mine(desk, "/ns/web/sa/digested")
    database = sqlite3.connect(f"file:{desk.process.settings.database}?mode=ro", uri=True)
    dump = "\n".join(str(row) for (table,) in tables(database) for row in database.execute(f'SELECT * FROM "{table}"'))
    database.close()
    assert hashlib.sha256(mine.token.encode()).hexdigest() in dump
    assert mine.token not in dump


def tables(database: sqlite3.Connection) -> list[tuple[str]]:
    return database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()


def test_whose_record_is_nobody_s_alone_cannot_manage_it(desk: Office) -> None:
    assert "registration_access_token" in desk.enrol("/ns/web/sa/own").registered
    assert "registration_access_token" not in desk.enrol("/ns/batch/sa/shared").registered
