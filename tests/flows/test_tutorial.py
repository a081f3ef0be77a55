"""The tutorial, command by command in one shell: each ends as the page says and prints what the page shows."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.processes import Program, free_ports, wait_until
from tests.markdown import ROOT, blocks

TUTORIAL, COOKBOOK = ROOT / "docs/tutorial.md", ROOT / "docs/cookbook.md"
SECONDS = 300.0
_EXIT = re.compile(r"# exit (\d+)$")
_HERE = re.compile(r"^cat >>? (\S+) <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """What the reader types, with which status it ends, and what the terminal shows ("": the page does not say)."""

    line: int
    typed: str
    status: int
    shown: str


def steps() -> Iterator[Step]:
    page = blocks(TUTORIAL)
    for block, following in zip(page, (*page[1:], None), strict=True):
        if block.language == "bash":
            status = _EXIT.search(block.text.rstrip())
            shown = following.text if following is not None and following.language == "text" else ""
            yield Step(block.line, block.text, int(status[1]) if status else 0, shown)


def fits(shown: str, printed: str) -> bool:
    """Whether it is what the page shows: `…` stands for anything within a line, alone for any lines, and the width of
    a table's columns means nothing."""
    pattern = ""
    for line in shown.splitlines():
        parts = [re.escape(part) for part in " ".join(line.split()).split("…")]
        pattern += r"(?:.*\n)*?" if line == "…" else ".*".join(parts) + r"\n"
    return re.fullmatch(pattern, "".join(f"{' '.join(line.split())}\n" for line in printed.splitlines())) is not None


def driver(folder: Path) -> str:
    """A shell script of all steps. A step that should succeed ends the script at its first command that does not."""
    lines = ["trap 'kill $(jobs -p) 2>/dev/null; bridge lab down >/dev/null 2>&1' EXIT"]
    for number, step in enumerate(steps()):
        file = folder / f"step-{number}"
        file.write_text(step.typed, encoding="utf-8")
        lines.append(
            f"set {'+e' if step.status else '-e'}; . {file} > {file}.out 2>&1 < /dev/null; echo $? > {file}.ended"
        )
    return "\n".join(lines) + "\n"


def environment(folder: Path) -> dict[str, str]:
    """A shell in which `bridge` is this one, on ports of its own, and nothing of the tester's own settings counts."""
    port, mtls_port = free_ports(2)
    command = folder / "bin/bridge"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bridge "$@"\n')
    command.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "SPIFFE_"))},
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "BRIDGE_ISSUER": f"https://127.0.0.1:{port}",
        "BRIDGE_LISTEN": f"127.0.0.1:{port}",
        "BRIDGE_MTLS_LISTEN": f"127.0.0.1:{mtls_port}",
    }


def test_the_tutorial_runs_command_by_command_and_ends_green(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("t")  # Short: sockets lie below it.
    script = folder / "driver"
    script.write_text(driver(folder), encoding="utf-8")
    shell = Program("the tutorial", folder / "shell.log")
    shell.start(["bash", str(script)], environment=environment(folder), directory=folder, death_signal="TERM")
    try:
        wait_until(lambda: not shell.running, seconds=SECONDS, what="the tutorial comes to its end")
    finally:
        shell.stop(seconds=60)
    for number, step in enumerate(steps()):
        file = folder / f"step-{number}"
        printed = file.with_suffix(".out").read_text() if file.with_suffix(".out").exists() else ""
        ended = file.with_suffix(".ended").read_text().strip() if file.with_suffix(".ended").exists() else "none"
        where = f"line {step.line} of the tutorial:\n{step.typed}\nit printed:\n{printed}\n{shell.tail()}"
        assert ended == str(step.status), where
        assert not step.shown or fits(step.shown, printed), where
    assert shell.tail() == ""


def test_its_rules_and_cases_are_the_cookbooks_and_nothing_else() -> None:
    cookbook = COOKBOOK.read_text(encoding="utf-8")
    written = [text for step in steps() for _, text in _HERE.findall(step.typed)]
    assert len(written) >= 6
    for text in written:
        for table in re.split(r"^(?=\[\[)", text, flags=re.MULTILINE):
            assert table.strip() in cookbook


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("who  may\n", "who\tmay\n", True),
        ("id …\n", "id 17 of 3\n", True),
        ("one\n…\ntwo\n", "one\nand\nmore\ntwo\n", True),
        ("one\n…\ntwo\n", "one\ntwo\n", True),
        ("one\n", "one\ntwo\n", False),
        ("id …\n", "no id\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_what_is_shown_is_held_against_what_is_printed(shown: str, printed: str, expected: bool) -> None:
    assert fits(shown, printed) is expected
