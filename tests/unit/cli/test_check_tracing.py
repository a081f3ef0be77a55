"""What `bridge check` says of traces."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Run

SECTION = '\n[tracing]\nendpoint = "https://collector.example.org:4318/v1/traces"\nheaders_file = "collector.headers"\n'


def said(run: Run, folder: Path, headers: str, mode: int) -> tuple[int, str]:
    """Exit code, and the line about traces."""
    file = folder / "collector.headers"
    file.write_text(headers)
    file.chmod(mode)
    with (folder / "bridge.toml").open("a") as config:
        config.write(SECTION)
    ran = run("check")
    (line,) = [line for line in ran.out.splitlines() if " tracing " in line]
    return ran.code, line


def test_without_the_section_it_says_so(run: Run, folder: Path) -> None:
    assert any("no [tracing]" in line for line in run("check").out.splitlines())


def test_it_says_where_traces_go_and_asks_nobody(run: Run, folder: Path) -> None:
    code, line = said(run, folder, "Authorization: Bearer abc\n", 0o600)
    assert code == 0
    assert "5.00% of the requests are traced for https://collector.example.org:4318/v1/traces" in line


def test_credentials_that_others_may_read_are_a_fault(run: Run, folder: Path) -> None:
    code, line = said(run, folder, "Authorization: Bearer abc\n", 0o644)
    assert code == 1
    assert "0600" in line
    assert "abc" not in line
