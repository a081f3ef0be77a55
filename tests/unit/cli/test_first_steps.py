"""What `bridge init` prints is followed to the letter, without SPIRE, until there is a token."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.processes import free_ports
from tests.unit.cli.conftest import ROOT

SECONDS = 60.0


class Newcomer:
    """Somebody in an empty folder, with `bridge` on the path and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        command = folder / "bin" / "bridge"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m bridge "$@"\n')
        command.chmod(0o755)
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}

    def does(self, command: str) -> str:
        """Paste a command; what it printed. It must succeed."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def begins(self, command: str) -> subprocess.Popen[str]:
        """Paste a command into another terminal and leave it running."""
        with (self.folder / "serve.log").open("w") as log:
            return subprocess.Popen(
                shlex.split(command),
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )


@pytest.fixture
def newcomer() -> Iterator[Newcomer]:
    # Not tmp_path: a socket's path has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="first-"))
    yield Newcomer(folder)
    shutil.rmtree(folder)


def steps_of(printed: str) -> dict[str, str]:
    """The `bridge` commands of the printed steps, by their first words."""
    found = re.findall(
        r"^  \d+\. (?:.*: )?(bridge (?:lab up|policy test|check|serve|token) .*)$", printed, re.MULTILINE
    )
    return {re.match(r"bridge ((?:lab up|policy test|\w+))", command)[1]: command for command in found}  # type: ignore[index]


def test_the_printed_steps_lead_to_a_token_without_spire(newcomer: Newcomer) -> None:
    steps = steps_of(newcomer.does("bridge init service"))
    assert list(steps) == ["lab up", "policy test", "check", "serve", "token"]
    # The only change: addresses that no other test has.
    config = newcomer.folder / "service" / "bridge.toml"
    text = config.read_text()
    for given, free in zip(("8443", "8444"), free_ports(2), strict=True):
        text = text.replace(f":{given}", f":{free}")
    config.write_text(text)
    newcomer.does(steps["lab up"])
    try:
        newcomer.does(steps["policy test"])
        newcomer.does(steps["check"])
        service = newcomer.begins(steps["serve"])
        try:
            assert service.stdout is not None
            assert service.stdout.readline().startswith("ready: "), (newcomer.folder / "serve.log").read_text()
            assert newcomer.does(steps["token"]).count(".") == 2
            assert "spiffe://example.org/ns/example/sa/api" in newcomer.does(
                "bridge clients list --config service/bridge.toml"
            )
        finally:
            service.terminate()
            assert service.wait(SECONDS) == 0
            assert service.stdout is not None
            service.stdout.close()
    finally:
        newcomer.does("bridge lab down --dir service/lab")


def test_with_an_agent_the_last_step_names_its_socket(newcomer: Newcomer) -> None:
    address = "unix:///run/spire/agent.sock"
    printed = newcomer.does(f"bridge init service --trust-domain example.org --agent-socket {address}")
    assert list(steps_of(printed)) == ["policy test", "check", "serve", "token"]
    assert f"--socket {address} " in steps_of(printed)["token"]


def test_a_folder_with_a_blank_can_be_pasted_too(newcomer: Newcomer) -> None:
    steps = steps_of(newcomer.does("bridge init 'my service'"))
    newcomer.does(steps["policy test"])
