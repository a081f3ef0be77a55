"""`bridge init` makes a folder that the other commands say yes to, and never overwrites anything."""

from __future__ import annotations

import json
import os
import re
import shlex
import ssl
import stat
import tomllib
from pathlib import Path

import pytest

from bridge.cli.init.starter import configuration
from bridge.config import Settings, load_settings
from bridge.lab.authority import Authority
from bridge.lab.workload_api import WorkloadApi
from tests.unit.cli.conftest import ROOT, Run


def test_what_init_writes_passes_check_once_the_bundle_is_there(run: Run, tmp_path: Path) -> None:
    ran = run("init", tmp_path / "new")
    assert ran.code == 0
    assert "spire-server bundle show -format spiffe" in ran.out
    config = tmp_path / "new" / "bridge.toml"
    assert run("check", "--config", config).code == 1
    (tmp_path / "new" / "bundles" / "example.org.json").write_bytes(Authority("example.org").bundle_json())
    ran = run("check", "--config", config)
    assert (ran.code, ran.err) == (0, "")


def test_its_policies_pass_policy_check_and_policy_test(run: Run, folder: Path) -> None:
    checked = run("policy", "check", "--json")
    assert (checked.code, checked.json) == (0, [])
    tested = run("policy", "test")
    assert tested.code == 0, tested.out + tested.err


def test_it_writes_one_example_rule_for_each_source(folder: Path) -> None:
    sources = {}
    for path in (folder / "policies").glob("*.toml"):
        document = tomllib.loads(path.read_text())
        if "source" in document:
            sources[document["source"]] = len(document["rule"])
    assert sources.keys() == {"spiffe", "metadata-document", "software-statement", "pushed"}
    assert all(sources.values())


def test_the_policy_of_pushed_clients_says_first_that_they_are_off(folder: Path) -> None:
    for place in (folder / "policies", ROOT / "policies"):
        first = "".join(line for line in (place / "pushed.toml").read_text().splitlines() if line.startswith("# "))
        assert "Off unless" in first
        assert "pushed_client_registration" in first


def test_secrets_are_for_their_owner_alone_t_54(folder: Path) -> None:
    for name in ("secrets/seal.key", "tls/server.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_the_test_certificate_is_of_this_machine_and_of_the_test_ca(folder: Path) -> None:
    context = ssl.create_default_context(cafile=folder / "tls" / "test-ca.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls" / "server.pem", folder / "tls" / "server.key")
    for host in ("127.0.0.1", "localhost"):
        handshake(context, server, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(context, server, "example.org")


def handshake(context: ssl.SSLContext, server_context: ssl.SSLContext, host: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("existing", ["bridge.toml", "policies/catalogue.toml", "secrets/seal.key", "bridge.db"])
def test_it_refuses_to_overwrite_and_then_writes_nothing(run: Run, tmp_path: Path, existing: str) -> None:
    new = tmp_path / "new"
    (new / existing).parent.mkdir(parents=True)
    (new / existing).write_text("mine")
    ran = run("init", new)
    assert ran.code == 1
    assert existing in ran.err
    assert [path for path in new.rglob("*") if path.is_file()] == [new / existing]
    assert (new / existing).read_text() == "mine"


def test_a_dangling_link_is_not_written_through(run: Run, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "bridge.toml").symlink_to(tmp_path / "elsewhere")
    assert run("init", new).code == 1
    assert not (tmp_path / "elsewhere").exists()


def test_its_answer_for_programs_names_every_file(run: Run, tmp_path: Path) -> None:
    answer = run("init", tmp_path / "new", "--trust-domain", "td.example", "--json").json
    assert answer["trust_domain"] == "td.example"
    assert {path for path in (tmp_path / "new").rglob("*") if path.is_file()} == {Path(p) for p in answer["created"]}


@pytest.mark.parametrize("name", ["Example.org", "", "catalogue", "pushed"])
def test_a_name_that_is_no_trust_domain_or_another_file_is_exit_2(run: Run, tmp_path: Path, name: str) -> None:
    assert run("init", tmp_path / "good", "--trust-domain", "example.org").code == 0
    assert run("init", tmp_path / "bad", "--trust-domain", name).code == 2
    assert not (tmp_path / "bad").exists()


def test_a_long_name_gets_a_file_too(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "new" / "bridge.toml"
    assert run("init", tmp_path / "new", "--trust-domain", "a" * 255).code == 0
    assert run("policy", "test", "--config", config).code == 0


def test_with_an_agent_it_takes_the_trust_domain_from_it(run: Run, tmp_path: Path) -> None:
    authority = Authority("prod.example")
    with WorkloadApi(authority, tmp_path / "a.sock", identities=["/bridge"]) as api:
        assert run("init", tmp_path / "new", "--agent-socket", api.address).code == 0
        domain = load_settings(tmp_path / "new" / "bridge.toml", {}).trust_domains["prod.example"]
        assert (domain.source, domain.socket) == ("workload-api", api.address)
        assert run("check", "--config", tmp_path / "new" / "bridge.toml").code == 0
        assert run("policy", "test", "--config", tmp_path / "new" / "bridge.toml").code == 0


def test_a_path_names_the_agent_as_well_as_a_url_does(run: Run, tmp_path: Path) -> None:
    with WorkloadApi(Authority("prod.example"), tmp_path / "a.sock", identities=["/bridge"]) as api:
        assert run("init", tmp_path / "new", "--agent-socket", tmp_path / "a.sock").code == 0
    text = (tmp_path / "new" / "bridge.toml").read_text()
    assert tomllib.loads(text)["trust_domains"]["prod.example"]["socket"] == api.address
    # What shows the service's own SVID names the same agent.
    assert f'\n#   workload_api = "{api.address}"\n' in text


# --- the entry of the bridge itself -----------------------------------------------------------------


def entry_in(printed: str) -> list[str]:
    """The words of the printed command."""
    (command,) = re.findall(r"^  1\. .*: (spire-server entry create .*)$", printed, re.MULTILINE)
    return shlex.split(command)


def test_without_an_entry_it_prints_the_command_that_makes_one(run: Run, tmp_path: Path) -> None:
    """The normal first case: the agent answers, and knows nobody yet."""
    with WorkloadApi(Authority("prod.example"), tmp_path / "a.sock", strangers_may_verify=True) as api:
        ran = run("init", tmp_path / "new", "--agent-socket", api.address)
        assert (ran.code, ran.err) == (0, "")
        assert "has no entry for this process, and is of prod.example" in ran.out
        words = entry_in(ran.out)
        assert words == [
            *("spire-server", "entry", "create", "-parentID", "PARENT_ID", "-spiffeID", "spiffe://prod.example/bridge"),
            *("-selector", f"unix:uid:{os.getuid()}", "-x509SVIDTTL", "3600"),
        ]
        assert "spire-server agent list" in ran.out
        assert "-federatesWith" in ran.out
        programs = run("init", tmp_path / "again", "--agent-socket", api.address, "--json").json
        assert (programs["entry"], programs["known_as"]) == (words, None)
        api.set_identities(["/bridge"])
        assert run("check", "--config", tmp_path / "new" / "bridge.toml").code == 0


@pytest.mark.parametrize(
    ("more", "code"), [([], 1), (["--trust-domain", "prod.example"], 0)], ids=["unsaid", "with --trust-domain"]
)
def test_an_agent_that_says_nothing_to_strangers_needs_the_trust_domain_named(
    run: Run, tmp_path: Path, more: list[str], code: int
) -> None:
    with WorkloadApi(Authority("prod.example"), tmp_path / "a.sock") as api:
        ran = run("init", tmp_path / "new", "--agent-socket", api.address, *more)
    assert ran.code == code
    assert (tmp_path / "new").exists() is (code == 0)
    if code:
        assert "--trust-domain NAME" in ran.err
        assert f"-spiffeID spiffe://NAME/bridge -selector unix:uid:{os.getuid()}" in ran.err
    else:
        assert "spiffe://prod.example/bridge" in entry_in(ran.out)


def test_who_is_known_already_is_told_as_whom_and_keeps_the_foreign_bundles(run: Run, tmp_path: Path) -> None:
    partner = Authority("partner.example")
    with WorkloadApi(
        Authority("prod.example"), tmp_path / "a.sock", identities=["/of/root"], federated=[partner]
    ) as api:
        ran = run("init", tmp_path / "new", "--agent-socket", api.address, "--user", "no-such-account")
    assert "knows this process as spiffe://prod.example/of/root" in ran.out
    words = entry_in(ran.out)
    assert words[-2:] == ["-federatesWith", "spiffe://partner.example"]
    # An account that this machine does not know goes by its name.
    assert words[words.index("-selector") + 1] == "unix:user:no-such-account"
    assert "this machine has no user no-such-account" in ran.out


@pytest.mark.parametrize(
    ("name", "code"), [("partner.example", 0), ("other.example", 1)], ids=["handed-out", "unknown-to-it"]
)
def test_a_named_trust_domain_must_be_one_that_the_agent_hands_out(
    run: Run, tmp_path: Path, name: str, code: int
) -> None:
    """The entry stays in the agent's own trust domain."""
    partner = Authority("partner.example")
    with WorkloadApi(Authority("prod.example"), tmp_path / "a.sock", identities=["/b"], federated=[partner]) as api:
        ran = run("init", tmp_path / "new", "--agent-socket", api.address, "--trust-domain", name)
        assert ran.code == code
        if code:
            assert "is of prod.example and hands out no bundle of other.example" in ran.err
            assert not (tmp_path / "new").exists()
            return
        assert "spiffe://prod.example/bridge" in entry_in(ran.out)
        assert list(load_settings(tmp_path / "new" / "bridge.toml", {}).trust_domains) == [name]
        assert run("check", "--config", tmp_path / "new" / "bridge.toml").code == 0


@pytest.mark.parametrize(
    ("more", "code"), [([], 1), (["--trust-domain", "prod.example"], 0)], ids=["asked", "with --trust-domain"]
)
def test_an_agent_that_is_not_up_is_needed_for_the_trust_domain_only(
    run: Run, tmp_path: Path, more: list[str], code: int
) -> None:
    ran = run("init", tmp_path / "new", "--agent-socket", tmp_path / "none.sock", *more)
    assert ran.code == code
    assert "there is no socket" in (ran.err if code else ran.out)
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("user", "code"), [("bridge", 0), ("998", 0), ("", 2), ("-x", 2), ("a b", 2), ("a:b", 2), ("a\nb", 2)]
)
def test_an_account_is_a_name_or_a_number(run: Run, tmp_path: Path, user: str, code: int) -> None:
    words = ["--agent-socket", str(tmp_path / "none.sock"), "--trust-domain", "prod.example", f"--user={user}"]
    ran = run("init", tmp_path / "new", *words)
    assert ran.code == code
    if user == "998":
        assert "unix:uid:998" in entry_in(ran.out)


def test_an_account_without_an_agent_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    assert run("init", tmp_path / "new", "--user", "bridge").code == 2
    assert not (tmp_path / "new").exists()


def test_an_address_that_is_no_agents_is_exit_2(run: Run, tmp_path: Path) -> None:
    assert run("init", tmp_path / "new", "--agent-socket", "http://127.0.0.1").code == 2


# --- the text of bridge.toml ----------------------------------------------------------------------


def uncommented(text: str) -> str:
    return re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)


def settings_of(folder: Path, text: str) -> Settings:
    for name in ("tls/server.pem", "tls/server.key"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "bridge.toml").write_text(text)
    return load_settings(folder / "bridge.toml", {})


def test_every_commented_key_shows_its_default(tmp_path: Path) -> None:
    text = configuration("example.org", socket=None)
    assert text.count("\n# ") > 30
    short, long = settings_of(tmp_path, text), settings_of(tmp_path, uncommented(text))
    # What is derived from other keys is shown as what it comes out as.
    assert long.mtls_url == short.mtls_base
    assert {**long.model_dump(), "mtls_url": None, "drafts": {}} == short.model_dump()


def test_every_key_of_this_version_is_in_the_text() -> None:
    text = configuration("example.org", socket=None)

    def check(schema: dict[str, object], whole: dict[str, object]) -> None:
        properties = schema.get("properties", {})
        assert isinstance(properties, dict)
        for name, value in properties.items():
            assert re.search(rf"\b{name}\b", text), name
            for reference in re.findall(r"#/\$defs/(\w+)", json.dumps(value)):
                check(whole["$defs"][reference], whole)  # type: ignore[index]

    schema = Settings.model_json_schema()
    check(schema, schema)


def example(text: str, header: str) -> str:
    """The text with one of its examples of whole sections in force: the lines of `#   ` from that header on."""
    lines = text.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line == f"#   {header}"]
    for number in range(start, len(lines)):
        if not lines[number].startswith("#   ") or (number > start and lines[number].startswith("#   [")):
            break
        lines[number] = lines[number].removeprefix("#   ")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", ["example.org", "partner.example", "factory.example"])
@pytest.mark.parametrize("socket", [None, "unix:///run/spire/agent.sock"], ids=["file", "agent"])
def test_the_examples_of_polled_trust_domains_are_in_force_without_their_comment_signs(
    tmp_path: Path, name: str, socket: str | None
) -> None:
    text = configuration(name, socket=socket)
    assert list(settings_of(tmp_path, text).trust_domains) == [name]
    for header in re.findall(r"^#   (\[trust_domains\..*)$", text, re.MULTILINE):
        text = example(text, header)
    domains = settings_of(tmp_path, text).trust_domains
    first, web, spiffe = domains.values()
    assert (web.source, spiffe.source) == ("https_web", "https_spiffe")
    assert (web.url, web.ca_file) != (None, None)
    assert spiffe.endpoint_spiffe_id == f"spiffe://{list(domains)[2]}/spire/server"
    assert spiffe.bootstrap is not None
    assert first == settings_of(tmp_path, configuration(name, socket=socket)).trust_domains[name]


def test_the_examples_of_trusted_proxies_are_too(tmp_path: Path) -> None:
    text = configuration("example.org", socket=None)
    lines = re.sub(r"^#   (?=\[\[trusted_proxies|unix = |address = |header = )", "", text, flags=re.MULTILINE)
    by_socket, by_address = settings_of(tmp_path, lines).trusted_proxies
    assert by_socket.unix == str(tmp_path / "run/proxy.sock")
    assert by_address.address == "10.0.0.7/32"


def test_a_socket_whose_name_needs_escapes_stays_itself(tmp_path: Path) -> None:
    address = 'unix:///run/a"b\\c.sock'
    text = configuration("example.org", socket=address)
    assert tomllib.loads(text)["trust_domains"]["example.org"]["socket"] == address
