"""The bridge beside SPIRE: its configuration and policies, the running `bridge serve`, and the operator's commands."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.live.client import Answer, OAuthClient, RefusedInHandshake
from tests.live.identities import Account, X509Svid, environment
from tests.live.pki import replace_file
from tests.live.processes import CommandFailed, Program, free_ports
from tests.live.spire_lab import OWN, PARTNER, SpireLab
from tests.live.trust_sources import Section, to_toml

WORKERS = 2
LEDGER, ORDERS = "https://ledger.example.org", "https://orders.example.org"
START_SECONDS = 60.0
COMMAND_SECONDS = 60.0
NOTHING: Mapping[str, str] = MappingProxyType({})
# The command as the installed script starts it, but by the account's own interpreter.
BRIDGE = "import sys; from bridge.cli.main import main; sys.exit(main())"

CATALOGUE = f"""
version = 1

[resources."{LEDGER}"]
description = "The ledger"
scopes = {{ "ledger.read" = "Read entries", "ledger.write" = "Post entries" }}
introspect_by = ["spiffe://{OWN}/ns/ledger/sa/api"]

[resources."{ORDERS}"]
description = "Orders of the partner"
scopes = {{ "orders.read" = "Read orders" }}
"""

OWN_RULES = f"""
version = 1
source = "spiffe"
trust_domain = "{OWN}"

[[rule]]
id = "payments-read-ledger"
why = "settlement batch, live tests"
effect = "allow"
when = {{ path = "/ns/payments/sa/*", evidence = ["x509-svid", "jwt-svid"] }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], token_ttl = "5m", bind = "if-present" }}
"""

ADMIT_FRONTEND = f"""
[[rule]]
id = "frontend-reads-ledger"
why = "added while the service runs, live tests"
effect = "allow"
when = {{ path = "/ns/web/sa/frontend", evidence = ["jwt-svid"] }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "none" }}
"""

PARTNER_RULES = f"""
version = 1
source = "spiffe"
trust_domain = "{PARTNER}"

[[rule]]
id = "partner-reads-orders"
why = "order synchronisation, live tests"
effect = "allow"
when = {{ path = "/ns/orders/sa/sync" }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present" }}
"""


class BridgeService:
    """One service with its own folder, run as its own account. `trust` says from where it has its bundles."""

    def __init__(self, directory: Path, account: Account, lab: SpireLab, trust: Mapping[str, Section]) -> None:
        self.directory = directory
        self.configuration = directory / "bridge.toml"
        self.certificate = directory / "tls" / "server.pem"
        self.key = directory / "tls" / "server.key"
        self._account, self._lab = account, lab
        self._program = Program("bridge serve", directory.with_name(directory.name + ".log"))
        self._ports = port, mtls_port, _ = free_ports(3)
        self.client = OAuthClient(port=port, mtls_port=mtls_port, ca_file=lab.pki / "web-ca.crt")
        for folder in (directory, directory / "tls", directory / "policies"):
            folder.mkdir(mode=0o700)
            self._give_away(folder)
        self.renew_certificate()
        self.write_policies()
        self.configure(trust)

    @property
    def issuer(self) -> str:
        """The audience of JWT-SVIDs for this service."""
        return self.client.issuer

    # -- its files; those but the configuration may change under the running service

    def configure(self, trust: Mapping[str, Section], *, tls: Mapping[str, str] = NOTHING) -> None:
        """Write the configuration, which is read at the next start; `tls` are more keys of that section."""
        port, mtls_port, metrics_port = self._ports
        more = "".join(f"{key} = {json.dumps(value)}\n" for key, value in tls.items())
        self._write(
            self.configuration,
            f"""
issuer = "{self.issuer}"
listen = "127.0.0.1:{port}"
mtls_listen = "127.0.0.1:{mtls_port}"
metrics_listen = "127.0.0.1:{metrics_port}"
workers = {WORKERS}
threads = 4

[tls]
certificate = "tls/server.pem"
private_key = "tls/server.key"
{more}
[store]
url = "sqlite:///bridge.db"

[policies]
directory = "policies"
{to_toml(trust)}""",
        )

    def write_policies(self, *, more_own_rules: str = "") -> None:
        """Write the catalogue and the rules of both trust domains, each file in one step."""
        policies = self.directory / "policies"
        self._write(policies / "catalogue.toml", CATALOGUE)
        self._write(policies / f"{OWN}.toml", OWN_RULES + more_own_rules)
        self._write(policies / f"{PARTNER}.toml", PARTNER_RULES)

    def renew_certificate(self) -> None:
        """A new key and a new certificate for the TLS listeners. For a moment the two files do not fit together."""
        self._lab.web_ca.issue_server(self.certificate, self.key, owner=self._account_uid)

    # -- its life

    def start(self) -> None:
        """Start it, wait for the one line that says it listens, and until each worker has bundles to judge by."""
        # The log goes on where an earlier life ended, whose last word says nothing of this one.
        before = self._times_ready()
        self._program.start(
            self._account.command(["-c", BRIDGE, "serve", "--config", str(self.configuration)]),
            environment=environment(),
            directory=self.directory,
            rights=self._account.rights,
            death_signal="TERM",
        )
        self._program.ready_when(lambda: self._times_ready() > before, seconds=START_SECONDS)
        self._program.ready_when(self._is_ready, seconds=START_SECONDS)

    def _times_ready(self) -> int:
        return sum(line.startswith("ready") for line in self.log.splitlines())

    def _is_ready(self, times: int = 8) -> bool:
        return all(self.client.get("/readyz").status == 200 for _ in range(times))

    def stop(self) -> int | None:
        """SIGTERM, drain; returns the exit status."""
        return self._program.stop(number=signal.SIGTERM, seconds=30)

    @contextmanager
    def running(self) -> Iterator[BridgeService]:
        """Started, and stopped with SIGTERM at the end, which must be a clean end."""
        self.start()
        try:
            yield self
        except BaseException:
            self.stop()
            raise
        assert self.stop() == 0, self.log

    @property
    def log(self) -> str:
        """Everything it wrote."""
        return self._program.tail(1_000_000)

    def log_size(self) -> int:
        """How much it wrote so far, bytes: a place for `events`."""
        return self._program.log.stat().st_size

    def events(self, name: str, *, since: int = 0) -> list[dict[str, Any]]:
        """The lines of its log that are about `name`, written after `since`."""
        with self._program.log.open("rb") as log:
            log.seek(since)
            whole, _, _ = log.read().rpartition(b"\n")
        lines = (line for line in whole.split(b"\n") if name.encode() in line and line.startswith(b"{"))
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def readiness(self) -> dict[str, Any]:
        """The detail of /readyz, which the operators' listener has, of one worker."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._ports[2], timeout=COMMAND_SECONDS)) as connection:
            connection.request("GET", "/readyz")
            detail: dict[str, Any] = json.loads(connection.getresponse().read())
        return detail

    # -- the operator's commands, run as the service's own account

    def command(self, *words: str) -> str:
        """`bridge WORDS --config ...`; returns its output. Raises: CommandFailed unless it ended with 0."""
        status, output, errors = self.ask(*words)
        if status != 0:
            raise CommandFailed(["bridge", *words], status, output + errors)
        return output

    def ask(self, *words: str) -> tuple[int, str, str]:
        """`bridge WORDS --config ...`: exit status, output, errors."""
        line = self._account.command(["-c", BRIDGE, *words, "--config", str(self.configuration)])
        prefix = ["setpriv", *self._account.rights, "--"] if self._account.rights else []
        done = subprocess.run(
            [*prefix, *line],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=self.directory,
            env={**os.environ, **environment()},
        )
        return done.returncode, done.stdout, done.stderr

    def trust(self) -> dict[str, dict[str, Any]]:
        """`bridge trust list --json` by trust domain."""
        return {row["trust_domain"]: row for row in json.loads(self.command("trust", "list", "--json"))}

    def clients(self) -> list[dict[str, Any]]:
        """`bridge clients list --json`."""
        listed: list[dict[str, Any]] = json.loads(self.command("clients", "list", "--json", "--all"))
        return listed

    def audit(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """`bridge audit tail --json`, all of it, or what one correlation id left behind."""
        rows = [json.loads(line) for line in self.command("audit", "tail", "--json", "--all").splitlines() if line]
        return [row for row in rows if request_id is None or row["id"] == request_id]

    # -- questions about it

    def takes_jwt(self, assertion: str, times: int = 8) -> bool:
        """Whether every worker grants a token for it: so many connections in a row do."""
        return all(self.client.token_by_jwt(assertion).granted for _ in range(times))

    def refuses_jwt(self, assertion: str, times: int = 8) -> bool:
        """Whether every worker answers 401 `invalid_client`."""
        return all(is_invalid_client(self.client.token_by_jwt(assertion)) for _ in range(times))

    def refuses_x509(self, svid: X509Svid, times: int = 8) -> bool:
        """Whether every worker refuses the certificate, in the handshake or with 401 `invalid_client`."""
        return all(self._refuses_x509_once(svid) for _ in range(times))

    def _refuses_x509_once(self, svid: X509Svid) -> bool:
        try:
            return is_invalid_client(self.client.token_by_x509(svid))
        except RefusedInHandshake:
            return True

    def _give_away(self, path: Path) -> None:
        if self._account_uid is not None:
            os.chown(path, self._account_uid, self._account_uid)

    def _write(self, path: Path, text: str) -> None:
        replace_file(path, text.encode(), mode=0o600, owner=self._account_uid)

    @property
    def _account_uid(self) -> int | None:
        return self._account.uid if self._account.rights else None


def is_invalid_client(answer: Answer) -> bool:
    """The one answer to any credential failure."""
    return answer.status == 401 and answer.body["error"] == "invalid_client"


def is_unavailable(answer: Answer) -> bool:
    """The one answer when the fault is ours and passes: 503, and when to come again."""
    if answer.status != 503:
        return False
    return answer.body["error"] == "temporarily_unavailable" and int(answer.headers["retry-after"]) > 0
