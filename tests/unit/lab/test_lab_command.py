"""`bridge lab` and `bridge trust` as a user runs them."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from bridge.cli.main import main
from bridge.lab.agent_cache import InvalidJwtSvid, validate
from bridge.lab.authority import Authority, wall_clock
from bridge.lab.federated_file import FederatedFile
from bridge.lab.rotation import Stage
from bridge.lab.service import RunLock
from bridge.lab.state import LabFolder, LabRefused
from bridge.model.bundle import BundleHealth
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.sources import BundleSources, WorkloadApiOptions
from bridge.spire.workload_client import fetch_jwt_svid, fetch_x509_svid

DEADLINE = 20.0
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose sockets have short names, wherever pytest keeps its own."""
    with tempfile.TemporaryDirectory(prefix="lab") as folder:
        yield Path(folder)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `bridge` with these arguments: exit code, standard output, standard error."""

    def command(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def lab(run: Run, short_folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A detached lab with one workload, and what `up --json` said of it."""
    folder = short_folder / "l"
    code, out, err = run("lab", "up", "--dir", folder, "--identity", "/ns/web/sa/api", "--detach", "--json")
    assert code == 0, err
    try:
        yield folder, json.loads(out)
    finally:
        RunLock(LabFolder(folder)).end_holder(timeout=DEADLINE)


def test_a_detached_lab_serves_mints_rotates_and_ends(run: Run, lab: tuple[Path, dict[str, Any]]) -> None:
    folder, addresses = lab
    workload = WorkloadEndpoint.parse(addresses["sockets"]["spiffe://example.org/ns/web/sa/api"])
    assert str(fetch_x509_svid(workload, timeout=DEADLINE).spiffe_id) == "spiffe://example.org/ns/web/sa/api"
    code, minted, _ = run("lab", "mint", "--dir", folder, "/ns/other", "--audience", "a")
    assert code == 0
    assert validate(minted.strip(), "a", [LabFolder(folder).load(wall_clock)], wall_clock())["aud"] == ["a"]

    trust_domain = TrustDomain("example.org")
    agent = WorkloadEndpoint.parse(addresses["agent_socket"])
    sources = BundleSources([WorkloadApiOptions(trust_domain, agent, 60)], clock=wall_clock)
    sources.start()
    try:
        code, rotated, _ = run("lab", "rotate", "--dir", folder, "jwt", "--json")
        assert code == 0
        new = json.loads(rotated)["jwt_published"]

        def followed() -> bool:
            bundle = sources.book.statuses(wall_clock())[0].bundle
            return bundle is not None and [key.key_id for key in bundle.jwt_authorities] == new

        assert sources.book.wait_until(followed, DEADLINE)
    finally:
        sources.close()

    assert run("lab", "up", "--dir", folder)[0] == 1
    assert run("lab", "down", "--dir", folder)[:2] == (0, f"ended process {addresses['pid']}\n")
    assert run("lab", "down", "--dir", folder)[0] == 1
    assert not (folder / "agent.sock").exists()


def test_the_bundle_endpoint_and_the_bundle_file_say_the_same(lab: tuple[Path, dict[str, Any]]) -> None:
    _, addresses = lab
    context = ssl.create_default_context(cafile=addresses["web_ca"])
    with urllib.request.urlopen(addresses["bundle_url"], timeout=DEADLINE, context=context) as answer:
        assert json.load(answer) == json.loads(Path(addresses["bundle_file"]).read_bytes())


def test_a_lab_keeps_its_keys_when_it_is_started_again(run: Run, lab: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = lab
    before = LabFolder(folder).load(wall_clock).bundle()
    assert run("lab", "down", "--dir", folder)[0] == 0
    assert run("lab", "up", "--dir", folder, "--detach")[0] == 0
    assert LabFolder(folder).load(wall_clock).bundle() == before


def test_a_lab_that_cannot_start_says_why(run: Run, short_folder: Path) -> None:
    code, _, err = run("lab", "up", "--dir", short_folder, "--identity", "no-slash", "--detach")
    assert code == 1
    assert "slash" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trust-domain", "other.example"], "holds trust domain example.org"),
        (["--identity", "/a/b", "--identity", "/a-b"], "share one socket name"),
        (["--identity", "/agent"], "share one socket name"),
        (["--identity", "/" + "a" * 110], "107 bytes"),
        (["--federated", "Bad=x.json"], "trust domain"),
    ],
)
def test_unfit_options_are_refused_with_words_that_help(
    run: Run, short_folder: Path, arguments: list[str], words: str
) -> None:
    folder = LabFolder(short_folder)
    folder.save(Authority("example.org"))
    code, _, err = run("lab", "up", "--dir", short_folder, *arguments)
    assert (code, words in err) == (1, True), err


@pytest.mark.parametrize("arguments", [["--bundle-listen", "x"], ["--federated", "x"], ["--jwt-alg", "HS256"]])
def test_wrong_usage_is_exit_2(run: Run, short_folder: Path, arguments: list[str]) -> None:
    assert run("lab", "up", "--dir", short_folder, *arguments)[0] == 2


def test_an_x509_svid_is_minted_into_files(run: Run, short_folder: Path) -> None:
    LabFolder(short_folder).save(Authority("example.org"))
    svid = short_folder / "svid"
    code, out, _ = run("lab", "mint", "--dir", short_folder, "spiffe://example.org/app", "--x509", svid, "--json")
    assert (code, json.loads(out)["spiffe_id"]) == (0, "spiffe://example.org/app")
    assert len(x509.load_pem_x509_certificates((svid / "svid.pem").read_bytes())) == 2
    assert stat.S_IMODE((svid / "svid.key").stat().st_mode) == 0o600


def test_broken_svids_are_listed_and_minted_by_name(run: Run, short_folder: Path) -> None:
    folder = LabFolder(short_folder)
    folder.save(Authority("example.org"))
    listed = json.loads(run("lab", "broken", "--json")[1])
    assert {entry["evidence"] for entry in listed} == {"jwt-svid", "x509-svid"}
    token = run("lab", "mint", "--dir", short_folder, "/app", "--audience", "a", "--broken", "expired")[1].strip()
    with pytest.raises(InvalidJwtSvid, match="expired"):
        validate(token, "a", [folder.load(wall_clock)], wall_clock())
    code, _, _ = run("lab", "mint", "--dir", short_folder, "/app", "--x509", short_folder / "s", "--broken", "ca-leaf")
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["/app"], 2),
        (["/app", "--audience", "a", "--x509", "d"], 2),
        (["app", "--audience", "a"], 1),
        (["spiffe://other.example/app", "--audience", "a"], 1),
        (["/app", "--audience", "a", "--broken", "nothing"], 1),
    ],
)
def test_what_cannot_be_minted_is_refused(run: Run, short_folder: Path, arguments: list[str], code: int) -> None:
    LabFolder(short_folder).save(Authority("example.org"))
    assert run("lab", "mint", "--dir", short_folder, *arguments)[0] == code


def test_without_a_lab_the_error_says_how_to_start_one(run: Run, short_folder: Path) -> None:
    for arguments in (["mint", "/app", "--audience", "a"], ["rotate", "jwt"]):
        code, _, err = run("lab", *arguments, "--dir", short_folder)
        assert (code, "bridge lab up" in err) == (1, True)


def test_a_stage_out_of_order_is_refused_and_nothing_is_written(run: Run, short_folder: Path) -> None:
    folder = LabFolder(short_folder)
    folder.save(Authority("example.org"))
    before = folder.keys.read_bytes()
    assert run("lab", "rotate", "--dir", short_folder, "x509", "--stage", "revoke")[0] == 1
    assert folder.keys.read_bytes() == before
    assert run("lab", "rotate", "--dir", short_folder, "x509", "--stage", "prepare")[0] == 0


@pytest.mark.parametrize("intermediate", [True, False])
def test_an_authority_survives_its_file_in_the_middle_of_a_rotation(short_folder: Path, intermediate: bool) -> None:
    authority = Authority("example.org", jwt_alg="PS256", intermediate=intermediate, jwt_issuer="https://i.example")
    for stages in ((Stage.PREPARE, Stage.ACTIVATE, Stage.TAINT),):
        authority.rotate_jwt(*stages)
        authority.rotate_x509(*stages)
    folder = LabFolder(short_folder)
    folder.save(authority)
    loaded = folder.load(wall_clock)
    assert loaded.bundle() == authority.bundle()
    loaded.rotate_jwt(Stage.REVOKE)
    loaded.rotate_x509(Stage.REVOKE)
    assert validate(loaded.jwt_svid("/app", "a"), "a", [authority], wall_clock())["iss"] == "https://i.example"
    assert loaded.is_current_ca(authority.x509_svid("/app"))
    assert stat.S_IMODE(folder.keys.stat().st_mode) == 0o600


def test_a_spoilt_key_file_is_refused_with_words(short_folder: Path) -> None:
    folder = LabFolder(short_folder)
    folder.save(Authority("example.org"))
    folder.keys.write_bytes(b"{}")
    with pytest.raises(LabRefused, match="start anew"):
        folder.load(wall_clock)


def test_a_federated_file_is_followed_and_survives_junk(tmp_path: Path) -> None:
    partner = Authority("partner.example")
    path = tmp_path / "partner.json"
    federated = FederatedFile("partner.example", path)
    heard: list[int] = []
    take_off = federated.on_change(lambda: heard.append(1))
    assert (federated.x509_bundle(), json.loads(federated.jwt_bundle())) == (b"", {"keys": []})
    path.write_bytes(partner.bundle_json())
    federated.look()
    assert federated.x509_bundle() == partner.x509_bundle()
    assert json.loads(federated.jwt_bundle()) == json.loads(partner.jwt_bundle())
    path.write_bytes(b"junk")
    federated.look()
    federated.look()
    assert federated.x509_bundle() == partner.x509_bundle()
    take_off()
    assert heard == [1]


CONFIGURATION = """
issuer = "http://127.0.0.1:8443"
listen = "127.0.0.1:8443"
[policies]
directory = "policies"
[trust_domains."example.org"]
source = "file"
path = "bundle.json"
"""


def test_trust_list_shows_a_bundle_in_the_shape_of_the_contract(run: Run, tmp_path: Path) -> None:
    authority = Authority("example.org")
    (tmp_path / "bridge.toml").write_text(CONFIGURATION)
    (tmp_path / "bundle.json").write_bytes(authority.bundle_json())
    code, out, err = run("trust", "list", "--config", tmp_path / "bridge.toml", "--json")
    assert code == 0, err
    (entry,) = json.loads(out)
    assert set(entry) >= {
        *("trust_domain", "source", "state", "sequence", "x509_authorities", "jwt_authorities"),
        *("fetched_at", "refresh_at", "stale_at", "reason"),
    }
    assert (entry["trust_domain"], entry["source"], entry["state"]) == ("example.org", "file", "fresh")
    assert (entry["sequence"], entry["jwt_authorities"]) == (1, [authority.jwt_keys.active.kid])
    assert entry["fetched_at"].endswith("Z")
    assert run("trust", "list", "--config", tmp_path / "bridge.toml")[1].count("\n") == 2


def test_trust_refresh_is_exit_1_when_a_bundle_cannot_be_had(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text(CONFIGURATION)
    code, out, err = run("trust", "refresh", "--config", config, "--json")
    assert (code, json.loads(out)[0]["state"], err) == (1, BundleHealth.UNREACHABLE.value, "")
    (tmp_path / "bundle.json").write_bytes(Authority("example.org").bundle_json())
    assert run("trust", "refresh", "--config", config, "example.org")[0] == 0
    assert run("trust", "refresh", "--config", config, "nowhere.example")[0] == 2


def test_trust_list_asks_a_live_agent(run: Run, lab: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    config = tmp_path / "bridge.toml"
    source = f'source = "workload-api"\nsocket = "{lab[1]["agent_socket"]}"\n'
    config.write_text(CONFIGURATION.replace('source = "file"\npath = "bundle.json"\n', source))
    (entry,) = json.loads(run("trust", "list", "--config", config, "--json")[1])
    assert (entry["state"], entry["source"], len(entry["x509_authorities"])) == ("fresh", "workload-api", 1)
    workload = WorkloadEndpoint.parse(lab[1]["agent_socket"])
    assert fetch_jwt_svid(workload, "a", timeout=DEADLINE)


def test_a_labs_bundle_endpoint_may_prove_itself_by_its_svid_instead_of_a_ca(
    run: Run, lab: tuple[Path, dict[str, Any]], short_folder: Path, tmp_path: Path
) -> None:
    """SPIFFE-28: so https_spiffe can be tried without SPIRE."""
    assert lab[1]["endpoint_spiffe_id"] is None
    folder, config = short_folder / "s", tmp_path / "bridge.toml"
    code, out, err = run("lab", "up", "--dir", folder, "--bundle-profile", "https_spiffe", "--detach", "--json")
    assert code == 0, err
    try:
        at = json.loads(out)
        assert at["endpoint_spiffe_id"] == "spiffe://example.org/spire/server"
        named = {"url": "bundle_url", "endpoint_spiffe_id": "endpoint_spiffe_id", "bootstrap": "bundle_file"}
        source = 'source = "https_spiffe"\n' + "".join(f'{key} = "{at[name]}"\n' for key, name in named.items())
        config.write_text(CONFIGURATION.replace('source = "file"\npath = "bundle.json"\n', source))
        code, out, err = run("trust", "refresh", "--config", config, "--json")
        assert (code, json.loads(out)[0]["state"]) == (0, "fresh"), err
    finally:
        RunLock(LabFolder(folder)).end_holder(timeout=DEADLINE)


def test_a_lab_without_its_folder_ends_all_the_same(run: Run, lab: tuple[Path, dict[str, Any]]) -> None:
    """A test run may remove the folder under a lab; `down` before that is the right order, and works."""
    folder, _ = lab
    assert run("lab", "down", "--dir", folder)[0] == 0
    shutil.rmtree(folder)
    assert run("lab", "down", "--dir", folder)[0] == 1
