"""What a user's mistake looks like: one line that says what to do next, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from bridge.cli.options import Failure
from bridge.cli.output import command, emit_json_line, emit_table, note, printable, say, wants_colour
from tests.unit.cli.conftest import ROOT, Run, bridge_process


def test_a_missing_configuration_is_exit_2_and_names_init(run: Run, tmp_path: Path) -> None:
    ran = run("clients", "list", "--config", tmp_path / "none.toml")
    assert ran.code == 2
    assert ran.out == ""
    assert "bridge init" in ran.err


def test_all_faults_of_a_configuration_are_said_at_once(run: Run, folder: Path) -> None:
    assert run("db", "status").code == 0
    text = (folder / "bridge.toml").read_text()
    (folder / "bridge.toml").write_text("surplus = 1\n" + text.replace("[store]", '[store]\nurl = "mysql://x"'))
    ran = run("db", "status")
    assert ran.code == 2
    assert "surplus" in ran.err
    assert "error: " in ran.err
    assert "Traceback" not in ran.err


def test_the_environment_names_the_configuration(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert run("db", "status").code == 2
    monkeypatch.setenv("BRIDGE_CONFIG", str(folder / "bridge.toml"))
    assert run("db", "status").code == 0


@pytest.mark.parametrize(
    "words",
    ["clients list", "audit tail", "keys list", "db status", "policy check", "policy test", "trust list"],
)
def test_an_operator_needs_no_tls_files_and_a_start_does(run: Run, folder: Path, words: str) -> None:
    assert run(*words.split()).code == 0
    assert run("check").code == 0
    for name in ("server.pem", "server.key"):
        (folder / "tls" / name).unlink()
    assert run(*words.split()).code == 0
    ran = run("check")
    assert ran.code == 1
    assert "tls.private_key: no such file" in ran.out


def test_a_store_that_is_not_there_is_exit_1_and_says_who_makes_it(run: Run, folder: Path) -> None:
    assert run("clients", "list").code == 0
    (folder / "bridge.db").unlink()
    ran = run("clients", "list")
    assert ran.code == 1
    assert "bridge db migrate" in ran.err


def test_a_seal_key_that_others_can_read_is_refused_t_54(run: Run, folder: Path) -> None:
    assert run("keys", "list").code == 0
    (folder / "secrets" / "seal.key").chmod(0o644)
    ran = run("keys", "list")
    assert ran.code == 1
    assert "chmod 600" in ran.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_no_traceback(run: Run, folder: Path) -> None:
    (folder / "bridge.toml").chmod(0)
    assert run("db", "status").code == 2


def test_a_reader_that_has_seen_enough_is_no_fault(folder: Path) -> None:
    ran = bridge_process(["--version"], cwd=folder)
    assert ran.code == 0
    program = f"{bridge_program()} audit tail --json --all | head -c 1"
    assert os.system(f"{program} > {folder / 'out'} 2> {folder / 'err'}") == 0
    assert (folder / "err").read_text() == ""


def bridge_program() -> str:
    return f"PYTHONPATH={ROOT} {sys.executable} -m bridge.cli.main"


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    assert printable("web\x1b[2Jx\r\n\u202e") == "web\\x1b[2Jx\\r\\n\\u202e"
    assert printable({"a": "\x1b"}) == '{"a": "\\u001b"}'
    assert printable(None) == "-"


def test_an_error_s_text_reaches_no_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    Failure("no scope 'x\x1b[2J'\nnext: look\u202e").show()
    assert capsys.readouterr().err == "error: no scope 'x\\x1b[2J'\nnext: look\\u202e\n"


HOSTILE = "x ##[set-output name=a]b ##vso[task.setvariable variable=a]b"


@pytest.mark.parametrize("runner", ["GITHUB_ACTIONS", "TF_BUILD"])
def test_no_text_of_others_is_a_command_to_the_runner_of_a_job(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    """A policy's text and a file's name come with the pull request that the job is about."""
    for name in ("GITHUB_ACTIONS", "TF_BUILD"):
        monkeypatch.delenv(name, raising=False)
    say(f"::error::{HOSTILE}")
    assert capsys.readouterr().out == f"::error::{HOSTILE}\n"
    monkeypatch.setenv(runner, "true")
    say(f"a.toml:1: {HOSTILE}\n  ::error::x")
    note("::add-mask::x")
    emit_json_line({"a": HOSTILE})
    command("::error file=a.toml::meant")
    said = capsys.readouterr()
    assert said.err == ": :add-mask::x\n"
    assert said.out.endswith("\n::error file=a.toml::meant\n")
    first, second, line, _ = said.out.splitlines()
    assert (first.count("## "), second) == (2, "  : :error::x")
    assert "##" not in line
    assert json.loads(line) == {"a": HOSTILE}


def test_colour_needs_a_terminal_and_nobody_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(Terminal())  # type: ignore[arg-type]
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())  # type: ignore[arg-type]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Terminal())  # type: ignore[arg-type]


def test_a_pipe_gets_lines_of_cells_and_a_terminal_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    emit_table(("a", "b"), [(1, None)])
    assert capsys.readouterr().out == "a\tb\n1\t-\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    emit_table(("name", "state"), [("x", "active")])
    assert capsys.readouterr().out == "name  state\n----  ------\nx     active\n"


def test_whoever_shows_the_output_to_people_gets_tables_too(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run("keys", "list").out.splitlines()[0].startswith("kid\talg")
    header, rule, *rows = run("--aligned", "keys", "list").out.splitlines()
    assert header.split() == ["kid", "alg", "state", "created_at"], "those that fit eighty columns"
    assert any("signs_from" in row for row in rows), "the others stand below their rows"
    assert set(rule) == {"-", " "}
    assert run("keys", "list").out.splitlines()[0].startswith("kid\talg")
    assert run("--aligned", "keys", "list", "--json").json
