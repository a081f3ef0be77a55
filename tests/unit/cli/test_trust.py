"""`bridge trust`: what the sources hold now, which is not always what a running service uses."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Run


def test_a_fresh_list_needs_no_footnote(run: Run, folder: Path) -> None:
    ran = run("trust", "list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1].split("\t")[:3] == ["example.org", "file", "fresh"]


def test_a_source_that_is_not_fresh_is_told_from_what_a_service_uses(run: Run, folder: Path) -> None:
    (folder / "bundles" / "example.org.json").write_text("{}")
    ran = run("trust", "list")
    assert ran.out.splitlines()[1].split("\t")[2] == "malformed"
    assert "a running service uses its last good bundle until max_stale" in ran.err
    assert "/readyz on metrics_listen" in ran.err
    assert run("trust", "list", "--json").json[0]["state"] == "malformed"


def test_help_does_not_say_that_a_malformed_source_is_503_at_once(run: Run) -> None:
    said = " ".join(run("trust", "list", "--help").out.split())
    assert "a running service goes on with its last good bundle until max_stale" in said
