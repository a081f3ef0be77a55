"""One service, and in front of it every proxy that `spire-dev/proxies/` configures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.lab.authority import Authority
from tests.flows.stand import LEDGER, Stand
from tests.live.processes import free_ports
from tests.proxies.running import SHIPPED, Proxy, fitted, start_haproxy, start_nginx

MORE = """
[[trusted_proxies]]
unix = "nginx.sock"
header = "xfcc"

[[trusted_proxies]]
unix = "haproxy.sock"
header = "client-cert"

[[trusted_proxies]]
address = "127.0.0.1/32"
spiffe_id = "spiffe://example.org/ns/edge/sa/haproxy"
header = "client-cert"

[trust_domains."single.example"]
source = "file"
path = "bundles/single.example.json"
"""

RULES = f"""
version = 1
source = "spiffe"
trust_domain = "single.example"

[[rule]]
id = "single-reads-ledger"
why = "SVIDs without an intermediate"
effect = "allow"
when = {{ path = "/ns/payments/sa/*", evidence = ["x509-svid"] }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"] }}
"""


class Site(Stand):
    """The service, and a second trust domain whose SVIDs are chains of one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, more=MORE, workers=1)
        self.single = Authority("single.example", intermediate=False)
        (folder / "bundles/single.example.json").write_bytes(self.single.bundle_json())
        (folder / "policies/single.example.toml").write_text(RULES)

    def proxy_files(self) -> None:
        """What the proxies' own ends of TLS need."""
        chain, key = self.web_ca.issue(["127.0.0.1"])
        (self.folder / "tls/haproxy.pem").write_bytes(chain + key)
        for name in ("haproxy", "intruder"):
            svid = self.authority.x509_svid(f"/ns/edge/sa/{name}")
            (self.folder / f"tls/{name}-svid.pem").write_bytes(svid.chain_pem() + svid.key_pem())


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("p") / "s") as running:
        yield running


@pytest.fixture(scope="session")
def proxies(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    """By the name of their configuration."""
    folder, tls = tmp_path_factory.mktemp("proxies"), site.folder / "tls"
    site.proxy_files()
    names = ("nginx-terminating", "haproxy-terminating", "nginx-passthrough", "haproxy-passthrough")
    # HAProxy by TLS, with its own X.509-SVID, and with another workload's.
    names += ("haproxy-svid", "intruder-svid")
    ports = free_ports(len(names))
    made = {name: Proxy(name, folder / name, port, tls / "ca.pem") for name, port in zip(names, ports, strict=True)}
    with ExitStack() as stack:
        for name, proxy in made.items():
            stack.callback(proxy.stop)
            _start(name, proxy, site)
        yield made


def _start(name: str, proxy: Proxy, site: Site) -> None:
    tls, here = site.folder / "tls", f"127.0.0.1:{proxy.port}"
    if name == "nginx-terminating":
        changes = {"listen 443 ssl": f"listen {here} ssl", "/etc/bridge/tls": str(tls)}
        changes["/run/bridge/proxy.sock;"] = f"{site.folder}/nginx.sock;"
        start_nginx(proxy, fitted("nginx-terminating.conf", changes), "http")
    elif name in ("haproxy-terminating", "haproxy-svid", "intruder-svid"):
        changes = {"bind :443": f"bind {here}", "/etc/bridge/tls/any-ca.pem": f"{tls}/ca.pem"}
        changes |= {"/etc/bridge/tls": str(tls), "unix@/run/bridge/proxy.sock": f"unix@{site.folder}/haproxy.sock"}
        changes["/etc/haproxy/client-cert-chain.lua"] = str(SHIPPED / "client-cert-chain.lua")
        if name != "haproxy-terminating":
            del changes["unix@/run/bridge/proxy.sock"]
            changes = {
                "    server bridge unix@/run/bridge/proxy.sock\n": "",
                "#server bridge 10.0.0.1:8444": f"server bridge 127.0.0.1:{site.client.mtls_port}",
                # The test's certificate is of an address, and HAProxy compares names.
                " verifyhost as.example.org": "",
                "/etc/bridge/tls/svid.pem": f"{tls}/{name}.pem",
                **changes,
            }
        start_haproxy(proxy, fitted("haproxy-terminating.cfg", changes))
    else:
        bound = {"127.0.0.1:9444": f"127.0.0.1:{site.client.mtls_port}"}
        if name == "nginx-passthrough":
            shipped = fitted("nginx-passthrough.conf", {"listen 8444": f"listen {here}", **bound})
            start_nginx(proxy, shipped, "stream")
        else:
            start_haproxy(proxy, fitted("haproxy-passthrough.cfg", {"bind :8444": f"bind {here}", **bound}))
