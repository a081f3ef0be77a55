"""The shipped units as systemd reads them, and what their lines mean in system calls."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.markdown import ROOT

FOLDER = ROOT / "packaging"
SECONDS = 60.0
# What is said of a machine that has no systemd: `make test-packaging` installs it on Debian.
ABSENT = None if shutil.which("systemd-analyze") else "no systemd-analyze on this machine: make test-packaging"


@dataclass(frozen=True)
class Unit:
    """One file. `lines` are all settings in their order: section, name, value."""

    path: Path
    lines: list[tuple[str, str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Unit:
        unit, section = cls(path), ""
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and line[0] not in "#;":
                name, _, value = line.partition("=")
                unit.lines.append((section, name, value.strip()))
        return unit

    def all(self, name: str) -> list[str]:
        """The values of one setting, in their order."""
        return [value for _, each, value in self.lines if each == name]

    def one(self, name: str) -> str:
        """Its only value."""
        (value,) = self.all(name)
        return value

    def commands(self) -> list[str]:
        """What it runs, in order."""
        return [value for _, name, value in self.lines if name in ("ExecStartPre", "ExecStart", "ExecReload")]


UNITS = [Unit.read(path) for path in sorted(FOLDER.glob("*.service"))]
TIMERS = [Unit.read(path) for path in sorted(FOLDER.glob("*.timer"))]


def unit(name: str) -> Unit:
    """The unit of this name."""
    return Unit.read(FOLDER / name)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """`systemd-analyze WORDS`."""
    return subprocess.run(
        ["systemd-analyze", *words],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )


def allowed_calls(service: Unit) -> set[str]:
    """The system calls that its filter lets through, as this machine's systemd understands the groups."""
    allowed: set[str] = set()
    for value in service.all("SystemCallFilter"):
        named = {call for name in value.lstrip("~").split() for call in _calls(name)}
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def _calls(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    listed = analyze("syscall-filter", name)
    assert listed.returncode == 0, listed.stderr
    lines = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return {call for line in lines if line and line[0] != "#" for call in _calls(line)}
