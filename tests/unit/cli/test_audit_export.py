"""`bridge audit export`: nothing left out, nothing twice but after a crash, and no broken chain passed over."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.audit import export as audit_export
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.store.ports import Store
from tests.unit.cli.conftest import NOW, Run, bridge_that_goes_on


def add(store: Store, *names: str, kind: AuditEventKind = AuditEventKind.REFUSED) -> None:
    for name in names:
        store.audit.append(AuditEvent(id=name, time=NOW, event=kind))


def change(folder: Path, statement: str) -> None:
    """Behind the store's back."""
    connection = sqlite3.connect(folder / "bridge.db")
    with connection:
        assert connection.execute(statement).rowcount
    connection.close()


def exported(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines() if json.loads(line)["event"] == "refused"]


# --- where it begins and ends ---------------------------------------------------------------------


def test_an_export_goes_on_behind_a_row(run: Run, store: Store) -> None:
    add(store, "a", "b", "c")
    rows = run("audit", "export").lines
    assert [row["row"] for row in rows] == list(range(1, len(rows) + 1))
    assert run("audit", "export", "--after", str(rows[-2]["row"])).lines == rows[-1:]
    assert run("audit", "export", "--after", str(rows[-1]["row"])).lines == []
    assert run("audit", "export", "--after", str(rows[-1]["row"] + 1)).code == 1


def test_a_file_is_made_for_its_owner_and_never_written_over(run: Run, store: Store, tmp_path: Path) -> None:
    add(store, "a", "b")
    file = tmp_path / "rows.jsonl"
    assert run("audit", "export", file).code == 0
    assert (exported(file), file.stat().st_mode & 0o777) == (["a", "b"], 0o600)
    assert run("audit", "export", file).code == 2
    assert exported(file) == ["a", "b"]


def test_with_a_cursor_each_row_goes_once(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_export, "_PAGE", 2)
    file, cursor = tmp_path / "rows.jsonl", tmp_path / "cursor"
    names: list[str] = []
    for turn in range(4):
        add(store, *(new := [f"{turn}-{number}" for number in range(turn)]))
        names += new
        assert run("audit", "export", file, "--cursor", cursor, "--since", "7d").code == 0
    assert exported(file) == names
    assert cursor.stat().st_mode & 0o777 == 0o600
    assert run("audit", "export", "--cursor", cursor).out == ""


def test_rows_of_other_kinds_are_passed_over_for_good(run: Run, store: Store, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    add(store, "a")
    add(store, "b", kind=AuditEventKind.REVOKED)
    words = ("audit", "export", "--cursor", cursor, "--event")
    assert [row["id"] for row in run(*words, "revoked").lines] == ["b"]
    assert run(*words, "refused").lines == []


def test_a_line_that_a_killed_export_had_begun_comes_again_whole(run: Run, store: Store, tmp_path: Path) -> None:
    file, cursor = tmp_path / "rows.jsonl", tmp_path / "cursor"
    add(store, "a", "b")
    run("audit", "export", file, "--cursor", cursor)
    before, place = file.read_bytes(), cursor.read_bytes()
    add(store, "c" * 70_000)
    run("audit", "export", file, "--cursor", cursor)
    whole = file.read_bytes()
    for length in (len(before) + 1, len(before) + 9, len(whole) - 1):
        cursor.write_bytes(place)
        file.write_bytes(whole[:length])
        assert run("audit", "export", file, "--cursor", cursor).code == 0
        assert file.read_bytes() == whole


def test_a_file_of_somebody_elses_is_left_alone(run: Run, store: Store, tmp_path: Path) -> None:
    add(store, "a")
    file, cursor = tmp_path / "notes.txt", tmp_path / "cursor"
    file.write_text("a line\nand one without an end")
    assert run("audit", "export", file, "--cursor", cursor).code == 2
    assert file.read_text() == "a line\nand one without an end"
    file.write_text("a line\n")
    assert run("audit", "export", file, "--cursor", cursor).code == 0


# --- what is no cursor ----------------------------------------------------------------------------


def whole_cursor(**other: Any) -> str:
    return json.dumps({"version": 1, "row": 0, "mac": "", "is_whole": True, "chains": {}} | other)


NO_CURSORS = [
    *("", "[]", "\xff", "{", "[" * 9000),
    *(
        whole_cursor(version=2),
        whole_cursor(more=1),
        whole_cursor(row=-1),
        whole_cursor(row=2**63),
        whole_cursor(row=True),
    ),
    *(whole_cursor(mac=7), whole_cursor(mac="xyz"), whole_cursor(is_whole=0)),
    *(whole_cursor(chains={"a": [1]}), whole_cursor(chains=[])),
]


@pytest.mark.parametrize("text", NO_CURSORS, ids=range(len(NO_CURSORS)))
def test_what_is_no_cursor_is_left_alone(run: Run, store: Store, tmp_path: Path, text: str) -> None:
    add(store, "a")
    cursor = tmp_path / "cursor"
    cursor.write_text(whole_cursor())
    assert run("audit", "export", "--cursor", cursor).lines[-1]["id"] == "a"
    cursor.write_bytes(text.encode("latin-1"))
    ran = run("audit", "export", "--cursor", cursor)
    assert (ran.code, ran.out) == (2, "")
    assert "is no cursor" in ran.err
    assert cursor.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize(
    "words",
    [("--follow", "--until", "1h"), ("--after", "1", "--since", "1h"), ("rows.jsonl", "--syslog", "udp://a")],
    ids=" ".join,
)
def test_options_that_say_nothing_together_are_wrong_usage(run: Run, store: Store, words: tuple[str, ...]) -> None:
    assert run("audit", "export", "--until", "1h").code == run("audit", "export", "--after", "1").code == 0
    assert run("audit", "export", *words).code == 2


# --- chains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [(), ("--after", "3"), ("--since", "2027-01-15T07:00:00Z")], ids=" ".join)
@pytest.mark.parametrize("at", ["b", "e"])
def test_a_changed_row_is_named_wherever_the_export_begins(
    run: Run, store: Store, folder: Path, begin: tuple[str, ...], at: str
) -> None:
    """T-49: also when it is the first one that is exported, which is held to the row before it."""
    add(store, "a", "b", "c", "d", "e")
    rows = run("audit", "export").lines
    number = next(row["row"] for row in rows if row["id"] == at)
    if begin[:1] == ("--after",):
        begin = ("--after", str(number - 1))
    assert run("audit", "export", *begin).code == 0
    change(folder, f"UPDATE audit SET subject = 'somebody' WHERE id = '{at}'")
    ran = run("audit", "export", *begin)
    assert ran.code == 1
    assert f"row {number} " in ran.err
    assert [row["id"] for row in ran.lines][-1] == "e"
    change(folder, f"UPDATE audit SET subject = '' WHERE id = '{at}'")
    assert run("audit", "export", *begin).code == 0


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM audit WHERE id = 'b'", "are gone"),
        ("DELETE FROM audit WHERE id = 'c'", "the chain was cut"),
        ("UPDATE audit SET ask = '[]' WHERE id = 'b'", "cannot be read"),
        ("UPDATE audit SET mac = X'00' WHERE id = 'b'", "was changed"),
        ("DELETE FROM audit_writers WHERE writer = (SELECT writer FROM audit WHERE id = 'a')", "roster"),
    ],
)
def test_what_is_missing_or_no_row_of_ours_is_said(
    run: Run, store: Store, folder: Path, statement: str, said: str
) -> None:
    add(store, "a", "b", "c")
    assert run("audit", "export").code == 0
    change(folder, statement)
    ran = run("audit", "export")
    assert ran.code == 1
    assert said in ran.err


def test_a_store_that_was_put_back_is_not_the_log_of_the_cursor(
    run: Run, store: Store, folder: Path, tmp_path: Path
) -> None:
    cursor = tmp_path / "cursor"
    add(store, "a")
    with sqlite3.connect(folder / "bridge.db") as own, sqlite3.connect(tmp_path / "backup") as copy:
        own.backup(copy)
    add(store, "b")
    assert run("audit", "export", "--cursor", cursor).code == 0
    store.close()
    for beside in folder.glob("bridge.db*"):
        beside.unlink()
    shutil.copy(tmp_path / "backup", folder / "bridge.db")
    ran = run("audit", "export", "--cursor", cursor)
    assert (ran.code, ran.out) == (1, "")
    assert "put back to an earlier state" in ran.err
    assert run("audit", "export").code == 0


def test_rows_that_were_pruned_before_they_were_exported_are_said_to_be_lost(
    run: Run, store: Store, tmp_path: Path
) -> None:
    cursor, other = tmp_path / "cursor", tmp_path / "other"
    add(store, "a", "b")
    run("audit", "export", "--cursor", cursor)
    add(store, "c", "d", "e")
    shutil.copy(cursor, other)
    assert run("audit", "export", "--cursor", other).code == 0
    store.audit.prune(before=NOW + 1, now=NOW + 1, batch=100)
    late = run("audit", "export", "--cursor", cursor)
    assert (late.code, [row["id"] for row in late.lines]) == (1, ["e"])
    assert "were pruned before they were read" in late.err
    add(store, "f")
    for one in (cursor, other):
        then = run("audit", "export", "--cursor", one)
        assert (then.code, [row["id"] for row in then.lines]) == (0, ["f"])


# --- followed -------------------------------------------------------------------------------------


def exporting(folder: Path, *words: str | Path) -> AbstractContextManager[subprocess.Popen[str]]:
    return bridge_that_goes_on(["audit", "export", "--follow", *words], cwd=folder)


def wait_for(path: Path, name: str) -> None:
    ends = time.monotonic() + 30
    while name not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < ends, "it does not come"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_an_export_that_follows_ends_when_it_is_told(
    folder: Path, store: Store, tmp_path: Path, run: Run, number: signal.Signals, code: int
) -> None:
    add(store, "first")
    with exporting(folder, "--cursor", tmp_path / "cursor", "--event", "refused") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == "first"
        add(store, "second")
        assert json.loads(process.stdout.readline())["id"] == "second"
        assert run("audit", "export", "--cursor", tmp_path / "cursor").code == 2, "one export at a time"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (out, process.returncode) == ("", code)
        assert "Traceback" not in err
    assert run("audit", "export", "--cursor", tmp_path / "cursor").out == ""


def test_an_export_that_is_killed_again_and_again_leaves_no_row_out(folder: Path, store: Store, tmp_path: Path) -> None:
    file, cursor, names = tmp_path / "rows.jsonl", tmp_path / "cursor", list[str]()
    for turn in range(3):
        with exporting(folder, file, "--cursor", cursor) as process:
            for number in range(40):
                names.append(f"row-{turn}-{number}")
                add(store, names[-1])
            wait_for(file, f"row-{turn}-{turn * 13}")
            process.kill()
    with exporting(folder, file, "--cursor", cursor) as process:
        wait_for(file, names[-1])
        process.terminate()
        process.communicate(timeout=30)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted({line["row"] for line in lines}) == list(range(1, max(line["row"] for line in lines) + 1))
    assert {line["id"] for line in lines} >= set(names)
