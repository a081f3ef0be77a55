"""A whole service for black-box tests: an embedded authority's bundle in a file, real TLS, real workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bridge.lab.authority import Authority
from bridge.lab.web_ca import WebCa
from tests.flows.client import Client
from tests.live.processes import Program, free_ports, wait_until

LEDGER, ORDERS = "https://ledger.example.org", "https://orders.example.org"
START_SECONDS = 60.0
COMMAND_SECONDS = 60.0

CATALOGUE = f"""
version = 1
[resources."{LEDGER}"]
description = "The ledger"
scopes = {{ "ledger.read" = "Read entries", "ledger.write" = "Post entries" }}
introspect_by = ["spiffe://example.org/ns/ledger/sa/api"]
[resources."{ORDERS}"]
description = "Orders"
scopes = {{ "orders.read" = "Read orders" }}
"""

RULES = f"""
version = 1
source = "spiffe"
trust_domain = "example.org"

[[rule]]
id = "web-reads-ledger"
why = "the shop shows balances"
effect = "allow"
when = {{ path = "/ns/web/sa/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "if-present" }}

[[rule]]
id = "payments-writes-ledger"
why = "settlement"
effect = "allow"
when = {{ path = "/ns/payments/sa/*", evidence = ["x509-svid"] }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read", "ledger.write"], token_ttl = "10m" }}

[[rule]]
id = "batch-shares-a-client"
why = "a fleet of one job"
effect = "allow"
when = {{ path = "/ns/batch/sa/*" }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present", client = {{ shared = "batch" }} }}

[[rule]]
id = "once-only"
why = "each assertion is for one call"
effect = "allow"
when = {{ path = "/ns/once/sa/*", evidence = ["jwt-svid"] }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "none", replay = "once" }}

[[rule]]
id = "dpop-only"
why = "tokens of these leave the cluster"
effect = "allow"
when = {{ path = "/ns/edge/sa/*", evidence = ["jwt-svid"] }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "jkt" }}

[[rule]]
id = "two-resources"
why = "reads both"
effect = "allow"
when = {{ path = "/ns/both/sa/*" }}
grant = {{ resources = ["{LEDGER}", "{ORDERS}"], scopes = ["ledger.read", "orders.read"], bind = "if-present" }}

[[rule]]
id = "research-asks"
why = "an operator looks at each"
effect = "ask"
when = {{ path = "/ns/research/sa/*" }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present" }}

[[rule]]
id = "no-intruder"
why = "INC-7"
effect = "deny"
when = {{ path = "/ns/web/sa/intruder" }}
"""


class Stand:
    """One service in one folder. Everything a test may want to change is a file or a method here."""

    def __init__(self, folder: Path, *, more: str = "", workers: int = 2, threads: int = 4) -> None:
        """`more` is added to `bridge.toml`."""
        self.folder = folder
        self.config = folder / "bridge.toml"
        self.policies = folder / "policies"
        self.authority = Authority("example.org")
        self.stranger = Authority("stranger.example")
        self.web_ca = WebCa(now=int(time.time()))
        port, mtls_port, metrics_port = free_ports(3)
        self.metrics_port = metrics_port
        for name in ("tls", "policies", "bundles"):
            (folder / name).mkdir(parents=True)
        (folder / "tls/ca.pem").write_bytes(self.web_ca.certificate_pem)
        self.client = Client(port=port, mtls_port=mtls_port, ca=folder / "tls/ca.pem")
        self.renew_certificate()
        self.publish_bundle()
        (self.policies / "catalogue.toml").write_text(CATALOGUE)
        self.write_rules(RULES)
        self.config.write_text(
            f"""
issuer = "{self.client.issuer}"
listen = "127.0.0.1:{port}"
mtls_listen = "127.0.0.1:{mtls_port}"
metrics_listen = "127.0.0.1:{metrics_port}"
workers = {workers}
threads = {threads}
[tls]
certificate = "tls/server.pem"
private_key = "tls/server.key"
[policies]
directory = "policies"
[trust_domains."example.org"]
source = "file"
path = "bundles/example.org.json"
{more}
"""
        )
        self._program = Program("bridge serve", folder / "bridge.log")

    # --- its files ------------------------------------------------------------------------------

    def renew_certificate(self) -> None:
        """A new server certificate, put in place by one rename each."""
        chain, key = self.web_ca.issue(["127.0.0.1"])
        for name, content in (("server.key", key), ("server.pem", chain)):
            draft = self.folder / "tls" / f".{name}"
            draft.write_bytes(content)
            draft.chmod(0o600)
            draft.replace(self.folder / "tls" / name)

    def publish_bundle(self) -> None:
        """Write the authority's present bundle where the service reads it."""
        draft = self.folder / "bundles/.draft"
        draft.write_bytes(self.authority.bundle_json())
        draft.replace(self.folder / "bundles/example.org.json")

    def write_rules(self, text: str) -> None:
        """Replace the trust domain's policy file by one rename."""
        draft = self.policies / ".draft"
        draft.write_text(text)
        draft.replace(self.policies / "example.org.toml")

    # --- its life -------------------------------------------------------------------------------

    def start(self) -> Stand:
        # The log goes on where an earlier start of this stand ended; its "ready" says nothing of this one.
        before = self.log.count("\nready")
        self.launch()
        self._program.ready_when(lambda: self.log.count("\nready") > before, seconds=START_SECONDS)
        return self

    def launch(self) -> None:
        """Start it and do not wait."""
        self._program.start(
            [sys.executable, "-m", "bridge", "serve", "--config", str(self.config)], death_signal="TERM"
        )

    @property
    def is_running(self) -> bool:
        return self._program.running

    def stop(self) -> int | None:
        return self._program.stop(seconds=40)

    def kill(self) -> None:
        self._program.stop(number=signal.SIGKILL, seconds=40)

    def __enter__(self) -> Stand:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        process = self._program._process
        assert process is not None
        return process.pid

    def worker_pids(self) -> list[int]:
        """The processes below the parent that serve: those that ended meanwhile are not among them."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in _command_line(child)]

    @property
    def log(self) -> str:
        return "\n" + self._program.tail(1_000_000)

    # --- the operator ---------------------------------------------------------------------------

    def bridge(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`bridge WORDS --config ...`"""
        return subprocess.run(
            [sys.executable, "-m", "bridge", *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )

    def json(self, *words: str) -> Any:
        done = self.bridge(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def clients(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.json("clients", "list", "--all")
        return listed

    def audit(self, correlation_id: str | None = None) -> list[dict[str, Any]]:
        done = self.bridge("audit", "tail", "--json", "--all")
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return [row for row in rows if correlation_id in (None, row["id"])]

    # --- SVIDs ----------------------------------------------------------------------------------

    def jwt(self, path: str, **options: Any) -> str:
        """A JWT-SVID for this service."""
        return self.authority.jwt_svid(path, options.pop("audience", self.client.issuer), **options)

    def until(self, condition: Any, what: str) -> None:
        """Wait for something that the service does by itself within two seconds or so."""
        wait_until(condition, seconds=30, what=what)


def _command_line(pid: str) -> bytes:
    """What process `pid` was started with; nothing of one that is gone since its number was read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
