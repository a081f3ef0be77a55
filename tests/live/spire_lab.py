"""SPIRE as plain processes on the loopback: one server and one agent for each of two trust domains.

example.org has an intermediate CA below a root of ours, writes `iss`, and serves its bundle as https_web;
partner.example signs with its own root, writes no `iss`, and serves https_spiffe. Both know each other.

`python -m tests.live.spire_lab up DIR` and `down DIR` are what spire-dev/up.sh and down.sh call.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.live.pki import Authority
from tests.live.processes import CommandFailed, NotInTime, Program, free_ports, run, wait_until

SPIRE_DEV = Path(__file__).resolve().parents[2] / "spire-dev"
BINARIES = SPIRE_DEV / "bin"
OWN, PARTNER = "example.org", "partner.example"
SOCKET_PATH_LIMIT = 107
START_SECONDS = 60.0
SYNC_SECONDS = 30.0
"""Generous deadlines: what they wait for took under 2 s, but the machine may be busy."""


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
            answer = self.server_command(
                "token", "generate", "-output", "json", "-spiffeID", self.spiffe_id("/host")
            )
            joining = ["-joinToken", json.loads(answer)["value"]]
        self._start(self.agent, "agent", SPIRE_DEV / "agent.conf", joining)
        if wait:
            self.agent_ready()

    def agent_ready(self) -> None:
        """Wait until the agent answers on its socket."""
        self.agent.ready_when(lambda: self._healthy("agent"), seconds=START_SECONDS)

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

    def bundle(self) -> dict[str, object]:
        """This trust domain's own bundle, as its server has it now."""
        answer: dict[str, object] = json.loads(self.server_command("bundle", "show", "-format", "spiffe"))
        return answer


class SpireLab:
    """Both trust domains, their files, and the root and TLS certificates around them."""

    def __init__(self, directory: Path, *, outlives: bool = False) -> None:
        self.directory = directory
        directory.chmod(0o755)  # other uids reach the agents' sockets through it
        self.pki = directory / "pki"
        self.pki.mkdir(mode=0o755)
        self.web_ca = Authority.create("lab web CA")
        self.web_ca.write(self.pki / "web-ca.crt", self.pki / "web-ca.key")
        self.web_ca.issue_server(self.pki / "web.crt", self.pki / "web.key")
        self.replace_upstream_root("lab root 1")
        self.own = SpireDomain(OWN, directory / "own", self.pki, outlives=outlives)
        self.partner = SpireDomain(PARTNER, directory / "partner", self.pki, outlives=outlives)

    @property
    def domains(self) -> tuple[SpireDomain, SpireDomain]:
        return (self.own, self.partner)

    def replace_upstream_root(self, common_name: str) -> None:
        """Put another root into the files that example.org's server reads at its next `x509 prepare`."""
        Authority.create(common_name).write(self.pki / "upstream.crt", self.pki / "upstream.key")

    def start(self) -> None:
        """Start all four processes, wait for them, and make each trust domain know the other."""
        for domain in self.domains:
            domain.start_server()
        for domain in self.domains:
            domain.server_ready()
            domain.start_agent(wait=False)
        for domain in self.domains:
            domain.agent_ready()
        self._federate()

    def _federate(self) -> None:
        bundle = self.directory / "partner.bundle.json"
        bundle.write_text(json.dumps(self.partner.bundle()))
        self.own.server_command(
            *("federation", "create", "-trustDomain", PARTNER, "-bundleEndpointProfile", "https_spiffe"),
            *("-bundleEndpointURL", f"https://127.0.0.1:{self.partner.bundle_port}/"),
            *("-endpointSpiffeID", self.partner.spiffe_id("/spire/server")),
            *("-trustDomainBundlePath", str(bundle), "-trustDomainBundleFormat", "spiffe"),
        )
        self.partner.server_command(
            *("federation", "create", "-trustDomain", OWN, "-bundleEndpointProfile", "https_web"),
            *("-bundleEndpointURL", f"https://localhost:{self.own.bundle_port}/"),
        )

    def stop(self) -> None:
        """End all four processes."""
        try:
            self.own.stop()
        finally:
            self.partner.stop()


def new_directory() -> Path:
    """A folder with a name short enough for Unix sockets."""
    return Path(tempfile.mkdtemp(prefix="spire-"))


# -- the lab of a person: kept up between two commands


def up(directory: Path) -> None:
    """Start a lab that stays, and note its process ids in DIR/processes.json."""
    if directory.exists() and any(directory.iterdir()):
        raise SystemExit(f"{directory} is not empty; end what runs there with spire-dev/down.sh {directory}")
    directory.mkdir(parents=True, exist_ok=True)
    lab = SpireLab(directory.resolve(), outlives=True)
    try:
        lab.start()
    except (AssertionError, OSError) as error:
        lab.stop()
        raise SystemExit(f"SPIRE did not start: {error}") from error
    noted = [[kind, pid] for domain in lab.domains for kind, pid in domain.pids.items()]
    (directory / "processes.json").write_text(json.dumps(noted))
    for domain in lab.domains:
        print(f"{domain.trust_domain}")
        print(f"  Workload API  {domain.endpoint}")
        print(f"  server        -socketPath {domain.server_socket}")
        print(f"  bundle        https://localhost:{domain.bundle_port}/")
    print(f"entries' -parentID: {lab.own.spiffe_id('/host')}; programs: {BINARIES}")


def down(directory: Path) -> None:
    """End the processes that `up` noted, and remove the folder."""
    noted = directory / "processes.json"
    if not noted.exists():
        raise SystemExit(f"no lab in {directory}")
    alive = [pid for kind, pid in json.loads(noted.read_text()) if _is_spire(kind, pid)]
    for pid in alive:
        os.kill(pid, signal.SIGTERM)
    try:
        wait_until(lambda: not any(map(_exists, alive)), seconds=15, what="SPIRE ended")
    except NotInTime:
        for pid in filter(_exists, alive):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory)
    print(f"ended {len(alive)} processes, removed {directory}")


def _is_spire(kind: str, pid: int) -> bool:
    """Whether the noted id still is the program that was noted: ids are used again."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == f"spire-{kind}"
    except OSError:
        return False


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["up", name]:
            before = time.monotonic()
            up(Path(name))
            print(f"up after {time.monotonic() - before:.1f} s")
        case ["down", name]:
            down(Path(name))
        case _:
            raise SystemExit("usage: python -m tests.live.spire_lab up|down DIR")
