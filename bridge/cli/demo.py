"""The main job against an embedded SPIFFE authority, told as it happens: `make demo` and `make run`.

Nothing is simulated but the attestation: a real Workload API socket for each workload, a real service
with two workers, real TLS. Ends by itself with exit 0 when everything went as told, else 1; leaves
neither a process nor a file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from bridge.cli.token.endpoint import Answer, Certificate, Connector
from bridge.lab.authority import Authority
from bridge.lab.web_ca import WebCa
from bridge.lab.workload_api import WorkloadApi
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.workload_client import fetch_jwt_svid, fetch_x509_svid

TRUST_DOMAIN = "example.org"
SHOP, SETTLEMENT, VISITOR = "/ns/web/sa/shop", "/ns/payments/sa/settlement", "/ns/lobby/sa/visitor"
POLICIES = Path(__file__).resolve().parents[2] / "policies"
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
READY_SECONDS = 60
ANSWER_SECONDS = 20


class WentWrong(Exception):
    """The story did not go as told."""


class Stage:
    """The embedded authority with a socket per workload, and the running service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "bridge.toml"
        self.ca = folder / "ca.pem"
        self.port, self.mtls_port, self.metrics_port = _free_ports(3)
        self.issuer = f"https://127.0.0.1:{self.port}"
        self._sockets: dict[str, WorkloadApi] = {}
        self._service: subprocess.Popen[str] | None = None

    def open(self, stack: ExitStack) -> None:
        """Start everything; `stack` ends it, the service first."""
        authority = Authority(TRUST_DOMAIN)
        for number, path in enumerate((SHOP, SETTLEMENT, VISITOR, "/bridge")):
            api = WorkloadApi(authority, self.folder / f"w{number}.sock", identities=[path])
            self._sockets[path] = stack.enter_context(api)
        web_ca = WebCa(now=int(time.time()))
        self.ca.write_bytes(web_ca.certificate_pem)
        chain, key = web_ca.issue(["127.0.0.1", "localhost"])
        (self.folder / "server.pem").write_bytes(chain)
        (self.folder / "server.key").write_bytes(key)
        self.config.write_text(self._settings())
        self._start()
        stack.callback(self._stop)

    def endpoint(self, path: str) -> WorkloadEndpoint:
        """The Workload API of one workload. Which socket a process opens decides who it is here."""
        return WorkloadEndpoint.parse(self._sockets[path].address)

    def spiffe_id(self, path: str) -> str:
        """The workload's SPIFFE ID."""
        return f"spiffe://{TRUST_DOMAIN}{path}"

    def _settings(self) -> str:
        return f"""\
issuer         = "{self.issuer}"
listen         = "127.0.0.1:{self.port}"
mtls_listen    = "127.0.0.1:{self.mtls_port}"
metrics_listen = "127.0.0.1:{self.metrics_port}"

[tls]
certificate = "server.pem"
private_key = "server.key"

[policies]
directory = {json.dumps(str(POLICIES))}

[trust_domains."{TRUST_DOMAIN}"]
source = "workload-api"
socket = "{self._sockets["/bridge"].address}"
"""

    def _start(self) -> None:
        log = (self.folder / "bridge.log").open("w")
        with log:
            self._service = subprocess.Popen(
                [sys.executable, "-m", "bridge", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C is for the story, which then ends the service in good order.
                start_new_session=True,
            )
        assert self._service.stdout is not None
        line = self._service.stdout.readline()
        if not line.startswith("ready"):
            raise WentWrong(f"the service did not start:\n{self.log()}")
        say(f"   {line.strip()}")

    def wait_until_ready(self) -> None:
        """Wait until the bundle of the agent has arrived in the workers that answer."""
        connector = Connector(ca=self.ca, timeout=ANSWER_SECONDS)
        deadline = time.monotonic() + READY_SECONDS
        good = 0
        while good < 8:
            good = good + 1 if connector.get(f"{self.issuer}/readyz").status == 200 else 0
            if time.monotonic() > deadline:
                raise WentWrong(f"the service is not ready:\n{self.log()}")
            time.sleep(0.02)

    def _stop(self) -> None:
        if self._service is None or self._service.poll() is not None:
            return
        self._service.terminate()
        status = self._service.wait(30)
        if status != 0:
            raise WentWrong(f"the service ended with {status}:\n{self.log()}")

    def log(self) -> str:
        """The end of the service's log."""
        return "\n".join((self.folder / "bridge.log").read_text().splitlines()[-20:])

    def bridge(self, *words: str) -> tuple[int, str]:
        """Run an operator's command; exit status and output, its tables as a terminal would show them."""
        done = subprocess.run(
            [sys.executable, "-m", "bridge", "--aligned", *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def by_jwt(self, path: str, *scope: str) -> Answer:
        """Fetch a JWT-SVID for the issuer, and post it to `/token`."""
        svid = fetch_jwt_svid(self.endpoint(path), self.issuer, timeout=ANSWER_SECONDS)
        form = [("grant_type", "client_credentials"), ("client_assertion_type", JWT_SPIFFE)]
        form += [("client_assertion", svid), ("scope", " ".join(scope))]
        return Connector(ca=self.ca, timeout=ANSWER_SECONDS).post(f"{self.issuer}/token", form, {})

    def by_x509(self, path: str, *scope: str) -> Answer:
        """Fetch an X.509-SVID, and ask `/token` over mutual TLS with it."""
        svid = fetch_x509_svid(self.endpoint(path), timeout=ANSWER_SECONDS)
        connector = Connector(ca=self.ca, timeout=ANSWER_SECONDS)
        connector.present(Certificate(svid.chain, svid.key))
        form = [("grant_type", "client_credentials"), ("client_id", self.spiffe_id(path)), ("scope", " ".join(scope))]
        return connector.post(f"https://127.0.0.1:{self.mtls_port}/token", form, {})


def tell(stage: Stage) -> None:
    """Two workloads come for tokens, a third is refused; then what the operator sees."""
    say("\nThree workloads have an identity, and the service has never heard of any of them.\n")
    say(f"1. {stage.spiffe_id(SHOP)} fetches a JWT-SVID and posts it to /token")
    first = stage.by_jwt(SHOP, "ledger.read")
    tell_granted(first)
    say(f"2. {stage.spiffe_id(SETTLEMENT)} fetches an X.509-SVID and connects with it")
    second = stage.by_x509(SETTLEMENT, "ledger.write")
    tell_granted(second)
    say("3. the first one comes again, through the other door: the same client, no second record")
    tell_granted(stage.by_x509(SHOP, "ledger.read"))
    say(f"4. {stage.spiffe_id(VISITOR)} does what the first one did, but no rule names it")
    refused = stage.by_jwt(VISITOR, "ledger.read")
    tell_refused(stage, refused)
    say("Why? The correlation id of each answer leads to its decision.\n")
    for answer, expected in ((first, 0), (second, 0), (refused, 1)):
        tell_explanation(stage, answer, expected)
    tell_records(stage)


def tell_granted(answer: Answer) -> None:
    if answer.status != 200:
        raise WentWrong(f"expected a token, got {answer.status} {dict(answer.body)}")
    claims = _claims(str(answer.body["access_token"]))
    shown = {name: claims[name] for name in ("client_id", "aud", "scope", "cnf") if name in claims}
    say(f"   token issued: {answer.body['token_type']}, {answer.body['expires_in']} s, {json.dumps(shown)}\n")


def tell_refused(stage: Stage, answer: Answer) -> None:
    if answer.status != 401:
        raise WentWrong(f"expected 401, got {answer.status} {dict(answer.body)}")
    _, output = stage.bridge("audit", "show", str(answer.body["error_id"]), "--json")
    reasons = {str(row["reason"]) for row in _rows(output)}
    if reasons != {"policy_no_rule"}:
        raise WentWrong(f"expected one refusal for want of a rule, found {sorted(reasons)}")
    say(f"   on the wire: 401 {json.dumps(dict(answer.body))}")
    say("   refused: policy_no_rule (only the audit log says so; no record was made)\n")


def tell_explanation(stage: Stage, answer: Answer, expected: int) -> None:
    words = ("policy", "explain", "--audit", answer.headers["x-request-id"])
    say(f"$ bridge {' '.join(words)}")
    status, output = stage.bridge(*words)
    say(_indent(output))
    if status != expected:
        raise WentWrong(f"`explain` ended with {status}, expected {expected}")


def tell_records(stage: Stage) -> None:
    say("$ bridge clients list")
    say(_indent(stage.bridge("clients", "list")[1]))
    _, output = stage.bridge("clients", "list", "--json")
    found = sorted(record["client_id"] for record in json.loads(output))
    if found != sorted(stage.spiffe_id(path) for path in (SHOP, SETTLEMENT)):
        raise WentWrong(f"expected one record for each of two workloads, found {found}")
    status, output = stage.bridge("audit", "verify")
    say(f"$ bridge audit verify\n{_indent(output)}")
    if status != 0:
        raise WentWrong("the audit chain does not hold")


def tell_what_to_try(stage: Stage) -> None:
    config = f"--config {stage.config}"
    say("Everything stays up until Ctrl-C. In another terminal, from this folder:\n")
    say("   . .venv/bin/activate")
    say(f"   export BRIDGE_CONFIG={stage.config}")
    for path, options in ((SHOP, "--scope ledger.read"), (SETTLEMENT, "--x509 --scope ledger.write"), (VISITOR, "")):
        say(f"   bridge token --socket {stage.endpoint(path).address} --ca {stage.ca} {options}".rstrip())
    say("   bridge clients list;  bridge audit tail --follow;  bridge trust list")
    say(f"   bridge policy explain --subject {stage.spiffe_id(VISITOR)} --evidence jwt-svid")
    say(f"   bridge clients deny {stage.spiffe_id(SHOP)}")
    say(f"   curl -s --cacert {stage.ca} {stage.issuer}/.well-known/oauth-authorization-server")
    say(f"   curl -s http://127.0.0.1:{stage.metrics_port}/readyz")
    say(f"   (the service's log: {stage.folder / 'bridge.log'}; its policies: {POLICIES}; {config})\n")
    with _interrupted():
        signal.pause()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the story; the exit status."""
    parser = argparse.ArgumentParser(prog="bridge-demo", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", action="store_true", help="keep everything up until Ctrl-C, with commands to try")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _as_interrupt)
    say("Starting an embedded SPIFFE authority (with an intermediate CA) and the service:")
    try:
        # A short path: a socket's has at most 107 bytes.
        with tempfile.TemporaryDirectory(prefix="bridge-") as folder, ExitStack() as stack:
            stage = Stage(Path(folder))
            stage.open(stack)
            stage.wait_until_ready()
            if options.keep:
                tell_what_to_try(stage)
            else:
                tell(stage)
    except WentWrong as error:
        say(f"went wrong: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 1
    say("All processes ended, all files removed.")
    return 0


def say(text: str) -> None:
    """One line for the reader, at once."""
    print(text, flush=True)


def _claims(token: str) -> dict[str, object]:
    from bridge.jose.jws import parse_compact

    return parse_compact(token, max_bytes=16384).claims()


def _rows(output: str) -> list[dict[str, object]]:
    decoder, rows, rest = json.JSONDecoder(), [], output.strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        rows += found if isinstance(found, list) else [found]
        rest = rest[end:].lstrip()
    return rows


def _indent(text: str) -> str:
    return "".join(f"   {line}\n" for line in text.rstrip().splitlines())


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("\nending")


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.environ.pop("BRIDGE_CONFIG", None)
    sys.exit(main())
