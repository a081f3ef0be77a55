"""`bridge keys` and `bridge db`."""

from __future__ import annotations

import json
from pathlib import Path

from bridge.ambient import now
from bridge.store.ports import Store
from tests.unit.cli.conftest import Run

FIELDS = ["kid", "alg", "state", "created_at", "signs_from", "retires_at"]


def test_one_key_signs_and_one_waits(run: Run, store: Store) -> None:
    listed = run("keys", "list", "--json").json
    assert list(listed[0]) == FIELDS
    assert sorted(key["state"] for key in listed) == ["signing", "waiting"]
    assert "sealed" not in json.dumps(listed)


def test_rotation_promotes_the_waiting_key_and_publishes_a_new_one(run: Run, store: Store) -> None:
    before = {key["state"]: key["kid"] for key in run("keys", "list", "--json").json}
    ran = run("keys", "rotate", "--json")
    assert (ran.code, ran.json["kid"]) == (0, before["waiting"])
    listed = store.keys.keys()
    rows = {row.kid: row for row in listed}
    assert len(rows) == 3
    # The former signer stays published until its last token has died; nobody changes over before that is known.
    assert (rows[before["signing"]].retires_at or 0) > now() + 3600
    assert (rows[before["waiting"]].signs_from or 0) > now()
    assert [row["event"] for row in run("audit", "tail", "--json", "--limit", "1").lines] == ["keys_rotated"]


def test_people_see_the_keys_too(run: Run, store: Store) -> None:
    out = run("keys", "list").out
    assert out.splitlines()[0].split("\t") == FIELDS
    assert "signs from" in run("keys", "rotate").out


def test_keys_of_another_seal_key_are_refused_t_54(run: Run, folder: Path) -> None:
    assert run("keys", "rotate").code == 0
    (folder / "secrets" / "seal.key").write_text("00" * 32)
    ran = run("keys", "rotate")
    assert ran.code == 1
    assert "seal" in ran.err


def test_a_current_schema_is_exit_0(run: Run, folder: Path) -> None:
    ran = run("db", "status", "--json")
    assert ran.code == 0
    assert ran.json["current"] == ran.json["latest"]
    assert ran.json["pending"] == []


def test_a_store_that_is_not_there_is_pending_until_it_is_migrated(run: Run, folder: Path) -> None:
    (folder / "bridge.db").unlink()
    ran = run("db", "status", "--json")
    assert ran.code == 1
    assert ran.json["current"] == 0
    migrated = run("db", "migrate", "--json")
    assert migrated.code == 0
    assert migrated.json["applied"] == ran.json["pending"]
    assert run("db", "status").code == 0
    again = run("db", "migrate", "--json")
    assert (again.code, again.json["applied"]) == (0, [])


def test_a_file_that_is_no_database_is_exit_1_without_a_traceback(run: Run, folder: Path) -> None:
    (folder / "bridge.db").write_bytes(b"not a database" * 1000)
    for verb in ("status", "migrate"):
        ran = run("db", verb)
        assert ran.code == 1
        assert "bridge.db" in ran.err
