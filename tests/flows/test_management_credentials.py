"""A registration is managed by its token and its client's own SVID: one of the two opens nothing (RFC 7592, T-47)."""

from __future__ import annotations

import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

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
