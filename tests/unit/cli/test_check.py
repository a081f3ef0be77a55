"""`bridge check`: every part, all faults at once, and nothing changed by looking."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.jose.keys import SigningKey
from bridge.lab.authority import Authority
from bridge.lab.workload_api import WorkloadApi
from bridge.preparing import prepare
from tests.unit.cli.conftest import Run

PARTS = ["configuration", "tls", "policies", "store", "bundles", "statements", "fetches", "users", "proxies", "console"]
PARTS += ["webhook", "tracing"]


def parts(run: Run) -> dict[str, dict[str, object]]:
    return {part["part"]: part for part in run("check", "--json").json}


def test_a_sound_set_up_is_exit_0_and_every_part_says_so(run: Run, folder: Path) -> None:
    ran = run("check", "--json")
    assert ran.code == 0
    assert [part["part"] for part in ran.json] == PARTS
    assert all(part["ok"] and (part["found"] or part["hints"]) for part in ran.json)
    out = run("check").out
    assert all(name in out for name in PARTS)


def test_it_makes_nothing_for_a_service_that_has_not_started_yet(run: Run, folder: Path) -> None:
    for name in ("bridge.db", "bridge.db-wal", "bridge.db-shm", "secrets/seal.key"):
        (folder / name).unlink(missing_ok=True)
    before = sorted(folder.rglob("*"))
    ran = run("check")
    assert ran.code == 0
    assert "serve` makes" in ran.out
    assert sorted(folder.rglob("*")) == before


def spoil_tls(folder: Path) -> None:
    (folder / "tls" / "server.key").write_text("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n")


def spoil_policies(folder: Path) -> None:
    (folder / "policies" / "example.org.toml").write_text("version = 1\n")


def warn_policies(folder: Path) -> None:
    """A rule that can never decide anything: a warning, and still no."""
    path = folder / "policies" / "example.org.toml"
    denial = '[[rule]]\nid = "none-at-all"\nwhy = "test"\neffect = "deny"\nbroad = true\nwhen = { any_path = true }\n'
    path.write_text(path.read_text() + denial)


def spoil_store(folder: Path) -> None:
    (folder / "bridge.db").write_bytes(b"nonsense" * 1000)


def spoil_seal(folder: Path) -> None:
    (folder / "secrets" / "seal.key").chmod(0o640)


def other_seal(folder: Path) -> None:
    (folder / "secrets" / "seal.key").write_text("00" * 32)


def spoil_bundle(folder: Path) -> None:
    (folder / "bundles" / "example.org.json").write_text("{}")


def no_bundle(folder: Path) -> None:
    (folder / "bundles" / "example.org.json").unlink()


def spoil_statement_keys(folder: Path) -> None:
    (folder / "trust" / "ci.example.org.jwks.json").write_text('{"keys": {}}')


def unfit_statement_keys(folder: Path) -> None:
    (folder / "trust" / "ci.example.org.jwks.json").write_text('{"keys": [{"kty": "oct", "k": "AAAA"}]}')


@pytest.mark.parametrize(
    ("part", "spoil"),
    [
        ("tls", spoil_tls),
        ("policies", spoil_policies),
        ("policies", warn_policies),
        ("store", spoil_store),
        ("store", spoil_seal),
        ("store", other_seal),
        ("bundles", spoil_bundle),
        ("bundles", no_bundle),
        ("statements", spoil_statement_keys),
        ("statements", unfit_statement_keys),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_fault_is_of_its_part_and_exit_1(run: Run, folder: Path, part: str, spoil: Callable[[Path], None]) -> None:
    assert run("check").code == 0
    spoil(folder)
    ran = run("check", "--json")
    assert ran.code == 1
    assert [found["part"] for found in ran.json if not found["ok"]] == [part]


def test_the_services_own_svid_is_shown_and_is_a_fault_where_the_agent_gives_none(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WorkloadApi(Authority("example.org"), tmp_path / "a.sock", identities=["/bridge"]) as api:
        config = folder / "bridge.toml"
        config.write_text(config.read_text().replace("[tls]\n", f'[tls]\nworkload_api = "{api.address}"\n'))
        found = parts(run)["tls"]
        assert found["ok"]
        assert "own X.509-SVID spiffe://example.org/bridge, ends " in str(found["found"])
        assert "server.pem" in str(found["found"])
        monkeypatch.setattr("bridge.cli.check._BUNDLE_SECONDS", 0.3)
        api.set_identities([])
        (fault,) = parts(run)["tls"]["faults"]  # type: ignore[misc]
        assert "no registration entry" in fault
        assert "the account that serves needs" in fault


def test_faults_of_several_parts_come_at_once(run: Run, folder: Path) -> None:
    spoil_tls(folder)
    spoil_policies(folder)
    no_bundle(folder)
    ran = run("check")
    assert ran.code == 1
    faults = [line for line in ran.out.splitlines() if line.startswith("fault")]
    assert {line.split()[1] for line in faults} == {"tls", "policies", "bundles"}


def test_all_faults_of_the_configuration_are_exit_1(run: Run, folder: Path) -> None:
    (folder / "bridge.toml").write_text('workers = 0\nsurplus = 1\n[tokens]\ndefault_ttl = "never"\n')
    ran = run("check", "--json")
    assert ran.code == 1
    (part,) = ran.json
    for name in ("workers", "surplus", "default_ttl", "issuer", "policies"):
        assert any(name in fault for fault in part["faults"]), name


@pytest.mark.parametrize("content", [None, b"no = = toml", b"\xff"], ids=["absent", "syntax", "encoding"])
def test_a_file_that_cannot_be_read_as_toml_is_exit_2(run: Run, folder: Path, content: bytes | None) -> None:
    (folder / "bridge.toml").unlink()
    if content is not None:
        (folder / "bridge.toml").write_bytes(content)
    ran = run("check")
    assert (ran.code, ran.out) == (2, "")


def test_a_missing_bundle_is_named_with_the_command_that_writes_it(run: Run, folder: Path) -> None:
    assert "spire-server" not in run("check").out
    no_bundle(folder)
    out = run("check").out
    file = folder / "bundles" / "example.org.json"
    assert f"{file}: cannot be read" in out
    assert f"spire-server bundle show -format spiffe > {file}" in out


def test_an_issuer_without_keys_is_a_hint_and_one_with_a_key_is_none_dcr_10(run: Run, folder: Path) -> None:
    ran = run("check")
    assert ran.code == 0
    (line,) = [line for line in ran.out.splitlines() if "statements" in line]
    assert line.split()[:2] == ["hint", "statements"]
    assert "put its public keys there" in line
    (folder / "trust" / "ci.example.org.jwks.json").write_text(
        json.dumps({"keys": [SigningKey.generate("ES256").public_jwk()]})
    )
    out = run("check").out
    assert "https://ci.example.org: 1 keys" in out
    assert "public keys" not in out


def test_a_missing_file_of_an_issuer_is_a_fault_of_the_configuration(run: Run, folder: Path) -> None:
    assert run("check").code == 0
    (folder / "trust" / "ci.example.org.jwks.json").unlink()
    ran = run("check")
    assert ran.code == 1
    assert "statement_issuers.https://ci.example.org.jwks_file: no such file" in ran.out


def test_a_rule_about_an_issuer_that_is_not_configured_is_a_warning(run: Run, folder: Path) -> None:
    rules = folder / "policies" / "software-statements.toml"
    assert run("policy", "check").code == 0
    rules.write_text(rules.read_text().replace("https://ci.example.org", "https://ci.example.net"))
    (finding,) = run("policy", "check", "--json").json
    assert (finding["code"], finding["severity"], finding["rule"]) == (
        "unreachable",
        "warning",
        "example-ci-posts-entries",
    )
    assert finding["line"]
    assert run("policy", "check", "--policies", folder / "policies").code == 0


@pytest.mark.parametrize(("address", "code"), [("127.0.0.1:8443", 0), ("0.0.0.0:8443", 1)], ids=["loopback", "open"])
def test_hosts_exempt_from_the_address_guard_are_loud_and_a_fault_where_others_can_come_CIMD_13(
    run: Run, folder: Path, address: str, code: int
) -> None:
    config = folder / "bridge.toml"
    text = config.read_text()
    assert 'listen = "127.0.0.1:8443"' in text
    text = text.replace('listen = "127.0.0.1:8443"', f'listen = "{address}"')
    config.write_text(text)
    assert run("check").code == 0
    config.write_text(text + '\n[fetch]\nallow_hosts = ["10.0.0.7:9443"]\n')
    ran = run("check")
    assert ran.code == code
    (line,) = [line for line in ran.out.splitlines() if "allow_hosts" in line]
    assert line.split()[:2] == ["fault" if code else "hint", "fetches"]
    assert "10.0.0.7:9443" in line


def test_a_start_says_aloud_which_hosts_are_exempt_CIMD_13(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def said() -> list[str]:
        caplog.clear()
        prepare(load_settings(folder / "bridge.toml", {}))
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    assert said() == []
    with (folder / "bridge.toml").open("a") as config:
        config.write('\n[fetch]\nallow_hosts = ["10.0.0.7:9443"]\n')
    (line,) = said()
    assert "10.0.0.7:9443" in line
    assert "never in production" in line


@pytest.mark.parametrize(
    ("proxy", "code", "words"),
    [
        ('unix = "run/proxy.sock"', 0, "states client certificates as client-cert"),
        ('address = "10.0.0.7/32"', 0, "10.0.0.7/32 states client certificates"),
        ('address = "127.0.0.1/32"', 1, "any process of this machine can connect from there and claim any SVID"),
    ],
    ids=["a socket", "another machine", "T-18 loopback"],
)
def test_a_trusted_proxy_is_named_and_one_that_anybody_here_could_be_is_a_fault(
    run: Run, folder: Path, proxy: str, code: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "bridge.toml"
    (folder / "run").mkdir(exist_ok=True)
    file.write_text(f'{file.read_text()}\n[[trusted_proxies]]\n{proxy}\nheader = "client-cert"\n')
    ran = run("check")
    assert (ran.code, words in ran.out) == (code, True), ran.out
    with caplog.at_level(logging.WARNING):
        prepare(load_settings(file, {}))
    assert any("claim any SVID" in message for message in caplog.messages) == bool(code)


@pytest.mark.parametrize(("folder_of_it", "code"), [("run", 0), ("nowhere", 1)])
def test_the_consoles_socket_has_its_folder_from_init_and_another_is_to_be_made(
    run: Run, folder: Path, folder_of_it: str, code: int
) -> None:
    file = folder / "bridge.toml"
    file.write_text(f'{file.read_text()}\n[console]\nlisten = "unix:{folder_of_it}/console.sock"\n')
    ran = run("check")
    assert (ran.code, "make it" in ran.out) == (code, bool(code)), ran.out


@pytest.mark.parametrize(("mode", "code"), [(0o750, 0), (0o2770, 0), (0o777, 1), (0o1777, 1)])
@pytest.mark.parametrize(
    "section",
    [
        '[[trusted_proxies]]\nunix = "run/proxy.sock"\nheader = "xfcc"\n',
        '[console]\nlisten = "unix:run/console.sock"\n',
    ],
    ids=["proxy", "console"],
)
def test_a_socket_is_not_where_everybody_may_put_another(
    run: Run, folder: Path, mode: int, code: int, section: str
) -> None:
    file = folder / "bridge.toml"
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run").chmod(mode)
    file.write_text(f"{file.read_text()}\n{section}")
    ran = run("check")
    assert (ran.code, "a socket of their own" in ran.out) == (code, bool(code)), ran.out


@pytest.mark.parametrize(
    ("pattern", "code"), [("spiffe://example.org/ns/ops/sa/*", 0), ("spiffe://example.org/**", 1), ("ops", 1)]
)
def test_operators_that_are_none_or_everybody_are_a_fault(run: Run, folder: Path, pattern: str, code: int) -> None:
    file = folder / "bridge.toml"
    file.write_text(f'{file.read_text()}\n[console]\nlisten = "127.0.0.1:8500"\noperators = ["{pattern}"]\n')
    ran = run("check", "--json")
    (console,) = [part for part in ran.json if part["part"] == "console"]
    assert (ran.code, len(console["faults"])) == (code, code), console
