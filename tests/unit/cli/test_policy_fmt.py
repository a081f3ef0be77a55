"""`bridge policy fmt`: which files, what is written, and what never is."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest

from bridge.files.replacing import ChangedMeanwhile
from tests.unit.cli.conftest import ROOT, Run


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped policies, below the current folder."""
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", copy)
    return copy


def disturb(path: Path) -> str:
    """Another layout of a file; the canonical one."""
    text = path.read_text(encoding="utf-8")
    lines = (line if line.startswith("#") else line.replace(" = ", "=") for line in text.splitlines())
    path.write_text("\n".join(lines), encoding="utf-8")
    return text


FMT = ("policy", "fmt", "--policies", "policies")


def test_what_is_laid_out_is_left_alone(run: Run, policies: Path) -> None:
    seen = {path: path.stat().st_mtime_ns for path in policies.rglob("*.toml")}
    ran = run(*FMT)
    assert (ran.code, ran.out) == (0, f"ok  {len(seen)} files, nothing to change\n")
    assert {path: path.stat().st_mtime_ns for path in seen} == seen
    assert run(*FMT, "--check").code == 0


def test_files_and_cases_are_written_in_one_layout(run: Run, policies: Path) -> None:
    paths = [policies / "example.org.toml", policies / "tests" / "others.cases.toml"]
    texts = [disturb(path) for path in paths]
    paths[0].chmod(0o640)
    assert (run(*FMT, "--check").code, paths[0].read_text(encoding="utf-8") == texts[0]) == (1, False)
    ran = run(*FMT)
    assert (ran.code, ran.out.splitlines()) == (
        0, ["changed  policies/example.org.toml", "changed  policies/tests/others.cases.toml"],
    )  # fmt: skip
    assert [path.read_text(encoding="utf-8") for path in paths] == texts
    assert paths[0].stat().st_mode & 0o777 == 0o640
    assert sorted(policies.glob(".*")) == []


def test_single_files_can_be_named_and_answers_are_json_too(run: Run, policies: Path) -> None:
    one, other = policies / "pushed.toml", policies / "catalogue.toml"
    disturb(one)
    disturb(other)
    ran = run("policy", "fmt", one, "--check", "--json")
    assert (ran.code, ran.json) == (1, [{"file": str(one), "changed": True, "fault": None}])
    assert run("policy", "fmt", one).code == 0
    assert (run("policy", "fmt", one, "--check").code, run("policy", "fmt", other, "--check").code) == (0, 1)


def test_what_a_link_leads_to_is_written_and_the_link_stays(run: Run, policies: Path, tmp_path: Path) -> None:
    """As with a ConfigMap, or a policy shared by two folders."""
    real = tmp_path / "shared.toml"
    shutil.move(policies / "pushed.toml", real)
    (policies / "pushed.toml").symlink_to(real)
    text = disturb(real)
    assert run(*FMT).code == 0
    assert ((policies / "pushed.toml").is_symlink(), real.read_text(encoding="utf-8")) == (True, text)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a = ", "not TOML"), (b"a = '\xff'", "not UTF-8"), (b"#" * (16 * 1024 * 1024 + 1), "more than 16777216 bytes")],
)
def test_what_cannot_be_laid_out_is_left_and_named_and_the_others_are_written(
    run: Run, policies: Path, content: bytes, words: str
) -> None:
    (policies / "pushed.toml").write_bytes(content)
    text = disturb(policies / "catalogue.toml")
    ran = run(*FMT)
    assert (ran.code, "policies/pushed.toml" in ran.err, words in ran.err) == (1, True, True)
    assert (policies / "pushed.toml").read_bytes() == content
    assert (policies / "catalogue.toml").read_text(encoding="utf-8") == text


def test_what_somebody_else_writes_meanwhile_is_not_lost(
    run: Run, policies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = policies / "pushed.toml"
    disturb(path)

    def formatted(text: str) -> str:
        path.write_text("version = 1\n", encoding="utf-8")
        return "version  = 1\n"

    monkeypatch.setattr("bridge.policy.fmt.formatted", formatted)
    ran = run("policy", "fmt", path)
    assert (ran.code, "was changed meanwhile" in ran.err) == (1, True)
    assert path.read_text(encoding="utf-8") == "version = 1\n"
    assert sorted(policies.glob(".*")) == []
    assert issubclass(ChangedMeanwhile, ValueError)


def test_standard_input_goes_to_standard_output(run: Run, policies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    given(b"a=1")
    assert (run("policy", "fmt", "-").code, given(b"a=1"), run("policy", "fmt", "-").out) == (0, None, "a = 1\n")
    for content in (b"a=", b"\xff"):
        given(content)
        ran = run("policy", "fmt", "-")
        assert (ran.code, ran.out, ran.err != "") == (1, "", True)
    assert run("policy", "fmt", "-", "--check").code == 2


def test_the_files_that_init_writes_are_laid_out(run: Run, folder: Path) -> None:
    """Without --policies they are those of the configuration."""
    assert run("policy", "fmt", "--check").code == 0
