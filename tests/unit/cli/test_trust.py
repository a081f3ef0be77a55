"""`bridge trust`: what the sources hold now, which is not always what a running service uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.cli.trust.table import emit_standing, what_is_wrong, worst_first
from bridge.lab.authority import Authority
from bridge.model.bundle import BundleHealth, BundleStatus
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.described_keys import x509_until
from bridge.spire.parse import parse_bundle
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


NOW = 1_800_000_000
NAMES = ("a.example", "b.example", "c.example")


def status(name: str, health: BundleHealth, reason: str = "") -> BundleStatus:
    bundle = parse_bundle(Authority(name, clock=lambda: NOW).bundle_json(), TrustDomain(name))
    fresh = BundleStatus(
        trust_domain=bundle.trust_domain,
        source="https_spiffe",
        health=BundleHealth.FRESH,
        reason="",
        bundle=bundle,
        revision=1,
        fetched_at=NOW - 90,
        refresh_at=NOW + 30,
        stale_at=NOW + 7200,
    )
    return replace(
        fresh, health=health, reason=reason, stale_at=NOW if health is BundleHealth.STALE else fresh.stale_at
    )


def look_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is eighty columns wide and has no colour."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


def test_at_a_terminal_who_is_ill_stands_first_with_what_is_wrong_below_in_eighty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at_a_terminal(monkeypatch)
    reason = "https://spire.c.example:8443/: connect: the host cannot be reached " + "again and " * 12 + "\x1b[2K"
    known = [
        status("a.example", BundleHealth.FRESH),
        status("b.example", BundleHealth.LATE, "late: " + reason),
        status("c.example", BundleHealth.STALE, reason),
    ]
    emit_standing(worst_first(known, NOW), NOW, of=worst_first(known, NOW))
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if ".example " in line and "https_" in line}
    assert list(rows) == ["c.example", "b.example", "a.example"]
    assert rows["c.example"][1:] == ["stale", "1m", "30s", "30s", "over", "1", "1", "1", "https_spiffe"]
    assert rows["a.example"][5:7] == ["2h", "1"]
    assert shown.splitlines()[3].startswith("  https://spire.c.example:8443/: connect")
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown
    assert shown.endswith("\n3 trust domains: 1 stale, 1 late, 1 fresh\n")


def test_a_limit_leaves_out_nobody_who_is_worse_off_than_those_shown(run: Run, folder: Path) -> None:
    config = folder / "bridge.toml"
    for name in NAMES:
        config.write_text(config.read_text() + f'\n[trust_domains."{name}"]\nsource = "file"\npath = "{name}.json"\n')
    (folder / "a.example.json").write_bytes(Authority("a.example").bundle_json())
    (folder / "c.example.json").write_bytes(Authority("c.example").bundle_json())
    (row,) = run("trust", "list", "--limit", "1", "--json").json
    assert (row["trust_domain"], row["state"]) == ("b.example", "unreachable")
    assert "3 more, none of them worse off" in run("trust", "list", "--limit", "1").err
    everybody = [row["trust_domain"] for row in run("trust", "list", "--json").json]
    assert everybody == ["b.example", "a.example", "c.example", "example.org"]


def test_at_a_terminal_each_key_is_shown_within_eighty_columns(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at_a_terminal(monkeypatch)
    (ca, key) = run("trust", "show", "example.org", "--json").json["keys"]
    shown = run("trust", "show", "example.org").out
    assert f"x509-svid  {ca['id']}\n           key id {ca['key_id']}\n" in shown
    assert f"jwt-svid   {key['id']}\n           thumbprint {key['thumbprint']}\n           EC P-256\n" in shown
    keys = shown.split("\n\n", 1)[1]
    assert max(map(len, keys.splitlines())) <= 80


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("exmaple.org", "did you mean example.org?"), ("quite.different", "`bridge trust list --all`")],
    ids=["nearly", "not-nearly"],
)
def test_a_misspelt_trust_domain_is_told_which_are_configured(run: Run, folder: Path, typed: str, hint: str) -> None:
    ran = run("trust", "show", typed)
    assert ran.code == 2
    assert hint in ran.err


def test_a_file_that_is_read_and_was_forgotten_is_told_by_its_authorities_end(run: Run, folder: Path) -> None:
    """Fresh it is: the file is there, and is read."""
    path = folder / "bundles" / "example.org.json"
    (row,) = run("trust", "list", "--json").json
    assert row["x509_until"] is not None
    assert run("check").code == 0
    path.write_bytes(Authority("example.org", clock=lambda: NOW - 10**9).bundle_json())
    (row,) = run("trust", "list", "--json").json
    assert (row["state"], row["x509_until"][:2]) == ("fresh", "19")
    assert f"the last of its X.509 authorities ended {row['x509_until']}" in run("trust", "list").out
    checked = run("check")
    assert checked.code == 1
    assert "bring a newer bundle" in checked.out


def test_authorities_have_ended_with_their_last_second() -> None:
    one = status("a.example", BundleHealth.FRESH)
    assert one.bundle is not None
    until = x509_until(one.bundle)
    assert until is not None
    assert what_is_wrong(one, until - 1) == ""
    assert "ended" in what_is_wrong(one, until)
    assert what_is_wrong(replace(one, health=BundleHealth.LATE, reason="late"), until) == "late"
