"""One trust domain of a real SPIRE: its server, its agent, and the operator's commands the tests need."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import ssl
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.live.pki import key_id_above
from tests.live.processes import CommandFailed, Program, free_ports, run

SPIRE_DEV = Path(__file__).resolve().parents[2] / "spire-dev"
BINARIES = SPIRE_DEV / "bin"
SOCKET_PATH_LIMIT = 107
ANSWER_SECONDS = 20.0
START_SECONDS = 60.0
"""A generous deadline: a start took under 2 s, but the machine may be busy."""


class SpireDomain:
    """The server and the agent of one trust domain, with the operator's commands the tests need."""

    def __init__(self, trust_domain: str, directory: Path, pki: Path, *, outlives: bool = False) -> None:
        self.trust_domain = trust_domain
        self.directory = directory
        self.server_socket = directory / "server.sock"
        self.agent_socket = directory / "agent.sock"
        if len(os.fsencode(self.agent_socket)) > SOCKET_PATH_LIMIT:
            raise ValueError(f"{self.agent_socket} is too long for a Unix socket; choose a shorter folder")
        self.server = Program(f"{trust_domain} server", directory / "server.log")
        self.agent = Program(f"{trust_domain} agent", directory / "agent.log")
        self.pids: dict[str, int] = {}
        self._pki = pki
        self._outlives = outlives
        self.server_port, self.bundle_port = free_ports(2)
        directory.mkdir(mode=0o755)
        (directory / "data").mkdir(mode=0o700)
        (directory / "agent").mkdir(mode=0o700)

    @property
    def endpoint(self) -> str:
        """What a workload puts into SPIFFE_ENDPOINT_SOCKET."""
        return f"unix:{self.agent_socket}"

    def spiffe_id(self, path: str) -> str:
        """The SPIFFE ID of this trust domain with this path."""
        return f"spiffe://{self.trust_domain}{path}"

    # -- life of the two processes

    def start_server(self) -> None:
        """Start the server; `server_ready` waits for it."""
        configuration = SPIRE_DEV / self.trust_domain / "server.conf"
        self._start(self.server, "server", configuration)

    def server_ready(self) -> None:
        """Wait until the server answers on its socket."""
        self.server.ready_when(lambda: self._healthy("server"), seconds=START_SECONDS)

    def start_agent(self, *, wait: bool = True) -> None:
        """Start the agent: with a join token the first time, with the keys it kept on disk later."""
        joining: list[str] = []
        if not (self.directory / "agent" / "agent-data.json").exists():
            (self.directory / "bootstrap.json").write_text(self.server_command("bundle", "show", "-format", "spiffe"))
            answer = self.server_command("token", "generate", "-output", "json", "-spiffeID", self.spiffe_id("/host"))
            joining = ["-joinToken", json.loads(answer)["value"]]
        self._start(self.agent, "agent", SPIRE_DEV / "agent.conf", joining)
        if wait:
            self.agent_ready()

    def agent_ready(self) -> None:
        """Wait until the agent answers on its socket."""
        self.agent.ready_when(lambda: self._healthy("agent"), seconds=START_SECONDS)

    def agent_authority(self) -> str:
        """The id of the authority above the certificate by which the agent is known to its server."""
        kept = json.loads((self.directory / "agent" / "agent-data.json").read_text())
        chain = [x509.load_pem_x509_certificate(base64.b64decode(pem)) for pem in kept["svid"]]
        return key_id_above(chain)

    def stop_agent(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the agent: SIGTERM lets it say goodbye, SIGKILL leaves its socket file behind."""
        self.agent.stop(number=number)

    def stop(self) -> None:
        """End both processes."""
        try:
            self.agent.stop()
        finally:
            self.server.stop()

    def _start(self, program: Program, kind: str, configuration: Path, more: Iterable[str] = ()) -> None:
        self.pids[kind] = program.start(
            [str(BINARIES / f"spire-{kind}"), "run", "-config", str(configuration), "-expandEnv", *more],
            environment={
                "TRUST_DOMAIN": self.trust_domain,
                "SPIRE_DIR": str(self.directory),
                "PKI_DIR": str(self._pki),
                "SERVER_PORT": str(self.server_port),
                "BUNDLE_PORT": str(self.bundle_port),
                # https_web between the two servers is checked with the system's roots: name ours as those.
                "SSL_CERT_FILE": str(self._pki / "web-ca.crt"),
            },
            outlives=self._outlives,
        )

    def _healthy(self, kind: str) -> bool:
        socket = self.server_socket if kind == "server" else self.agent_socket
        try:
            run([str(BINARIES / f"spire-{kind}"), "healthcheck", "-socketPath", str(socket)])
        except CommandFailed:
            return False
        return True

    # -- the operator's commands

    def server_command(self, *words: str) -> str:
        """`spire-server WORDS` against this server; returns its output. Raises: CommandFailed."""
        return run([str(BINARIES / "spire-server"), *words, "-socketPath", str(self.server_socket)])

    def create_entry(self, path: str, selector: str, *more: str) -> str:
        """Register a workload below the lab's one node; returns the entry id."""
        answer = self.server_command(
            *("entry", "create", "-output", "json", "-parentID", self.spiffe_id("/host")),
            *("-spiffeID", self.spiffe_id(path), "-selector", selector, *more),
        )
        result = json.loads(answer)["results"][0]
        if result["status"]["code"] != 0:
            raise AssertionError(f"SPIRE refused the entry: {result['status']['message']}")
        return str(result["entry"]["id"])

    def delete_entry(self, entry_id: str) -> None:
        """Delete a workload's entry. The agent hears of it at its next synchronisation."""
        self.server_command("entry", "delete", "-entryID", entry_id)

    def mint_jwt(self, path: str, audience: str, *, ttl: str = "60s") -> str:
        """A JWT-SVID straight from the server, never one that an agent handed out before."""
        return self.server_command(
            "jwt", "mint", "-spiffeID", self.spiffe_id(path), "-audience", audience, "-ttl", ttl
        ).strip()

    def bundle(self) -> dict[str, Any]:
        """This trust domain's own bundle, as its server has it now."""
        answer: dict[str, Any] = json.loads(self.server_command("bundle", "show", "-format", "spiffe"))
        return answer

    def authorities(self) -> dict[str, set[str]]:
        """The keys of `bundle` by kind, "jwt" or "x509", as the service names them: by `kid`, and by the hex SHA-256
        of the certificate."""
        return _names_of(self.bundle())

    def published(self) -> dict[str, set[str]]:
        """The same of what the bundle endpoint answers now. Not checked: who answers."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(
            f"https://127.0.0.1:{self.bundle_port}/", timeout=ANSWER_SECONDS, context=context
        ) as answer:
            return _names_of(json.load(answer))


def _names_of(bundle: dict[str, Any]) -> dict[str, set[str]]:
    keys: list[dict[str, Any]] = bundle["keys"]
    certificates = [base64.b64decode(key["x5c"][0]) for key in keys if key["use"] == "x509-svid"]
    return {
        "jwt": {key["kid"] for key in keys if key["use"] == "jwt-svid"},
        "x509": {hashlib.sha256(certificate).hexdigest() for certificate in certificates},
    }
