"""From nothing to tokens for another trust domain's workloads, by `bridge trust add` and a restart; and back again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.lab.authority import Authority
from bridge.lab.bundle_endpoint import BundleEndpoint
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.described_keys import digest_of
from bridge.spire.parse import parse_bundle
from tests.flows.client import Answer
from tests.flows.stand import ORDERS, Stand

PATH = "/ns/web/sa/api"


class Others:
    """A service that knows nobody but its own, and the endpoints of two other trust domains, one of each profile."""

    def __init__(self, folder: Path) -> None:
        self.stand = Stand(folder / "service", workers=1)
        self.authorities = {name: Authority(name) for name in ("partner.example", "factory.example")}
        partner, factory = self.authorities.values()
        self.web, self.spiffe = BundleEndpoint(partner, self.stand.web_ca), BundleEndpoint(factory)
        self.brought = folder / "from-their-people.json"
        self.brought.write_bytes(factory.bundle_json())

    def words(self) -> dict[str, list[str]]:
        """How each is added."""
        ca_file = str(self.stand.folder / "tls/ca.pem")
        server = ["--endpoint-spiffe-id", self.spiffe.endpoint_spiffe_id, "--bootstrap-from", str(self.brought)]
        return {
            "partner.example": ["--url", self.web.url, "--profile", "https_web", "--ca-file", ca_file],
            "factory.example": ["--url", self.spiffe.url, "--profile", "https_spiffe", *server],
        }

    def add(self, name: str) -> None:
        digest = digest_of(parse_bundle(self.authorities[name].bundle_json(), TrustDomain(name)))
        agreed = ["--fingerprint", digest, "--config", str(self.stand.config)]
        assert main(["trust", "add", name, *self.words()[name], *agreed]) == 0
        kind = name.split(".")[0]
        (self.stand.policies / f"{name}.toml").write_text(
            f'version = 1\nsource = "spiffe"\ntrust_domain = "{name}"\n'
            f'[[rule]]\nid = "{kind}-reads-orders"\nwhy = "a partner"\neffect = "allow"\n'
            f'when = {{ path = "/ns/web/sa/*" }}\n'
            f'grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present" }}\n'
        )

    def ask(self, name: str) -> Answer:
        return self.stand.client.by_jwt(self.authorities[name].jwt_svid(PATH, self.stand.client.issuer))

    def statuses(self) -> list[int]:
        own = self.stand.client.by_jwt(self.stand.jwt(PATH)).status
        return [own, *(self.ask(name).status for name in self.authorities)]


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Others]:
    made = Others(tmp_path)
    with made.web, made.spiffe:
        yield made


def test_added_trust_domains_of_both_profiles_get_tokens_until_they_are_taken_out_and_the_service_started_again(
    others: Others,
) -> None:
    """SPIFFE-27, SPIFFE-28; SPIFFE Federation: whoever ends a relationship stops trusting and asking."""
    stand = others.stand
    alone = stand.config.read_text()
    for name in others.authorities:
        others.add(name)
    with stand:
        stand.until(lambda: others.statuses() == [200, 200, 200], "both endpoints were asked")
        answer = others.ask("factory.example")
        assert (answer.claims["sub"], answer.body["scope"]) == (f"spiffe://factory.example{PATH}", "orders.read")
        stand.config.write_text(alone)
        assert others.statuses() == [200, 200, 200], "a running service goes by what it was started with"
    with stand:
        assert others.statuses() == [200, 401, 401], "what the store still has of them is not used"
