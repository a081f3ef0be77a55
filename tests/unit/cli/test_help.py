"""Help is part of the contract: every command says what it does and shows an example, and it is fast."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bridge.cli.main import COMMANDS, cli
from tests.unit.cli.conftest import ROOT, Run

SNAPSHOTS = Path(__file__).with_name("help")
# Groups whose help is looked after elsewhere: here they must have examples, not these very words.
NOT_OURS = {"policy", "trust", "lab"}
WIDTH = 100


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*words, name))


ALL = list(commands(cli))


def help_of(words: tuple[str, ...], width: int = WIDTH) -> str:
    result = CliRunner().invoke(cli, [*words, "--help"], prog_name="bridge", terminal_width=width)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("words", [words for words, _ in ALL], ids=" ".join)
def test_every_command_shows_an_example(words: tuple[str, ...]) -> None:
    example = help_of(words).partition("Example:\n")[2].partition("\n\n")[0]
    assert " ".join(("bridge", *words)) in example


@pytest.mark.parametrize("words", [words for words, c in ALL if isinstance(c, click.Group)], ids=" ".join)
def test_a_group_lists_its_commands_with_whole_sentences_on_a_narrow_terminal_too(words: tuple[str, ...]) -> None:
    listed = help_of(words, width=60).partition("\nCommands:\n")[2]
    assert listed
    assert "..." not in listed


@pytest.mark.parametrize("words", [words for words, _ in ALL if words and words[0] not in NOT_OURS], ids=" ".join)
def test_help_is_what_was_reviewed(words: tuple[str, ...]) -> None:
    """After a wanted change: WRITE_HELP=1 pytest tests/unit/cli/test_help.py, and review the difference."""
    path = SNAPSHOTS / f"{'-'.join(words)}.txt"
    if SNAPSHOTS_ARE_WRITTEN:
        path.write_text(help_of(words))
    assert help_of(words) == path.read_text()


SNAPSHOTS_ARE_WRITTEN = os.environ.get("WRITE_HELP") == "1"


def test_no_snapshot_is_of_a_command_that_is_gone() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.txt")} == {
        "-".join(words) for words, _ in ALL if words and words[0] not in NOT_OURS
    }


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("init", "lab")])
def test_every_command_that_answers_has_json_and_takes_a_configuration(name: str) -> None:
    leaves = [c for words, c in ALL if words[:1] == (name,) and not isinstance(c, click.Group)]
    for leaf in leaves:
        options = {option for parameter in leaf.params for option in parameter.opts}
        assert "--config" in options, leaf.name
        assert "--json" in options, leaf.name


def test_help_of_the_whole_imports_nothing_heavy() -> None:
    heavy = ["pydantic", "cryptography", "flask", "sqlite_utils", "grpc", "uvicorn", "joserfc", "structlog", "tabulate"]
    program = (
        "import sys; from bridge.cli.main import main; code = main(['--help']); "
        f"print([name for name in {heavy} if name in sys.modules], code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").out.startswith("bridge, version ")


@pytest.mark.parametrize(
    "words",
    [["nonsense"], ["clients", "list", "--state", "asleep"], ["clients", "list", "--limit", "0"], ["clients", "show"]],
    ids=["command", "choice", "range", "argument"],
)
def test_wrong_usage_is_exit_2_and_says_how_to_get_help(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert "Usage: bridge" in ran.err
