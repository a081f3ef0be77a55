"""`bridge token` and `bridge serve`: a real service, a real Workload API, and the workload between them."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.lab.workload_api import WorkloadApi
from tests.flows.documented import Shelf, document_rules
from tests.flows.stand import LEDGER, Stand
from tests.live.processes import free_ports
from tests.unit.cli.conftest import Run, bridge_process
from tests.unit.fetch.tls_server import CA

WEB, BATCH, EDGE, INTRUDER, RESEARCH = (
    f"/ns/{path}" for path in ("web/sa/shop", "batch/sa/1", "edge/sa/1", "web/sa/intruder", "research/sa/1")
)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    """Where documents are."""
    made = Shelf()
    yield made
    made.close()


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, shelf: Shelf) -> Iterator[Stand]:
    fetch = f'[fetch]\nallow_hosts = ["127.0.0.1:{shelf.server.port}"]\nca_file = "tls/documents.pem"\n'
    running = Stand(tmp_path_factory.mktemp("token"), more=f"[dpop]\nrequire_nonce = true\n{fetch}", workers=1)
    (running.folder / "tls/documents.pem").write_bytes(CA.certificate_pem)
    (running.policies / "metadata-documents.toml").write_text(document_rules(shelf.base))
    with running:
        yield running


@pytest.fixture(scope="module")
def agent(stand: Stand) -> Iterator[WorkloadApi]:
    """An agent that gives this process five identities; the first is the default."""
    folder = Path(tempfile.mkdtemp(prefix="cli"))
    with WorkloadApi(stand.authority, folder / "a.sock", identities=[WEB, BATCH, EDGE, INTRUDER, RESEARCH]) as api:
        yield api
    shutil.rmtree(folder)


@pytest.fixture
def words(stand: Stand, agent: WorkloadApi) -> list[str]:
    ca = str(stand.folder / "tls" / "ca.pem")
    return ["token", "--issuer", stand.client.issuer, "--ca", ca, "--socket", agent.address]


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def identity(path: str) -> list[str]:
    return ["--spiffe-id", f"spiffe://example.org{path}"]


def test_the_first_request_registers_the_workload_and_prints_a_token(run: Run, words: list[str], stand: Stand) -> None:
    ran = run(*words, "--scope", "ledger.read")
    assert (ran.code, ran.err) == (0, "")
    (line,) = ran.out.splitlines()
    found = claims(line)
    assert (found["sub"], found["scope"], found["aud"]) == (f"spiffe://example.org{WEB}", "ledger.read", LEDGER)
    assert "cnf" not in found
    assert found["client_id"] in [record["client_id"] for record in stand.clients()]


def test_a_certificate_gets_a_token_bound_to_it(run: Run, words: list[str]) -> None:
    found = claims(run(*words, "--x509", "--scope", "ledger.read").out)
    assert found["sub"] == f"spiffe://example.org{WEB}"
    assert list(found["cnf"]) == ["x5t#S256"]


def test_one_of_several_identities_can_be_chosen(run: Run, words: list[str]) -> None:
    for door in ([], ["--x509"]):
        found = claims(run(*words, *door, *identity(BATCH)).out)
        assert (found["client_id"], found["sub"]) == ("batch", f"spiffe://example.org{BATCH}")


def test_an_agent_comes_as_the_client_of_its_document_or_as_its_own(
    run: Run, words: list[str], stand: Stand, shelf: Shelf
) -> None:
    """SCA-11, CIMD-34: the document names who may act for it; the SPIFFE ID stays in the token. SCA-15: a certificate
    comes in the name of its own SPIFFE ID alone."""
    agent = f"spiffe://example.org{WEB}"
    own = shelf.publish("/agents/own", spiffe_id="spiffe://example.org/ns/web/sa/*")
    foreign = shelf.publish("/agents/foreign", spiffe_id="spiffe://example.org/ns/web/sa/other")
    asked = [*words, "--scope", "ledger.read"]
    found = claims(run(*asked, "--client-id", own).out)
    assert (found["client_id"], found["sub"]) == (own, agent)
    for named in ([], ["--client-id", agent], ["--client-id", agent, "--x509"]):
        found = claims(run(*asked, *named).out)
        assert (found["client_id"], found["sub"]) == (agent, agent)
    for named in (["--client-id", foreign], ["--client-id", own, "--x509"]):
        refused = run(*asked, *named)
        assert (refused.code, "invalid_client" in refused.err) == (1, True)
    assert own in {record["client_id"] for record in stand.clients()}


def test_a_resource_can_be_named(run: Run, words: list[str]) -> None:
    assert run(*words, "--resource", LEDGER).code == 0
    assert run(*words, "--resource", "https://other.example").code == 1


def test_the_whole_answer_is_for_programs(run: Run, words: list[str]) -> None:
    answer = run(*words, "--scope", "ledger.read", "--json").json
    assert answer.keys() >= {"access_token", "token_type", "expires_in", "scope"}
    assert answer["token_type"] == "Bearer"


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_an_exec_credential_is_for_kubeconfigs(
    run: Run, words: list[str], version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential", "spec": {}}
    monkeypatch.setenv("KUBERNETES_EXEC_INFO", json.dumps(asked))
    ran = run(*words, "--output", "exec-credential")
    if version == "v1alpha1":
        assert (ran.code, ran.out) == (1, "")
        assert "v1beta1" in ran.err
        return
    assert (ran.json["apiVersion"], ran.json["kind"]) == (asked["apiVersion"], "ExecCredential")
    token = claims(ran.json["status"]["token"])
    end = datetime.fromisoformat(ran.json["status"]["expirationTimestamp"]).timestamp()
    assert token["iat"] < end <= token["exp"]


def test_the_issuer_comes_from_the_configuration(run: Run, words: list[str], stand: Stand) -> None:
    without = [word for word in words if word not in ("--issuer", stand.client.issuer)]
    assert run(*without, "--config", stand.config).code == 0
    ran = run(*without, "--config", stand.folder / "none.toml")
    assert ran.code == 2


def test_the_socket_comes_from_the_environment(
    run: Run, words: list[str], agent: WorkloadApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = [word for word in words if word not in ("--socket", agent.address)]
    ran = run(*without)
    assert (ran.code, ran.out) == (2, "")
    assert "SPIFFE_ENDPOINT_SOCKET" in ran.err
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", agent.address)
    assert run(*without).code == 0


def test_dpop_binds_the_token_to_a_key_that_stays(run: Run, words: list[str], tmp_path: Path) -> None:
    """The service demands a nonce, so each of these is two requests (RFC 9449 section 8)."""
    file = tmp_path / "dpop.pem"
    first = run(*words, "--dpop", file, "--json", *identity(EDGE))
    assert first.json["token_type"] == "DPoP"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    second = run(*words, "--dpop", file, *identity(EDGE))
    assert claims(second.out)["cnf"] == claims(first.json["access_token"])["cnf"]
    other = run(*words, "--dpop", tmp_path / "other.pem", *identity(EDGE))
    assert claims(other.out)["cnf"] != claims(second.out)["cnf"]


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_key_is_exit_1_and_stays(run: Run, words: list[str], tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "dpop.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    assert run(*words, "--dpop", file, *identity(EDGE)).code == 1
    assert file.read_bytes() == content


def test_a_key_file_that_others_can_read_is_refused(run: Run, words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "dpop.pem"
    assert run(*words, "--dpop", file, *identity(EDGE)).code == 0
    file.chmod(0o644)
    ran = run(*words, "--dpop", file, *identity(EDGE))
    assert ran.code == 1
    assert "chmod 600" in ran.err


@pytest.mark.parametrize(
    ("path", "error", "hint"),
    [
        (INTRUDER, "401 invalid_client", None),
        (RESEARCH, "403 unauthorized_client", "clients list --pending"),
        (EDGE, "400 invalid_request", "--dpop FILE"),
    ],
)
def test_a_refusal_names_its_id_and_what_to_ask(
    run: Run, words: list[str], stand: Stand, path: str, error: str, hint: str | None
) -> None:
    assert run(*words, *identity(WEB)).code == 0
    ran = run(*words, *identity(path))
    assert (ran.code, ran.out) == (1, "")
    assert error in ran.err
    assert [one in ran.err for one in ("clients list --pending", "--dpop FILE")].count(True) == (hint is not None)
    assert hint is None or hint in ran.err
    found = re.search(r"bridge audit show ([A-Za-z0-9_-]+)", ran.err)
    assert found is not None
    rows = run("audit", "show", found[1], "--json", "--config", stand.config).lines
    assert (rows[-1]["event"], rows[-1]["subject"]) == ("refused", f"spiffe://example.org{path}")
    explained = run("policy", "explain", "--audit", found[1], "--json", "--config", stand.config)
    # Only a missing key is no denial: `explain` then shows what `bind` wants.
    assert explained.code == (0 if path == EDGE else 1)
    assert "it was refused" not in explained.err


def test_a_refusal_for_programs_is_the_servers_own_answer(run: Run, words: list[str]) -> None:
    ran = run(*words, "--json", "--scope", "nonsense")
    assert ran.code == 1
    assert ran.json["error"] == "invalid_scope"
    assert ran.json["error_id"]


# --- things in the way --------------------------------------------------------------------------


def changed(words: list[str], option: str, value: str | None) -> list[str]:
    at = words.index(option)
    return words[:at] + ([] if value is None else [option, value]) + words[at + 2 :]


def test_a_server_that_nobody_vouches_for_gets_no_svid(run: Run, words: list[str]) -> None:
    assert run(*words).code == 0
    ran = run(*changed(words, "--ca", None))
    assert (ran.code, ran.out) == (1, "")
    assert "--ca" in ran.err


def test_metadata_of_another_issuer_is_not_followed_rfc_8414_3_3(run: Run, words: list[str], stand: Stand) -> None:
    assert run(*words).code == 0
    by_another_name = f"https://127.0.0.1:{stand.client.mtls_port}"
    ran = run(*changed(words, "--issuer", by_another_name))
    assert ran.code == 1
    assert stand.client.issuer in ran.err


@pytest.mark.parametrize("issuer", ["https://127.0.0.1:1", "ftp://127.0.0.1", "nonsense"])
def test_an_issuer_that_does_not_answer_is_exit_1(run: Run, words: list[str], issuer: str) -> None:
    ran = run(*changed(words, "--issuer", issuer))
    assert (ran.code, ran.out) == (1, "")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(("socket", "code"), [("unix:///nobody/listens.sock", 1), ("http://127.0.0.1", 2)])
def test_an_agent_that_is_not_there_is_said(run: Run, words: list[str], socket: str, code: int) -> None:
    ran = run(*changed(words, "--socket", socket), "--timeout", "0.5")
    assert (ran.code, ran.out) == (code, "")
    assert ("Is the agent up" in ran.err) is (code == 1)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_ca_file_that_is_none_is_wrong_usage(run: Run, words: list[str], tmp_path: Path, content: str | None) -> None:
    assert run(*words).code == 0
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    ran = run(*changed(words, "--ca", str(tmp_path / "ca.pem")))
    assert (ran.code, ran.out) == (2, "")
    assert "--ca" in ran.err


def test_a_comma_between_scopes_hints_at_blanks(run: Run, words: list[str]) -> None:
    ran = run(*words, "--scope", "ledger.read,ledger.write")
    assert ran.code == 1
    assert "blanks" in ran.err
    assert "blanks" not in run(*words, "--scope", "ledger.red").err


def test_an_identity_that_the_agent_does_not_have_is_exit_1(run: Run, words: list[str]) -> None:
    assert run(*words, "--x509", *identity(WEB)).code == 0
    for door in ([], ["--x509"]):
        ran = run(*words, *door, *identity("/ns/other"), "--timeout", "0.5")
        assert ran.code == 1
        assert "spire-server entry show -spiffeID spiffe://example.org/ns/other" in ran.err
        assert "agent up" not in ran.err
    assert run(*words, "--spiffe-id", "spiffe://Example.org/x").code == 2


# --- serve ----------------------------------------------------------------------------------------


def test_serve_prints_one_line_when_ready_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    other = Stand(tmp_path / "s", workers=1).start()
    try:
        lines = [line for line in other.log.splitlines() if line and not line.startswith("{")]
        assert len(lines) == 1
        assert lines[0].startswith(f"ready: {other.client.issuer}")
        resident = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{other.pid}/status").read_text())
        assert resident is not None
        assert int(resident[1]) < 80 * 1024
        # What the parent does not load it does not hold.
        maps = Path(f"/proc/{other.pid}/maps").read_text()
        assert "grpc" not in maps
        assert "pydantic" not in maps
    finally:
        assert other.stop() == 0


def test_serve_says_all_faults_of_the_configuration_and_exits_2(folder: Path) -> None:
    (folder / "bridge.toml").write_text("workers = 0\nsurplus = 1\n")
    ran = bridge_process(["serve"], cwd=folder)
    assert (ran.code, ran.out) == (2, "")
    assert "workers" in ran.err
    assert "surplus" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("name", ["policies/example.org.toml", "secrets/seal.key", "bridge.db"])
def test_serve_does_not_start_on_what_it_cannot_trust(folder: Path, name: str) -> None:
    config = folder / "bridge.toml"
    # On the addresses of `init` somebody else may listen.
    for given, free in zip((":8443", ":8444"), free_ports(2), strict=True):
        config.write_text(config.read_text().replace(given, f":{free}"))
    (folder / name).write_bytes(b"nonsense = " * 1000)
    ran = bridge_process(["serve"], cwd=folder)
    assert (ran.code, ran.out) == (1, "")
    assert Path(name).name in ran.err
    assert "Traceback" not in ran.err


def test_ctrl_c_ends_serve_like_sigterm(tmp_path: Path) -> None:
    other = Stand(tmp_path / "s", workers=1).start()
    assert other._program.stop(number=signal.SIGINT, seconds=40) == 0
