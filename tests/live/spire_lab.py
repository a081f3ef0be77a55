"""SPIRE as plain processes on the loopback: one server and one agent for each of two trust domains.

example.org has an intermediate CA below a root of ours, writes `iss`, and serves its bundle as https_web;
partner.example signs with its own root, writes no `iss`, and serves https_spiffe. Both know each other.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.live.pki import Authority
from tests.live.spire_domain import SpireDomain

OWN, PARTNER = "example.org", "partner.example"
PROFILES = {OWN: "https_web", PARTNER: "https_spiffe"}
"""How the server of each one's bundle endpoint proves itself."""


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
