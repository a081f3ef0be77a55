"""Tables that are wider than a terminal: what does not fit stands below its row, by its name; pipes get all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.ambient import now
from bridge.cli.output import emit_table
from bridge.cli.trust.impact_words import Answer, show_tokens
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authority import Authority, AuthorityKind
from bridge.model.client import ClientState
from bridge.registration.impact import Impact, Share
from bridge.store.ports import RestingToken, Store
from tests.unit.cli.conftest import Records, Run

NOW = 1_800_000_000
WEB = "spiffe://example.org/ns/web/sa/storefront"


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """One of this width, without colour."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_columns_that_do_not_fit_stand_below_each_row_by_their_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("a" * 10, "b" * 10, "c" * 10), ("d", "e", None)]
    at_a_terminal(monkeypatch, 34)
    emit_table(("one", "two", "three"), rows)
    assert widest(capsys.readouterr().out) == 34
    at_a_terminal(monkeypatch, 33)
    emit_table(("one", "two", "three"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["one", "two"]
    assert lines[3].split() == ["three", "c" * 10]
    # What is empty is not said of a row.
    assert [line.split()[0] for line in lines[2:]] == ["a" * 10, "three", "d"]


def test_one_column_is_always_there_and_names_of_any_width_do_no_harm(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_terminal(monkeypatch, 20)
    emit_table(("one", "two"), [("x" * 90, "\x1b[2J")])
    said = capsys.readouterr().out
    assert "x" * 90 in said
    assert "\x1b" not in said


def answer() -> Answer:
    authority = Authority(AuthorityKind.JWT, "kid-of-forty-characters-as-spire-makes-it", "ab" * 32)
    share = Share(tokens=12, grants=1, leases=0, last_issued_at=NOW - 90, tokens_end_at=NOW + 3000)
    return Answer("example.org", Impact({(authority, WEB, WEB): share}, Share()), None, NOW - 3600, NOW)


@pytest.mark.parametrize("columns", [80, 120])
def test_what_rests_on_an_authority_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    at_a_terminal(monkeypatch, columns)
    answer().show(None)
    said = capsys.readouterr().out
    assert widest(said) <= columns
    assert "1m 30s ago" in said
    assert "in 50m" in said
    # In full, for whoever copies it into the next command.
    assert answer().authorities()[0]["authority"] in said
    token = RestingToken("j" * 22, WEB, WEB, NOW - 90, NOW + 3000, None, None, "jwt-svid", "kid", ())
    show_tokens([(next(iter(answer().found.by_authority())), token)], as_json=False, now=NOW)
    assert widest(capsys.readouterr().out) <= columns


def test_pipes_get_whole_times_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    answer().show(None)
    head, row, *_ = capsys.readouterr().out.splitlines()
    assert dict(zip(head.split("\t"), row.split("\t"), strict=True))["last_issued_at"] == "2027-01-15T07:58:30Z"


@pytest.mark.parametrize("columns", [80, 120])
def test_records_fit_the_terminal_and_pipes_keep_their_columns(
    run: Run, records: Records, monkeypatch: pytest.MonkeyPatch, columns: int, folder: Path
) -> None:
    records.add("/ns/web/sa/storefront-of-the-shop", state=ClientState.ACTIVE, now=now() - 7200)
    piped = run("clients", "list").out.splitlines()[0].split("\t")
    assert piped[:4] == ["client_id", "kind", "state", "rule"]
    at_a_terminal(monkeypatch, columns)
    said = run("--aligned", "clients", "list").out
    assert widest(said) <= columns
    assert "2h ago" in said


@pytest.mark.parametrize("times", [1, 7])
def test_a_row_below_the_table_says_how_often_only_where_it_was_not_once(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    event = AuditEvent(id="id-1", time=NOW, event=AuditEventKind.REFUSED, subject=WEB, count=times)
    store.audit.append(event)
    words = ("audit", "tail", "--event", "refused")
    piped = run(*words).out.splitlines()
    assert dict(zip(piped[0].split("\t"), piped[-1].split("\t"), strict=True))["count"] == str(times)
    at_a_terminal(monkeypatch, 80)
    said = run("--aligned", *words).out
    assert WEB in said
    assert [line.split()[1] for line in said.splitlines() if line.startswith("  count")] == [str(times)] * (times > 1)


def test_a_list_without_clients_says_so_beside_the_answer(run: Run, records: Records) -> None:
    records.add("/ns/web/sa/storefront", state=ClientState.ACTIVE)
    for words, nobody in ((("--pending",), True), (("--state", "denied"), True), (("--state", "active"), False)):
        for way in ((), ("--aligned",)):
            ran = run(*way, "clients", "list", *words)
            assert ("no client" in ran.err, ran.code) == (nobody, 0), (words, way)


COMMANDS = {
    "who may what": ("policy", "reach"),
    "rules that decided nothing": ("policy", "unused"),
    "what was decided": ("audit", "tail"),
    "the ends of chains": ("audit", "verify"),
    "one client": ("clients", "show", WEB),
    "signing keys": ("keys", "list"),
    "trust domains": ("trust", "list"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_tables_of_commands_fit_a_terminal_of_eighty_columns(
    run: Run, records: Records, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    records.add("/ns/web/sa/storefront", state=ClientState.ACTIVE, now=now() - 7200)
    at_a_terminal(monkeypatch, 80)
    said = run("--aligned", *command)
    rules = [line for line in said.out.splitlines() if set(line) == {"-", " "}]
    assert rules, said
    assert max(map(len, rules)) <= 80
