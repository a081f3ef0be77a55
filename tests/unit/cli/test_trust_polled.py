"""`bridge trust` where a trust domain has an endpoint: what the service goes by, what the endpoint says, and the way
from one to the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.lab.authority import Authority
from bridge.lab.bundle_endpoint import BundleEndpoint
from bridge.lab.web_ca import WebCa
from tests.unit.cli.conftest import Run

NAME = "partner.example"


@pytest.fixture
def endpoint(folder: Path) -> Iterator[BundleEndpoint]:
    """A second trust domain of the service, polled."""
    web_ca = WebCa(now=int(time.time()))
    (folder / "partner-ca.pem").write_bytes(web_ca.certificate_pem)
    with BundleEndpoint(Authority(NAME), web_ca) as endpoint:
        section = f"""
[trust_domains."{NAME}"]
source = "https_web"
url = "{endpoint.url}"
ca_file = "partner-ca.pem"
"""
        config = folder / "bridge.toml"
        config.write_text(config.read_text() + section)
        yield endpoint


def listed(run: Run, *words: str) -> dict[str, object]:
    found = next(one for one in run("trust", *words, "--json").json if one["trust_domain"] == NAME)
    assert isinstance(found, dict)
    return found


def test_a_list_shows_what_was_fetched_and_asks_nobody(run: Run, endpoint: BundleEndpoint) -> None:
    before = listed(run, "list")
    assert (before["state"], before["reason"]) == ("unreachable", "was not fetched yet")
    assert run("trust", "refresh", NAME).code == 0
    endpoint.authority.rotate_jwt()
    after = listed(run, "list")
    assert (after["state"], after["source"], after["sequence"], after["fault"]) == ("fresh", "https_web", 1, None)
    assert len(after["jwt_authorities"]) == 1  # type: ignore[arg-type]
    assert all(isinstance(after[name], str) for name in ("fetched_at", "refresh_at", "stale_at"))


def test_a_refresh_takes_the_new_keys_over_and_says_no_when_it_cannot(run: Run, endpoint: BundleEndpoint) -> None:
    run("trust", "refresh")
    endpoint.authority.rotate_jwt()
    assert listed(run, "refresh", NAME)["sequence"] == 4
    endpoint.stop()
    ran = run("trust", "refresh", NAME, "--json")
    assert (ran.code, ran.json[0]["state"], ran.json[0]["fault"]) == (1, "late", "unreachable")
    assert listed(run, "list")["state"] == "late"


def test_under_another_seal_key_nothing_is_taken_over_and_looking_goes_on(
    run: Run, folder: Path, endpoint: BundleEndpoint
) -> None:
    """What it would write is sealed, so the service would believe none of it; with the key back the same is taken."""
    assert run("trust", "refresh", NAME).code == 0
    seal = folder / "secrets/seal.key"
    own = seal.read_bytes()
    seal.write_text("ab" * 32 + "\n")
    endpoint.authority.rotate_jwt()
    refused = run("trust", "refresh", NAME)
    assert refused.code == 1
    assert "was not sealed with this seal key" in refused.err
    assert run("trust", "list").code == 0
    seal.write_bytes(own)
    assert listed(run, "list")["sequence"] == 1
    assert listed(run, "refresh", NAME)["sequence"] == 4


def test_a_lower_sequence_is_refused_until_an_operator_takes_it(run: Run, endpoint: BundleEndpoint) -> None:
    """SPIFFE-25."""
    endpoint.authority.rotate_jwt()
    run("trust", "refresh")
    endpoint.authority.sequence = 1
    refused = run("trust", "refresh", NAME)
    assert refused.code == 1
    assert "went back from 4 to 1" in refused.out
    assert run("trust", "refresh", "--accept-lower").code == 2
    assert run("trust", "refresh", NAME, "--accept-lower").code == 0
    assert listed(run, "list")["sequence"] == 1


def test_a_diff_says_what_the_endpoint_would_change_and_changes_nothing(run: Run, endpoint: BundleEndpoint) -> None:
    run("trust", "refresh")
    same = run("trust", "diff", NAME)
    assert (same.code, same.out) == (0, "the same keys\n")
    before = listed(run, "list")["jwt_authorities"]
    endpoint.authority.rotate_jwt()
    ran = run("trust", "diff", NAME, "--json")
    assert (ran.code, ran.json["jwt_removed"], ran.json["x509_added"]) == (1, before, [])
    assert listed(run, "list")["jwt_authorities"] == before
    plain = run("trust", "diff", NAME).out.splitlines()
    assert plain == [f"+ jwt  {ran.json['jwt_added'][0]}", f"- jwt  {ran.json['jwt_removed'][0]}"]


def test_a_diff_with_a_file_works_for_every_source(run: Run, folder: Path, endpoint: BundleEndpoint) -> None:
    run("trust", "refresh")
    theirs = folder / "theirs.json"
    theirs.write_bytes(endpoint.authority.bundle_json())
    assert run("trust", "diff", NAME, theirs).code == 0
    assert run("trust", "diff", "example.org", folder / "bundles/example.org.json").code == 0
    assert run("trust", "diff", "example.org", theirs).code == 1
    assert run("trust", "diff", "example.org").code == 2
    theirs.write_text("{}")
    assert "'keys' is missing" in run("trust", "diff", NAME, theirs).err


def test_a_kid_adds_no_line_to_a_diff_and_moves_no_cursor(run: Run, folder: Path, endpoint: BundleEndpoint) -> None:
    """T-49: an operator decides by these lines, and the endpoint chose the name."""
    run("trust", "refresh")
    theirs = folder / "theirs.json"
    bundle = json.loads(endpoint.authority.bundle_json())
    bundle["keys"][1]["kid"] = "k\n- x509 " + "0" * 64 + "\x1b[2K\u202e"
    theirs.write_text(json.dumps(bundle))
    added, removed = run("trust", "diff", NAME, theirs).out.splitlines()
    assert added == "+ jwt  k\\n- x509 " + "0" * 64 + "\\x1b[2K\\u202e"
    assert removed.startswith("- jwt  ")


def test_a_diff_with_an_endpoint_that_does_not_answer_says_so(run: Run, endpoint: BundleEndpoint) -> None:
    run("trust", "refresh")
    endpoint.stop()
    ran = run("trust", "diff", NAME)
    assert ran.code != 0
    assert "cannot be reached" in ran.err
    assert listed(run, "list")["state"] == "fresh", "and what the service goes by is as it was"


def test_one_trust_domain_is_shown_with_its_keys(run: Run, endpoint: BundleEndpoint) -> None:
    run("trust", "refresh")
    shown = run("trust", "show", NAME, "--json").json
    assert shown["url"] == endpoint.url
    assert [key["use"] for key in shown["keys"]] == ["x509-svid", "jwt-svid"]
    assert shown["keys"][0]["id"] == shown["x509_authorities"][0]
    assert shown["keys"][0]["type"] == "EC 256"
    assert shown["keys"][1]["id"] == shown["jwt_authorities"][0]
    plain = run("trust", "show", NAME).out
    assert shown["keys"][0]["id"] in plain
    assert run("trust", "show", "nobody.example").code == 2
    assert run("trust", "show", "example.org").code == 0


def test_check_asks_the_endpoint_and_takes_nothing_over(run: Run, endpoint: BundleEndpoint) -> None:
    def part() -> dict[str, list[str]]:
        found = next(one for one in run("check", "--json").json if one["part"] == "bundles")
        assert isinstance(found, dict)
        return found

    assert any(NAME in line for line in part()["found"])
    assert listed(run, "list")["state"] == "unreachable", "the service has fetched nothing yet"
    endpoint.stop()
    (fault,) = part()["faults"]
    assert NAME in fault
    assert "cannot be reached" in fault


def test_without_a_store_a_refresh_shows_the_endpoint(run: Run, folder: Path, endpoint: BundleEndpoint) -> None:
    for file in folder.glob("bridge.db*"):
        file.unlink()
    assert listed(run, "refresh")["state"] == "fresh"
    assert listed(run, "list")["state"] == "unreachable"
    assert not (folder / "bridge.db").exists()
    assert json.loads(endpoint.authority.bundle_json())
