"""Trust domains by the hundred beside the one that every bench has: each with keys, a policy file and workloads of its
own, and a bundle from one of the kinds of sources."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.lab.authority import Authority
from bridge.lab.workload_api import WorkloadApi
from tests.bench.bundle_server import BundleServer
from tests.bench.service import LIMITS, SVID_LIFE, Bench
from tests.flows.stand import LEDGER

WORKLOAD = "/ns/web/sa/api"
_ALL_KNOWN_SECONDS = 60.0
# Polled as often as the service ever asks: what is measured is not the waiting for a turn.
_OFTEN = 1
_RULES = """version = 1
source = "spiffe"
trust_domain = "{name}"
[[rule]]
id = "{rule}"
why = "bench"
effect = "allow"
when = {{ path = "/ns/web/sa/*" }}
grant = {{ resources = ["{resource}"], scopes = ["ledger.read"], bind = "if-present" }}
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many trust domains have a bundle from each kind of source. Of the polled ones `often` are polled each
    second, the others as often as a bundle usually says."""

    files: int = 0
    polled: int = 0
    by_agent: int = 0
    often: int = 0


class Fleet:
    """The trust domains of one service. Made before the service starts; they serve until they are closed."""

    def __init__(self, bench: Bench, sizes: Sizes) -> None:
        self._bench = bench
        numbers = iter(range(sizes.files + sizes.polled + sizes.by_agent))

        def some(count: int, hint: int = 300) -> list[Authority]:
            return [
                Authority(f"td{next(numbers)}.example", intermediate=False, refresh_hint=hint) for _ in range(count)
            ]

        self.files = some(sizes.files)
        self.often = some(sizes.often, _OFTEN)
        self.polled = [*self.often, *some(sizes.polled - sizes.often)]
        self.by_agent = some(sizes.by_agent)
        self._server: BundleServer | None = None
        self._agent: WorkloadApi | None = None
        sections = [self._file_section(authority) for authority in self.files]
        if self.polled:
            sections += self._polled_sections()
        if self.by_agent:
            sections += self._agent_sections()
        for number, authority in enumerate((*self.files, *self.polled, *self.by_agent)):
            name = authority.trust_domain.name
            rules = _RULES.format(name=name, rule=f"web-{number}", resource=LEDGER)
            (bench.stand.policies / f"{name}.toml").write_text(rules)
        with bench.stand.config.open("a") as config:
            config.write("\n".join(sections))

    @property
    def server(self) -> BundleServer:
        """What the polled ones are asked at."""
        assert self._server is not None, "none is polled"
        return self._server

    def close(self) -> None:
        """End the endpoint and the agent."""
        if self._server is not None:
            self._server.close()
        if self._agent is not None:
            self._agent.stop()

    def publish_file(self, authority: Authority) -> None:
        """Write the bundle as it is now where the service reads it."""
        path = self._path(authority)
        draft = path.with_name(f".{path.name}")
        draft.write_bytes(authority.bundle_json())
        draft.replace(path)

    def publish_at_endpoint(self, authority: Authority) -> None:
        """Have the endpoint say what the bundle is now."""
        self.server.put(authority.trust_domain.name, authority.bundle_json())

    def assertion(self, authority: Authority) -> str:
        """A JWT-SVID of the workload of this trust domain."""
        return authority.jwt_svid(WORKLOAD, self._bench.stand.client.issuer, ttl=SVID_LIFE)

    def _path(self, authority: Authority) -> Path:
        return self._bench.folder / f"bundles/{authority.trust_domain.name}.json"

    def _file_section(self, authority: Authority) -> str:
        name = authority.trust_domain.name
        self.publish_file(authority)
        return f'[trust_domains."{name}"]\nsource = "file"\npath = "bundles/{name}.json"\n'

    def _polled_sections(self) -> Iterator[str]:
        tls = self._bench.folder / "tls"
        bodies = {authority.trust_domain.name: authority.bundle_json() for authority in self.polled}
        self._server = BundleServer(tls / "server.pem", tls / "server.key", bodies)
        for name in bodies:
            section = f'[trust_domains."{name}"]\nsource = "https_web"\nurl = "{self._server.url(name)}"\n'
            yield f'{section}ca_file = "tls/ca.pem"\nrefresh_min = "{_OFTEN}s"\n'

    def _agent_sections(self) -> Iterator[str]:
        first, *others = self.by_agent
        self._agent = WorkloadApi(first, self._bench.folder / "agent.sock", identities=["/bridge"], federated=others)
        self._agent.start()
        for authority in self.by_agent:
            yield (
                f'[trust_domains."{authority.trust_domain.name}"]\n'
                f'source = "workload-api"\nsocket = "{self._agent.address}"\n'
            )


@contextmanager
def many_domains(name: str, sizes: Sizes) -> Iterator[tuple[Bench, Fleet]]:
    """A service with so many trust domains, not started; stopped and removed at the end."""
    bench = Bench(name, more=LIMITS)
    fleet = Fleet(bench, sizes)
    try:
        yield bench, fleet
    finally:
        bench.remove()
        fleet.close()


def until_all_known(bench: Bench) -> float:
    """Seconds until the worker that answers knows every bundle."""
    began = time.monotonic()
    while set(_states(bench)) != {"fresh"}:
        assert time.monotonic() < began + _ALL_KNOWN_SECONDS, f"not all are fresh: {_states(bench)}"
        time.sleep(0.1)
    return time.monotonic() - began


def _states(bench: Bench) -> Counter[str]:
    bundles = json.loads(operators_get(bench, "/readyz"))["parts"]["bundles"]
    return Counter(part["state"] for part in bundles.values() if isinstance(part, dict))


def operators_get(bench: Bench, path: str) -> bytes:
    """What the listener for operators says of a path."""
    with urllib.request.urlopen(f"http://127.0.0.1:{bench.stand.metrics_port}{path}") as answer:
        content: bytes = answer.read()
        return content


def took_by_command(bench: Bench, *words: str) -> float:
    """Seconds of a whole `bridge` command that finds nothing wrong."""
    began = time.perf_counter()
    done = bench.stand.bridge(*words)
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    return took
