"""Clients that are known by a document's URL, at full speed; and known clients beside two hundred tarpits at the
fetch door."""

from __future__ import annotations

import secrets
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from bridge.lab.jws import JwtKey, to_json
from tests.bench.figure import Figure, Report
from tests.bench.load import Outcome, Plan
from tests.bench.process import Measured, drive, drive_together
from tests.bench.service import LIMITS, Bench
from tests.bench.tokens import QUIET_RATE, known
from tests.flows.client import JWT_BEARER, jwt_fields
from tests.flows.stand import LEDGER
from tests.unit.fetch.tls_server import CA, TlsServer, http

CLIENTS = 20
CONNECTIONS = 16
# More than any run gets through: each assertion is good for once.
_MOST_RATE = 2500
_WARM_UP = 1.0
# An assertion may not live longer than ten minutes (KBC-34).
_ASSERTION_LIFE = 590
_FRESH = "max-age=3600"

TARPITS = 200
# Each of them is asked for again about as soon as a fetch of it can have ended.
TARPIT_RATE = 40.0
_FLOOD_CONNECTIONS = 64

_MORE_LIMITS = "anonymous_per_minute = 1000000\n"
_RULE = """
version = 1
source = "metadata-document"

[[rule]]
id = "documents"
why = "clients of the bench"
effect = "allow"
when = {{ url = [{urls}] }}
grant = {{ resources = ["{ledger}"], scopes = ["ledger.read"], grant_types = ["client_credentials"] }}
"""


@contextmanager
def _admitting(name: str, ports: Sequence[int]) -> Iterator[Bench]:
    """A service that fetches from these ports of this machine, and whose rules want what is there."""
    bench = Bench(name, more=LIMITS + _MORE_LIMITS)
    hosts = [f"127.0.0.1:{port}" for port in ports]
    quoted = ", ".join(f'"{host}"' for host in hosts)
    with bench.stand.config.open("a") as config:
        config.write(f'\n[fetch]\nallow_hosts = [{quoted}]\nca_file = "tls/hosts.pem"\n')
    (bench.folder / "tls/hosts.pem").write_bytes(CA.certificate_pem)
    urls = ", ".join(f'"https://{host}/*"' for host in hosts)
    (bench.stand.policies / "metadata-documents.toml").write_text(_RULE.format(urls=urls, ledger=LEDGER))
    try:
        yield bench
    finally:
        bench.remove()


class _Clients:
    """Clients with a document and a key set each, on one host."""

    def __init__(self, host: TlsServer) -> None:
        self._host = host
        self._keys = [JwtKey.generate("ES256") for _ in range(CLIENTS)]
        self._answers: dict[str, bytes] = {}
        for number, key in enumerate(self._keys):
            document = {
                "client_id": self._url(number),
                "token_endpoint_auth_method": "private_key_jwt",
                "jwks_uri": host.url(f"/keys-{number}", host="127.0.0.1"),
            }
            self._answers[f"/client-{number}"] = http(to_json(document), cache_control=_FRESH)
            self._answers[f"/keys-{number}"] = http(to_json({"keys": [key.public_jwk()]}), cache_control=_FRESH)
        host.answer = lambda stream: stream.sendall(self._answers[self._path(host.requests[-1])])

    def _url(self, number: int) -> str:
        return self._host.url(f"/client-{number}", host="127.0.0.1")

    @staticmethod
    def _path(head: bytes) -> str:
        return head.split(b" ", 2)[1].decode()

    def most_fetches(self) -> int:
        """How often the path was fetched that was fetched most often."""
        return max(Counter(map(self._path, self._host.requests)).values())

    def requests(self, bench: Bench, count: int) -> list[bytes]:
        """So many requests for a token, by all clients in turn, each with a new assertion."""
        return [self._request(bench, number % CLIENTS) for number in range(count)]

    def _request(self, bench: Bench, number: int) -> bytes:
        url, key, now = self._url(number), self._keys[number], int(time.time())
        claims = {
            "iss": url, "sub": url, "aud": bench.stand.client.issuer, "iat": now, "exp": now + _ASSERTION_LIFE,
            "jti": secrets.token_urlsafe(12),
        }  # fmt: skip
        assertion = key.sign({"alg": key.alg, "kid": key.kid, "typ": "JWT"}, to_json(claims))
        return bench.for_token(jwt_fields(assertion, client_assertion_type=JWT_BEARER))


def measure(report: Report, *, rounds: int, seconds: float) -> None:
    """`client_credentials` by `private_key_jwt`, the keys behind `jwks_uri`, every document fetched before."""
    with TlsServer(hosts=["127.0.0.1"]) as host, _admitting("documents", [host.port]) as bench:
        clients = _Clients(host)
        bench.start()
        # One after the other: so many new documents of one host at once would be more than one host is asked for.
        first = Plan(bench.plain, clients.requests(bench, CLIENTS), connections=1, seconds=30, warm_up=0, once=True)
        assert drive(first, bench.processes).load.successes == CLIENTS
        measured = [_round(bench, clients, seconds) for _ in range(rounds)]
        fetches = clients.most_fetches()
    loads = [one.load for one in measured]
    best = max(loads, key=lambda load: load.rate)
    how = f"private_key_jwt, {CLIENTS} documents with jwks_uri, {CONNECTIONS} connections, best of {rounds}"
    report(Figure("documents: tokens", best.rate, "/s", 1200, at_most=False, note=how))
    report(Figure("documents: p99", best.quantile(0.99) * 1e3, "ms"))
    cpu = statistics.median(one.cpu_per_token for one in measured)
    report(Figure("documents: CPU per token", cpu * 1e3, "ms", note="all processes"))
    report(Figure("documents: not served", sum(load.errors + len(load.refusals) for load in loads), "", 0))
    report(Figure("documents: most fetches of one URL", fetches, "", 1, note="by both workers, fresh for an hour"))


def _round(bench: Bench, clients: _Clients, seconds: float) -> Measured:
    requests = clients.requests(bench, int(_MOST_RATE * (seconds + _WARM_UP)))
    plan = Plan(bench.plain, requests, connections=CONNECTIONS, seconds=seconds, warm_up=_WARM_UP, once=True)
    return drive(plan, bench.processes)


def tarpits(report: Report, *, rounds: int, seconds: float) -> None:
    """Known clients with and without requests in the name of URLs whose hosts take a connection and say nothing."""
    with ExitStack() as stack:
        # Nobody accepts: the kernel takes the connection, and the handshake never comes.
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(TARPITS)]
        ports = [listener.getsockname()[1] for listener in silent]
        bench = stack.enter_context(_admitting("tarpits", ports))
        bench.start()
        plan = Plan(
            bench.plain, known(bench), connections=_FLOOD_CONNECTIONS, seconds=seconds, warm_up=1.0, rate=QUIET_RATE
        )
        named = [_in_the_name_of(bench, port) for port in ports]
        flood = replace(plan, requests=named, rate=TARPIT_RATE)
        calm, held, refused = list[Outcome](), list[Outcome](), list[Outcome]()
        for _ in range(rounds):
            calm += drive_together(plan, service=bench.processes)
            beside, fetching = drive_together(plan, flood, service=bench.processes)
            held.append(beside)
            refused.append(fetching)
    _report_tarpits(report, calm, held, refused)


def _in_the_name_of(bench: Bench, port: int) -> bytes:
    """A request of a client that shows nothing but its URL."""
    return bench.for_token({"grant_type": "client_credentials", "client_id": f"https://127.0.0.1:{port}/c"})


def _report_tarpits(report: Report, calm: list[Outcome], held: list[Outcome], refused: list[Outcome]) -> None:
    beside, alone = (statistics.median(load.quantile(0.99) for load in loads) for loads in (held, calm))
    how = f"{QUIET_RATE:g} tokens/s beside {TARPIT_RATE:g} requests/s in the name of {TARPITS} silent hosts"
    report(Figure("tarpits: p99 of known clients over quiet p99", beside / alone, "x", 2, note=how))
    report(Figure("tarpits: p99 of known clients", beside * 1e3, "ms"))
    report(Figure("tarpits: p99 without them", alone * 1e3, "ms"))
    unserved = sum(load.errors + len(load.refusals) + load.unasked for load in (*calm, *held))
    report(Figure("tarpits: known clients not served", unserved, "", 0))
    bad = sum(load.errors + load.bare_refusals + load.successes for load in refused)
    report(Figure("tarpits: bad answers to the others", bad, "", 0, note="not 503, or without Retry-After"))
    waited = sum(latency > 1 for load in refused for latency in load.refusals)
    report(Figure("tarpits: fetches that were waited for", waited, "", note="the rest found no slot"))
