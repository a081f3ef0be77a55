"""Ten thousand rules: what a decision costs among them, and what loading them costs those who are served."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from http.client import HTTPSConnection
from urllib.parse import urlencode

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask
from bridge.policy.evaluate import PolicySet
from bridge.policy.folder import PolicyDefaults, PolicyFolder
from tests.bench.figure import Figure, Report
from tests.bench.load import Outcome, Plan
from tests.bench.process import drive
from tests.bench.service import FOLDER, Bench, running
from tests.bench.tokens import QUIET_RATE, known
from tests.flows.client import FORM, Client, jwt_fields
from tests.flows.stand import CATALOGUE, LEDGER, ORDERS, RULES

MANY, FEW = 10_000, 10
_DECISIONS = 20_000
_LOAD_SECONDS = 12.0
_DEFAULTS = PolicyDefaults(
    default_ttl=300, max_ttl=3600, idle_expiry=30 * 86_400, trust_domains=frozenset({"example.org"})
)


def measure(report: Report) -> None:
    """Decisions over many rules and over few, and a load of many rules while serving."""
    few, many = _policy("few", FEW), _policy("many", MANY)
    over_few, over_many = _decide(few, FEW), _decide(many, MANY)
    how = f"{_DECISIONS:,} decisions for rules all over the file"
    report(Figure(f"decision over {MANY:,} rules: p50", over_many[0] * 1e6, "us", 10, note=how))
    report(Figure(f"decision over {MANY:,} rules: p99", over_many[1] * 1e6, "us"))
    report(Figure(f"decision over {FEW} rules: p50", over_few[0] * 1e6, "us"))
    with running("rules") as bench:
        _load_while_serving(report, bench)


def rules_text(count: int) -> str:
    """A policy file of so many rules, of the kinds that people write: one path, a wildcard, a subtree, denies."""
    parts = ['version = 1\nsource = "spiffe"\ntrust_domain = "example.org"\n']
    for number in range(count):
        path = (f"/ns/n{number}/sa/api", f"/ns/n{number}/sa/*", f"/ns/n{number}/**")[number % 3]
        resource, scope = ((LEDGER, "ledger.read"), (ORDERS, "orders.read"))[number % 2]
        parts.append(f'[[rule]]\nid = "rule-{number}"\nwhy = "bench"\n')
        if number % 50 == 49:
            parts.append(f'effect = "deny"\nwhen = {{ path = "/ns/n{number - 1}/sa/*", scope = "ledger.write" }}\n')
            continue
        parts.append(
            f'effect = "allow"\nwhen = {{ path = "{path}" }}\n'
            f'grant = {{ resources = ["{resource}"], scopes = ["{scope}"], bind = "if-present" }}\n'
        )
    return "\n".join(parts)


def _policy(name: str, count: int) -> PolicySet:
    folder = FOLDER / f"policies-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        (folder / "catalogue.toml").write_text(CATALOGUE)
        (folder / "example.org.toml").write_text(rules_text(count))
        return PolicyFolder(folder, _DEFAULTS).load().policy_set
    finally:
        shutil.rmtree(folder)


def _decide(policy: PolicySet, rules: int) -> tuple[float, float]:
    """p50 and p99 of a decision, in seconds."""
    asks = []
    for number in range(_DECISIONS):
        rule = (number * 7919) % rules
        spiffe_id = SpiffeId.parse_workload(f"spiffe://example.org/ns/n{rule}/sa/api")
        subject = PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=spiffe_id)
        asks.append((subject, Ask(Door.TOKEN, "client_credentials")))
    took = []
    decide: Callable[..., object] = policy.decide
    for subject, ask in asks:
        began = time.perf_counter()
        decide(subject, ask, proved=frozenset())
        took.append(time.perf_counter() - began)
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def _load_while_serving(report: Report, bench: Bench) -> None:
    """With all cores, as a service has them: each worker loads the file for itself."""
    requests = known(bench)
    calm = drive(_plan(bench, requests), bench.processes).load
    acted: list[float] = []

    def write_rules() -> None:
        # What was asked before stays allowed; whoever is named by a new rule only, is allowed once it acts.
        bench.stand.write_rules(RULES + rules_text(MANY).partition('trust_domain = "example.org"\n')[2])
        acted.append(_until_all_workers_allow(bench, "/ns/n3/sa/api"))

    load: Outcome = drive(_plan(bench, requests), bench.processes, meanwhile=write_rules).load
    assert load.errors == 0, load.statuses
    report(Figure(f"{MANY:,} rules: from change to effect", acted[0], "s", 2, note="in both workers, while serving"))
    how = f"{QUIET_RATE:g}/s; without a load {calm.quantile(0.99) * 1e3:.3g} ms"
    report(Figure(f"{MANY:,} rules: p99 while they load", load.quantile(0.99) * 1e3, "ms", note=how))


def _plan(bench: Bench, requests: list[bytes]) -> Plan:
    return Plan(bench.plain, requests, seconds=_LOAD_SECONDS, warm_up=1.0, rate=QUIET_RATE)


def _until_all_workers_allow(bench: Bench, path: str) -> float:
    """Seconds until each of several connections, which the workers share among them, gets a token for it."""
    client: Client = bench.stand.client
    assertion = bench.stand.jwt(path)
    connections = [client.connect() for _ in range(6)]
    began = time.perf_counter()
    waiting = list(connections)
    while waiting:
        if time.perf_counter() - began > 30:
            raise AssertionError("the changed rules do not act")
        waiting = [one for one in waiting if _status(client, one, assertion) != 200]
        # Asked more often, the one who waits would be as much load as all who are served.
        time.sleep(0.1)
    took = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return took


def _status(client: Client, connection: HTTPSConnection, assertion: str) -> int:
    form = [("Content-Type", FORM)]
    return client.exchange(connection, "POST", "/token", body=urlencode(jwt_fields(assertion)), headers=form).status
