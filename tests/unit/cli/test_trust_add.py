"""`bridge trust add`: whose, where and how are said; the keys are compared; one section is written, or nothing."""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.lab.authority import Authority
from bridge.lab.bundle_endpoint import BundleEndpoint
from bridge.lab.web_ca import WebCa
from bridge.lab.workload_api import WorkloadApi
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.described_keys import digest_of
from bridge.spire.parse import parse_bundle
from tests.unit.cli.conftest import Ran, Run

NAME = "partner.example"


def of(authority: Authority) -> str:
    """What its people say over the phone."""
    return digest_of(parse_bundle(authority.bundle_json(), authority.trust_domain))


class Partner:
    """Another trust domain with an endpoint of each profile, and what an operator here was given of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(NAME, intermediate=False)
        self.web_ca = WebCa(now=int(time.time()))
        self.web = BundleEndpoint(self.authority, self.web_ca)
        self.spiffe = BundleEndpoint(self.authority)
        self.config = folder / "bridge.toml"
        self.before = self.config.read_bytes()
        (folder / "their-ca.pem").write_bytes(self.web_ca.certificate_pem)
        self.bring()

    def bring(self, name: str = "given.json") -> None:
        """Their people bring their bundle as it is now."""
        (self.folder / name).write_bytes(self.authority.bundle_json())

    @property
    def digest(self) -> str:
        return of(self.authority)

    def by_web(self) -> list[str]:
        return ["--url", self.web.url, "--profile", "https_web", "--ca-file", "their-ca.pem"]

    def by_spiffe(self) -> list[str]:
        server = ["--endpoint-spiffe-id", self.spiffe.endpoint_spiffe_id]
        return ["--url", self.spiffe.url, "--profile", "https_spiffe", *server]

    @property
    def added(self) -> str:
        """What was written behind what was there."""
        now = self.config.read_bytes()
        assert now.startswith(self.before)
        return now[len(self.before) :].decode()


@pytest.fixture
def partner(folder: Path) -> Iterator[Partner]:
    made = Partner(folder)
    with made.web, made.spiffe:
        yield made


Add = Callable[..., Ran]


@pytest.fixture
def add(run: Run) -> Add:
    return lambda *words: run("trust", "add", NAME, *words)


def section(partner: Partner) -> dict[str, str]:
    found = tomllib.loads(partner.config.read_text())["trust_domains"][NAME]
    assert isinstance(found, dict)
    return found


# --- what is accepted -------------------------------------------------------------------------------


def test_an_https_web_endpoint_is_added_once_its_keys_were_compared(run: Run, add: Add, partner: Partner) -> None:
    ran = add(*partner.by_web(), "--max-stale", "1h", "--fingerprint", partner.digest)
    assert (ran.code, ran.err) == (0, "")
    assert partner.added == (
        f'\n[trust_domains."{NAME}"]\nsource = "https_web"\nurl = "{partner.web.url}"\n'
        'ca_file = "their-ca.pem"\nmax_stale = "1h"\n'
    )
    assert "start the service again" in ran.out
    assert run("trust", "refresh", NAME).code == 0
    shown = run("trust", "show", NAME, "--json").json
    assert (shown["digest"], shown["state"], shown["url"]) == (partner.digest, "fresh", partner.web.url)


def test_every_key_and_what_was_checked_is_shown_before_anybody_is_asked(add: Add, partner: Partner) -> None:
    ran = add(*partner.by_web())
    assert ran.code == 1
    assert "nobody is asked here" in ran.err
    for key in parse_bundle(partner.authority.bundle_json(), TrustDomain(NAME)).jwt_authorities:
        assert key.key_id in ran.out
    assert partner.digest in ran.out
    assert "by the system's CAs and those of their-ca.pem" in ran.out
    assert f"not checked:\n  - that these are the keys of {NAME}" in ran.out
    assert partner.added == ""


def test_an_https_spiffe_endpoint_is_added_with_the_bootstrap_bundle_that_was_brought(
    run: Run, add: Add, partner: Partner
) -> None:
    ran = add(*partner.by_spiffe(), "--bootstrap-from", "given.json", "--fingerprint", partner.digest)
    assert (ran.code, ran.err) == (0, "")
    stored = partner.folder / "bundles" / f"{NAME}.json"
    assert section(partner)["bootstrap"] == f"bundles/{NAME}.json"
    assert stored.read_bytes() == (partner.folder / "given.json").read_bytes()
    assert stored.stat().st_mode & 0o777 == 0o644
    assert "by the bootstrap bundle given.json" in ran.out
    assert run("trust", "refresh", NAME).code == 0


def test_a_bootstrap_bundle_may_be_used_where_it_is(add: Add, partner: Partner, tmp_path: Path) -> None:
    ran = add(*partner.by_spiffe(), "--bootstrap", "given.json", "--fingerprint", partner.digest)
    assert ran.code == 0
    assert section(partner)["bootstrap"] == "given.json"
    assert not (partner.folder / "bundles" / f"{NAME}.json").exists()


def test_a_file_outside_the_configurations_folder_is_written_with_its_whole_path(
    run: Run, partner: Partner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.move(partner.folder / "given.json", tmp_path / "given.json")
    more = ["--bundle", "given.json", "--fingerprint", partner.digest, "--config", partner.config]
    assert run("trust", "add", NAME, *more).code == 0
    assert section(partner) == {"source": "file", "path": str(tmp_path / "given.json")}


def test_a_file_is_added_by_its_part_of_a_bundle_map(add: Add, partner: Partner) -> None:
    """SPIFFE-33."""
    by_name = {NAME: partner.authority.bundle(), "other.example": Authority("other.example").bundle()}
    (partner.folder / "bundles/all.json").write_text(json.dumps({"trust_domains": by_name}))
    assert add("--bundle", "bundles/all.json", "--fingerprint", partner.digest).code == 0
    assert section(partner) == {"source": "file", "path": "bundles/all.json"}


def test_an_agent_is_added_with_the_bundle_that_it_federates(add: Add, partner: Partner, tmp_path: Path) -> None:
    ours = Authority("example.org", intermediate=False)
    with WorkloadApi(ours, tmp_path / "a.sock", identities=["/bridge"], federated=[partner.authority]) as agent:
        assert add("--socket", agent.address, "--fingerprint", partner.digest).code == 0
        assert section(partner) == {"source": "workload-api", "socket": agent.address}


def test_an_endpoint_may_be_served_by_a_trust_domain_that_is_configured_already(
    run: Run, add: Add, partner: Partner
) -> None:
    host = Authority("host.example", intermediate=False)
    (partner.folder / "bundles/host.example.json").write_bytes(host.bundle_json())
    assert (
        run("trust", "add", "host.example", "--bundle", "bundles/host.example.json", "--fingerprint", of(host)).code
        == 0
    )
    # The server is theirs from here on; what it serves stays the partner's.
    partner.spiffe.authority = host
    ran = add(*partner.by_spiffe(), "--dry-run")
    assert ran.code == 0
    assert "by the bundle of host.example, which is configured here" in ran.out


# --- asking -----------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Somebody at a terminal. What happens while they think, `thinking` does."""

    def __init__(self, answer: str, thinking: Callable[[], object] = lambda: None) -> None:
        super().__init__(answer)
        self._thinking = thinking

    def isatty(self) -> bool:
        return True

    def readline(self, *limit: int) -> str:  # type: ignore[override]
        self._thinking()
        return super().readline(*limit)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)], ids=["yes", "no", "nothing"])
def test_at_a_terminal_the_digest_is_asked_about(
    add: Add, partner: Partner, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ran = add(*partner.by_web())
    assert ran.code == code
    assert f"say {partner.digest} too?" in ran.err
    assert bool(partner.added) is (code == 0)


@pytest.mark.parametrize("spelling", [str.upper, lambda d: d.replace("-", ""), lambda d: d.replace("-", " ")])
def test_a_digest_is_taken_as_people_write_it(add: Add, partner: Partner, spelling: Callable[[str], str]) -> None:
    assert add(*partner.by_web(), "--dry-run", "--fingerprint", spelling(partner.digest)).code == 0


def test_another_digest_is_refused_whoever_could_be_asked(
    add: Add, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    compared = partner.digest
    partner.authority.rotate_jwt("prepare")
    ran = add(*partner.by_web(), "--fingerprint", compared)
    assert ran.code == 1
    assert f"the digest is {partner.digest}, not {compared}" in ran.err
    assert partner.added == ""
    assert add(*partner.by_web(), "--fingerprint", partner.digest).code == 0


def test_a_dry_run_shows_the_section_and_writes_nothing(add: Add, partner: Partner) -> None:
    words = [*partner.by_spiffe(), "--bootstrap-from", "given.json", "--dry-run"]
    ran = add(*words)
    assert ran.code == 0
    assert f'[trust_domains."{NAME}"]\nsource = "https_spiffe"\n' in ran.out
    assert partner.added == ""
    assert not (partner.folder / "bundles" / f"{NAME}.json").exists()
    asked = add(*words, "--json").json
    assert (asked["written"], asked["digest"]) == (False, partner.digest)
    done = add(*words[:-1], "--json", "--fingerprint", asked["digest"]).json
    assert done["written"] is True
    assert partner.added == f"\n{done['section']}"
    assert {key["use"] for key in done["keys"]} == {"x509-svid", "jwt-svid"}
    assert any("SIGHUP" in step for step in done["next"])


def test_programs_are_told_as_well_that_nothing_was_written(add: Add, partner: Partner) -> None:
    ran = add(*partner.by_web(), "--json")
    assert (ran.code, ran.json["written"], ran.json["digest"]) == (1, False, partner.digest)


# --- the file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "added"),
    [(b"", "\n["), (b"# the end", "\n\n["), (b"# the end\r\n", "\r\n[")],
    ids=["newline", "no-newline", "crlf"],
)
def test_what_people_wrote_stays_byte_for_byte(add: Add, partner: Partner, end: bytes, added: str) -> None:
    partner.before += end
    partner.config.write_bytes(partner.before)
    assert add("--bundle", "given.json", "--fingerprint", partner.digest).code == 0
    assert partner.added.startswith(added)
    lines = partner.added.split("\r\n" if "\r" in added else "\n")
    assert lines[-4:] == [f'[trust_domains."{NAME}"]', 'source = "file"', 'path = "given.json"', ""]
    assert load_settings(partner.config, {}).trust_domains[NAME].source == "file"


def test_a_file_that_somebody_changes_while_people_compare_is_left_to_them(
    add: Add, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = partner.before + b"# mine\n"
    monkeypatch.setattr(sys, "stdin", Terminal("y\n", lambda: partner.config.write_bytes(theirs)))
    words = [*partner.by_spiffe(), "--bootstrap-from", "given.json"]
    ran = add(*words)
    assert ran.code == 1
    assert "was changed by somebody else meanwhile; nothing was written" in ran.err
    assert partner.config.read_bytes() == theirs
    assert not (partner.folder / "bundles" / f"{NAME}.json").exists()
    assert add(*words, "--fingerprint", partner.digest).code == 0


def test_trust_domains_that_are_written_in_one_table_are_left_to_people(add: Add, partner: Partner) -> None:
    text = partner.config.read_text()
    head, _, rest = text.partition('[trust_domains."example.org"]')
    inline = '\ntrust_domains = { "example.org" = { source = "file", path = "bundles/example.org.json" } }\n'
    one_table = rest.partition("# Proxies that end TLS")[2]
    issuer, _, others = head.partition("[tls]")
    partner.config.write_text(f"{issuer}{inline}[tls]{others}# {one_table}")
    partner.before = partner.config.read_bytes()
    ran = add("--bundle", "given.json", "--fingerprint", partner.digest)
    assert ran.code == 1
    assert "Put this where it belongs:\n[trust_domains." in ran.err
    assert partner.added == ""


def test_a_configured_trust_domain_is_left_as_it_is(
    run: Run, add: Add, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--bundle", "given.json", "--fingerprint", partner.digest]
    ran = run("trust", "add", "example.org", *words)
    assert (ran.code, partner.added) == (1, "")
    assert "example.org is configured already" in ran.err
    assert add(*words).code == 0
    assert add(*words).code == 1
    monkeypatch.setenv("BRIDGE_TRUST_DOMAINS__THIRD.EXAMPLE__SOURCE", "file")
    monkeypatch.setenv("BRIDGE_TRUST_DOMAINS__THIRD.EXAMPLE__PATH", "given.json")
    assert "configured already" in run("trust", "add", "third.example", *words).err


# --- what is refused --------------------------------------------------------------------------------

WEB = ["--url", "WEB", "--profile", "https_web", "--ca-file", "their-ca.pem"]
SPIFFE = ["--url", "SPIFFE", "--profile", "https_spiffe", "--endpoint-spiffe-id", f"spiffe://{NAME}/spire/server"]
BOOTSTRAP = ["--bootstrap", "given.json"]
FILE = ["--bundle", "given.json"]
ACCEPTED = {"web": WEB, "spiffe": [*SPIFFE, *BOOTSTRAP], "file": FILE}


def without(words: list[str], option: str) -> list[str]:
    at = words.index(option)
    return words[:at] + words[at + 2 :]


def instead(words: list[str], option: str, value: str) -> list[str]:
    at = words.index(option)
    return [*words[: at + 1], value, *words[at + 2 :]]


# What each differs in from what is accepted, the exit code, and words of the reason.
REFUSED: dict[str, tuple[list[str], int, str]] = {
    "SPIFFE-28-no-profile": (without(WEB, "--profile"), 2, "neither is guessed"),
    "SPIFFE-28-no-endpoint-id": (without([*SPIFFE, *BOOTSTRAP], "--endpoint-spiffe-id"), 2, "who the server has to be"),
    "SPIFFE-28-no-source": ([], 2, "say where the bundle comes from"),
    "two-sources": ([*WEB, *FILE], 2, "one of --url, --bundle and --socket"),
    "no-bootstrap": (SPIFFE, 2, "required: the first bundle of partner.example"),
    "two-bootstraps": ([*SPIFFE, *BOOTSTRAP, "--bootstrap-from", "given.json"], 2, "not both"),
    "bootstrap-for-the-web": ([*WEB, *BOOTSTRAP], 2, "--bootstrap is for --url with --profile https_spiffe"),
    "cas-for-spiffe": ([*SPIFFE, *BOOTSTRAP, "--ca-file", "their-ca.pem"], 2, "--ca-file is for --url with"),
    "a-profile-for-a-file": ([*FILE, "--profile", "https_web"], 2, "--profile is for --url"),
    "no-such-profile": (instead(WEB, "--profile", "http"), 2, "is not one of"),
    "no-such-file": (instead(FILE, "--bundle", "nowhere.json"), 2, "does not exist"),
    "SPIFFE-27-http": (instead(WEB, "--url", "http://127.0.0.1:1/"), 2, "url: the URL"),
    "SPIFFE-29-userinfo": (instead(WEB, "--url", "https://me@127.0.0.1:1/"), 2, "url: the URL"),
    "max-stale": ([*WEB, "--max-stale", "soon"], 2, "max_stale: a duration is"),
    "an-id-that-is-none": (instead([*SPIFFE, *BOOTSTRAP], "--endpoint-spiffe-id", "partner"), 2, "starts with spiffe"),
    "socket": (["--socket", "http://127.0.0.1"], 2, "is no Workload API address"),
    "digest-that-is-short": ([*WEB, "--fingerprint", "1234-5678"], 2, "1234-5678 is no digest"),
    "control-character": (instead(WEB, "--url", "https://127.0.0.1/\x7f"), 2, "control character"),
    "half-a-character": (instead(WEB, "--url", "https://127.0.0.1/\udc80"), 2, "TOML can hold"),
    "SPIFFE-27-unknown-ca": (without(WEB, "--ca-file"), 1, "verified by the system's CAs, `ca_file`"),
    "another-server": (
        instead([*SPIFFE, *BOOTSTRAP], "--endpoint-spiffe-id", f"spiffe://{NAME}/other"),
        1,
        "the server is not spiffe://partner.example/other",
    ),
    "a-bootstrap-that-does-not-prove-it": (
        [*SPIFFE, "--bootstrap", "bundles/example.org.json"],
        1,
        "the server is not",
    ),
    "nor-a-copied-one": ([*SPIFFE, "--bootstrap-from", "bundles/example.org.json"], 1, "the server is not"),
    "a-bootstrap-without-a-ca": ([*SPIFFE, "--bootstrap-from", "empty.json"], 1, "has no X.509 authority of"),
    "a-bootstrap-that-is-none": ([*SPIFFE, "--bootstrap-from", "bridge.toml"], 1, "not JSON"),
    "nobody-there": (instead(WEB, "--url", "https://127.0.0.1:1/"), 1, "cannot be reached"),
    "no-bundle": (instead(FILE, "--bundle", "bridge.toml"), 1, "malformed"),
    "SPIFFE-23-empty": (instead(FILE, "--bundle", "empty.json"), 1, "no usable key"),
    "SPIFFE-33-map-without-it": (instead(FILE, "--bundle", "map.json"), 1, "has no bundle of partner.example"),
}


def spoken(partner: Partner, words: list[str]) -> list[str]:
    places = {"WEB": partner.web.url, "SPIFFE": partner.spiffe.url}
    return [places.get(word, word) for word in words]


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_twins_of_what_is_refused_are_accepted(add: Add, partner: Partner, name: str) -> None:
    assert add(*spoken(partner, ACCEPTED[name]), "--dry-run").code == 0


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why_and_writes_nothing(add: Add, partner: Partner, name: str) -> None:
    words, code, why = REFUSED[name]
    (partner.folder / "empty.json").write_text('{"keys": []}')
    (partner.folder / "map.json").write_text('{"trust_domains": {}}')
    agreed = [] if "--fingerprint" in words else ["--fingerprint", partner.digest]
    ran = add(*spoken(partner, words), *agreed)
    assert (ran.code, why in ran.err) == (code, True), ran.err
    assert partner.added == ""
    assert not (partner.folder / "bundles" / f"{NAME}.json").exists()


@pytest.mark.parametrize("name", ["Partner.example", "pushed", ""])
def test_a_name_that_is_no_trust_domain_or_another_file_is_exit_2(run: Run, partner: Partner, name: str) -> None:
    ran = run("trust", "add", name, "--bundle", "given.json", "--fingerprint", partner.digest)
    assert (ran.code, partner.added) == (2, "")


def test_a_file_in_the_bootstrap_bundles_place_is_not_overwritten(add: Add, partner: Partner) -> None:
    place = partner.folder / "bundles" / f"{NAME}.json"
    place.write_text("mine")
    words = [*partner.by_spiffe(), "--bootstrap-from", "given.json", "--fingerprint", partner.digest]
    ran = add(*words)
    assert (ran.code, place.read_text(), partner.added) == (1, "mine", "")
    assert "is not overwritten" in ran.err
    place.unlink()
    assert add(*words).code == 0


def test_a_configuration_that_no_service_starts_on_is_exit_2(add: Add, partner: Partner) -> None:
    partner.before += b"nonsense = 1\n"
    partner.config.write_bytes(partner.before)
    assert add("--bundle", "given.json", "--fingerprint", partner.digest).code == 2
    assert partner.added == ""


def test_keys_of_another_trust_domain_are_refused_and_both_stay_well(run: Run, add: Add, partner: Partner) -> None:
    """T-12: with the section written, neither of the two would be trusted any more."""
    ours = (partner.folder / "bundles/example.org.json").read_bytes()
    (partner.folder / "given.json").write_bytes(ours)
    ran = add("--bundle", "given.json", "--dry-run")
    assert ran.code == 1
    assert "shares key" in ran.err
    assert "with example.org" in ran.err
    partner.bring()
    ran = add("--bundle", "given.json", "--dry-run")
    assert ran.code == 0
    assert "no other trust domain that is known here has its keys" in ran.out


def test_whom_it_could_not_be_compared_with_is_said(add: Add, partner: Partner) -> None:
    words = ["--bundle", "given.json", "--dry-run"]
    assert "shares a key" not in add(*words).out
    (partner.folder / "bundles/example.org.json").unlink()
    assert "whether it shares a key with example.org: their bundles are not known here" in add(*words).out


# --- ending and beginning again ---------------------------------------------------------------------


def test_what_was_fetched_before_does_not_come_back_under_another_url(run: Run, add: Add, partner: Partner) -> None:
    add(*partner.by_web(), "--fingerprint", partner.digest)
    assert run("trust", "refresh", NAME).code == 0
    partner.config.write_bytes(partner.before)
    with BundleEndpoint(partner.authority, partner.web_ca) as moved:
        words = instead(partner.by_web(), "--url", moved.url)
        assert add(*words, "--fingerprint", partner.digest).code == 0
        listed = {one["trust_domain"]: one for one in run("trust", "list", "--json").json}
        assert (listed[NAME]["state"], listed[NAME]["reason"]) == ("unreachable", "was not fetched yet")
        assert run("trust", "refresh", NAME).code == 0


def test_an_older_bundle_than_the_store_has_of_that_place_is_refused(run: Run, add: Add, partner: Partner) -> None:
    """SPIFFE-25, T-20: the service would refuse it too."""
    partner.authority.rotate_jwt()
    add(*partner.by_web(), "--fingerprint", partner.digest)
    run("trust", "refresh", NAME)
    partner.config.write_bytes(partner.before)
    newest = partner.authority.sequence
    partner.authority.sequence = 1
    refused = add(*partner.by_web(), "--fingerprint", partner.digest)
    assert (refused.code, partner.added) == (1, "")
    assert f"went back from {newest} to 1" in refused.err
    partner.authority.sequence = newest
    ran = add(*partner.by_web(), "--fingerprint", partner.digest)
    assert ran.code == 0
    assert f"what the store has of this endpoint (sequence {newest})" in ran.out
