"""`bridge init` beside a real SPIRE: the command that it prints makes the bridge a workload of its own."""

from __future__ import annotations

import json
import os
import shlex
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.identities import Account, environment
from tests.live.processes import Program, free_ports, run, wait_until
from tests.live.service import BRIDGE as PROGRAM
from tests.live.spire_domain import BINARIES
from tests.live.spire_lab import OWN
from tests.live.stage import BRIDGE, Stage

SERVICE = f"spiffe://{OWN}{BRIDGE}"
SECONDS = 60.0


class Newcomer:
    """Somebody who sets up a service under the service's account, which SPIRE does not know yet."""

    def __init__(self, stage: Stage) -> None:
        self.folder = stage.directory / "newcomer"
        self.folder.mkdir(mode=0o700)
        self.socket = str(stage.lab.own.agent_socket)
        self.account: Account = stage.service_account
        if self.account.rights and self.account.uid is not None:
            os.chown(self.folder, self.account.uid, self.account.uid)
        self._service = Program("bridge serve", stage.directory / "newcomer.log")

    def bridge(self, *words: str) -> tuple[int, str, str]:
        """`bridge WORDS` as that account: exit status, output, errors."""
        prefix = ["setpriv", *self.account.rights, "--"] if self.account.rights else []
        done = subprocess.run(
            [*prefix, *self.account.command(["-c", PROGRAM, *words])],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, **environment()},
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def newcomer(stage: Stage) -> Iterator[Newcomer]:
    """The service's usual entry is gone meanwhile."""
    own = stage.lab.own
    own.delete_entry(stage.service_entry)
    try:
        wait_until(lambda: not stage.probe.has_identity(), seconds=SECONDS, what="the agent forgot the service")
        yield Newcomer(stage)
    finally:
        shown = json.loads(own.server_command("entry", "show", "-output", "json", "-spiffeID", SERVICE))
        for entry in shown["entries"]:
            own.delete_entry(entry["id"])
        stage.service_entry = stage.create_service_entry()
        stage.probe.wait_for_identity()


def shown_by(port: int, bundle: list[str]) -> list[str]:
    """The SPIFFE IDs of whoever listens on a port and proves itself by the bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata="".join(bundle))
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw, context.wrap_socket(raw) as connection:
        shown = connection.getpeercert()
        assert shown is not None
        return [str(value) for kind, value in shown["subjectAltName"] if kind == "URI"]


def test_the_printed_command_gives_the_service_its_bundles_and_its_svid(stage: Stage, newcomer: Newcomer) -> None:
    """From the agent's first refusal to callers who verify the service by its SPIFFE ID."""
    own = stage.lab.own
    unsaid = newcomer.bridge("init", "unsaid", "--agent-socket", newcomer.socket)
    assert unsaid[0] == 1
    assert "has no entry for this process" in unsaid[2]
    assert "--trust-domain NAME" in unsaid[2]
    wrong = newcomer.bridge("init", "wrong", "--agent-socket", str(own.server_socket), "--trust-domain", OWN)
    assert "is no Workload API" in wrong[1] + wrong[2] or "may not connect" in wrong[1] + wrong[2]

    made = newcomer.bridge("init", "service", "--agent-socket", newcomer.socket, "--trust-domain", OWN, "--json")
    assert made[0] == 0, made
    words = json.loads(made[1])["entry"]
    step = json.loads(made[1])["next"][0]
    assert shlex.join(words) in step
    # On the SPIRE server: nothing is changed but what the text says has to be.
    assert words[:3] == ["spire-server", "entry", "create"]
    put_in = [own.spiffe_id("/host") if word == "PARENT_ID" else word for word in words[1:]]
    run([str(BINARIES / "spire-server"), *put_in, "-socketPath", str(own.server_socket)])
    wait_until(stage.probe.has_identity, seconds=SECONDS, what="the agent knows the new entry")
    assert stage.probe.x509_svid().spiffe_id == SERVICE

    known = newcomer.bridge("init", "known", "--agent-socket", newcomer.socket)
    assert known[0] == 0, known
    assert f"knows this process as {SERVICE}" in known[1]
    config = newcomer.folder / "service" / "bridge.toml"
    port, mtls_port = free_ports(2)
    text = config.read_text().replace(":8443", f":{port}").replace(":8444", f":{mtls_port}")
    own_svid = f'workload_api = "unix://{newcomer.socket}"'
    assert f"#   {own_svid}" in text
    config.write_text(text.replace(f"#   {own_svid}", own_svid))
    checked = newcomer.bridge("check", "--config", str(config))
    assert checked[0] == 0, checked
    _serves_under_its_own_name(stage, newcomer, config, mtls_port)


def _serves_under_its_own_name(stage: Stage, newcomer: Newcomer, config: Path, mtls_port: int) -> None:
    account, service = newcomer.account, newcomer._service
    service.start(
        account.command(["-c", PROGRAM, "serve", "--config", str(config)]),
        environment=environment(),
        rights=account.rights,
        death_signal="TERM",
    )
    try:
        service.ready_when(lambda: "\nready: " in "\n" + service.log.read_text(), seconds=SECONDS)
        assert shown_by(mtls_port, stage.probe.bundles()["x509"][OWN]) == [SERVICE]
    finally:
        status = service.stop(seconds=40)
    assert status == 0, service.log.read_text()
