"""The code flow at full speed: whole flows of users who agreed before, and rotated refresh tokens (L-2, L-5)."""

from __future__ import annotations

import base64
import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from tests.bench.browser import SocketBrowser
from tests.bench.chains import ChainPlan, Steps
from tests.bench.figure import Figure, Report
from tests.bench.process import Measured, drive
from tests.bench.service import LIMITS, Bench, workload
from tests.flows.client import FORM, JWT_SPIFFE
from tests.flows.stand import LEDGER
from tests.unit.fetch.tls_server import CA, TlsServer, http

CONNECTIONS = 16
_WARM_UP = 1.0
_CALLBACK = "https://app.example/callback"
_VERIFIER = "a-verifier-of-the-bench-that-nobody-has-to-guess-0123456789"
_CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).rstrip(b"=").decode()
_ASKED = {
    "response_type": "code",
    "redirect_uri": _CALLBACK,
    "code_challenge": _CHALLENGE,
    "code_challenge_method": "S256",
    "state": "a-state-of-the-bench-that-is-long-enough",
    "scope": "ledger.read",
    "resource": LEDGER,
}
_USERS = '[users]\nsource = "development"\n'
_SPIFFE_RULES = f"""
version = 1
source = "spiffe"
trust_domain = "example.org"

[[rule]]
id = "web-acts-for-users"
why = "workloads of the bench"
effect = "allow"
when = {{ path = "/ns/web/sa/*", evidence = ["jwt-svid"] }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
bind = "none"
grant_types = ["authorization_code"]
redirect_uris = ["{_CALLBACK}"]
"""
_DOCUMENT_RULES = """
version = 1
source = "metadata-document"

[[rule]]
id = "public-clients"
why = "clients of the bench"
effect = "allow"
when = {{ url = "https://{host}/*" }}
[rule.grant]
resources = ["{ledger}"]
scopes = ["ledger.read"]
bind = "none"
grant_types = ["authorization_code", "refresh_token"]
"""


@dataclass(frozen=True, slots=True)
class WholeFlow:
    """Push, authorize, redeem: one workload, and a user who is signed in and agreed to it before."""

    port: int
    client_id: str
    credential: Mapping[str, str]
    cookies: str

    def steps(self) -> Steps:
        """One flow."""
        pushed = yield _post(self.port, "/par", {**self.credential, **_ASKED})
        if not pushed.startswith(b"HTTP/1.1 201"):
            return False
        request_uri = _body(pushed)["request_uri"]
        path = f"/authorize?client_id={quote(self.client_id, safe='')}&request_uri={quote(str(request_uri), safe='')}"
        sent_back = yield _message(self.port, "GET", path, f"Cookie: {self.cookies}\r\n")
        code = _between(sent_back, b"code=")
        if code is None:
            return False
        redeemed = yield _post(self.port, "/token", {**self.credential, **redemption(code)})
        return b'"access_token"' in redeemed


@dataclass(slots=True)
class Rotation:
    """A public client that uses its refresh token and gets the next one. `refresh_token` is the one in force."""

    port: int
    client_id: str
    refresh_token: str

    def steps(self) -> Steps:
        """One refresh."""
        fields = {"grant_type": "refresh_token", "client_id": self.client_id, "refresh_token": self.refresh_token}
        answer = yield _post(self.port, "/token", fields)
        if not answer.startswith(b"HTTP/1.1 200"):
            return False
        before, self.refresh_token = self.refresh_token, str(_body(answer)["refresh_token"])
        return self.refresh_token != before


def redemption(code: str) -> dict[str, str]:
    """What a client sends with a code."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _CALLBACK,
        "code_verifier": _VERIFIER,
    }


def whole(report: Report, *, rounds: int, seconds: float) -> None:
    """PAR, `/authorize` in a session, `/token`: three requests each, by workloads with JWT-SVIDs."""
    bench = Bench("flows", more=LIMITS + _USERS)
    bench.stand.write_rules(_SPIFFE_RULES)
    try:
        bench.start()
        chains = [_agreed(bench, number) for number in range(CONNECTIONS)]
        plan = ChainPlan(bench.plain, chains, seconds=seconds, warm_up=_WARM_UP)
        measured = [drive(plan, bench.processes) for _ in range(rounds)]
    finally:
        bench.remove()
    how = f"PAR, authorize with a session, token; JWT-SVIDs, {CONNECTIONS} connections, best of {rounds}"
    _report(report, "code flow: whole flows", measured, 100, how)


def refresh(report: Report, *, rounds: int, seconds: float) -> None:
    """Refresh tokens of public clients without a key: each use ends one and gives the next."""
    with TlsServer() as host, _with_documents(host) as bench:
        bench.start()
        client_id = host.url("/public", host="127.0.0.1")
        chains = _first_tokens(bench, client_id)
        measured = []
        for _ in range(rounds):
            measured.append(drive(ChainPlan(bench.plain, chains, seconds=seconds, warm_up=_WARM_UP), bench.processes))
            # The load tool's process took the tokens in force with it.
            chains = _first_tokens(bench, client_id)
        ended = bench.count("SELECT COUNT(*) FROM grants WHERE ended_at IS NOT NULL")
    how = f"public client known by its document, {CONNECTIONS} grants and connections, best of {rounds}"
    _report(report, "refresh with rotation", measured, 800, how)
    report(Figure("refresh with rotation: grants that were ended", ended, "", 0, note="none was taken for reused"))


def _report(report: Report, name: str, measured: list[Measured], target: float, how: str) -> None:
    loads = [one.load for one in measured]
    best = max(loads, key=lambda load: load.rate)
    cpu = statistics.median(one.cpu_per_token for one in measured)
    report(Figure(name, best.rate, "/s", target, at_most=False, note=how))
    report(Figure(f"{name}: p99", best.quantile(0.99) * 1e3, "ms", note="from the first request to the last answer"))
    report(Figure(f"{name}: CPU each", cpu * 1e3, "ms", note="all processes"))
    errors = sum(load.errors + load.statuses[429] + load.statuses[503] for load in loads)
    report(Figure(f"{name}: errors", errors, "", 0, note="in all rounds"))


def _agreed(bench: Bench, number: int) -> WholeFlow:
    """A workload and a user who approves its first request, so that it is remembered."""
    client, assertion = bench.stand.client, bench.assertions([number])[0]
    credential = {"client_assertion_type": JWT_SPIFFE, "client_assertion": assertion}
    client_id = str(bench.authority.spiffe_id(workload(number)))
    pushed = client.post("/par", {**credential, **_ASKED})
    assert pushed.status == 201, pushed.content
    browser = SocketBrowser(client)
    browser.agree(f"user-{number}", client_id=client_id, request_uri=pushed.body["request_uri"])
    browser.close()
    return WholeFlow(client.port, client_id, credential, browser.cookie_header)


@contextmanager
def _with_documents(host: TlsServer) -> Iterator[Bench]:
    """A service, not started, whose rules want the one client that this host describes."""
    bench = Bench("refresh", more=LIMITS + _USERS)
    place = f"127.0.0.1:{host.port}"
    document = {
        "client_id": host.url("/public", host="127.0.0.1"),
        "client_name": "Bench",
        "redirect_uris": [_CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    }
    answer = http(json.dumps(document).encode(), cache_control="max-age=3600")
    host.answer = lambda stream: stream.sendall(answer)
    with bench.stand.config.open("a") as config:
        config.write(f'\n[fetch]\nallow_hosts = ["{place}"]\nca_file = "tls/hosts.pem"\n')
    (bench.folder / "tls/hosts.pem").write_bytes(CA.certificate_pem)
    rules = _DOCUMENT_RULES.format(host=place, ledger=LEDGER)
    (bench.stand.policies / "metadata-documents.toml").write_text(rules)
    try:
        yield bench
    finally:
        bench.remove()


def _first_tokens(bench: Bench, client_id: str) -> list[Rotation]:
    """A grant for each connection, by one user, who is asked the first time only."""
    client = bench.stand.client
    browser = SocketBrowser(client)
    rotations = []
    for _ in range(CONNECTIONS):
        code = browser.agree("user", client_id=client_id, **_ASKED)["code"]
        answer = client.post("/token", {"client_id": client_id, **redemption(code)})
        assert answer.status == 200, answer.content
        rotations.append(Rotation(client.port, client_id, answer.body["refresh_token"]))
    browser.close()
    return rotations


def _post(port: int, path: str, fields: Mapping[str, str]) -> bytes:
    return _message(port, "POST", path, f"Content-Type: {FORM}\r\n", urlencode(fields))


def _message(port: int, method: str, path: str, headers: str, body: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n{headers}{length}\r\n"
    return (head + body).encode("ascii")


def _body(answer: bytes) -> dict[str, object]:
    said: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return said


def _between(answer: bytes, mark: bytes) -> str | None:
    """The value of a query parameter in the `Location` of an answer."""
    start = answer.find(b"\r\nlocation: ") if b"\r\nlocation: " in answer else answer.find(b"\r\nLocation: ")
    line = answer[start + 2 : answer.find(b"\r\n", start + 2)] if start >= 0 else b""
    _, found, rest = line.partition(mark)
    return rest.partition(b"&")[0].decode() if found else None
