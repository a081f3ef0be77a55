"""A whole service whose trust domain has a bundle endpoint: real TLS, real workers, one store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.lab.bundle_endpoint import BundleEndpoint
from tests.flows.client import Answer
from tests.flows.stand import Stand
from tests.live.processes import free_ports

PATH = "/ns/web/sa/polled"
EVERYWHERE = 8


class Polled:
    """A stand whose trust domain has an endpoint of one profile, at an address that stays when it is down."""

    def __init__(self, folder: Path, profile: str) -> None:
        self.stand = Stand(folder)
        (self.port,) = free_ports(1)
        self.web_ca = self.stand.web_ca if profile == "https_web" else None
        self.endpoint = BundleEndpoint(self.stand.authority, self.web_ca, port=self.port).start()
        lines = [f'source = "{profile}"', f'url = "{self.endpoint.url}"', 'refresh_min = "1s"', "{stale}"]
        if profile == "https_web":
            lines.append('ca_file = "tls/ca.pem"')
        else:
            lines.append(f'endpoint_spiffe_id = "{self.endpoint.endpoint_spiffe_id}"')
            # What `publish_bundle` wrote before the service ever ran.
            lines.append('bootstrap = "bundles/example.org.json"')
        self._section = "\n".join(lines)
        self.configure('source = "file"\npath = "bundles/example.org.json"', max_stale="1h")

    def configure(self, old: str = "", *, max_stale: str) -> None:
        text = self.stand.config.read_text()
        old = old or self._written
        self._written = self._section.replace("{stale}", f'max_stale = "{max_stale}"')
        assert old in text
        self.stand.config.write_text(text.replace(old, self._written))

    def ask(self) -> Answer:
        return self.stand.client.by_jwt(self.stand.jwt(PATH))

    def serves(self) -> bool:
        return all(self.ask().status == 200 for _ in range(EVERYWHERE))

    def trust(self) -> dict[str, object]:
        (listed,) = self.stand.json("trust", "list")
        assert isinstance(listed, dict)
        return listed


@pytest.fixture
def polled(tmp_path: Path) -> Iterator[Callable[[str], Polled]]:
    made: list[Polled] = []

    def make(profile: str) -> Polled:
        made.append(Polled(tmp_path / profile, profile))
        return made[-1]

    yield make
    for one in made:
        one.stand.stop()
        one.endpoint.stop()


@pytest.mark.parametrize("profile", ["https_web", "https_spiffe"])
def test_keys_come_and_go_with_the_endpoint_and_stay_without_it_until_they_are_stale(
    polled: Callable[[str], Polled], profile: str
) -> None:
    """SCA-28, SPIFFE-24, SPIFFE-34, F-6: what one worker fetched acts in all; a restart needs no endpoint."""
    one = polled(profile)
    stand, authority = one.stand, one.stand.authority
    with stand:
        stand.until(one.serves, "the bundle is fetched and in force in every worker")
        old = stand.jwt(PATH)
        authority.refresh_hint = 1
        authority.rotate_jwt("prepare", "activate")
        assert one.ask().status == 200, "a key that nobody knew yet has the endpoint asked at once"
        assert stand.client.by_jwt(old).status == 200
        authority.rotate_jwt("taint", "revoke")
        gone = lambda: all(stand.client.by_jwt(old).status == 401 for _ in range(EVERYWHERE))  # noqa: E731
        stand.until(gone, "the removed key is refused in every worker")
        assert one.serves()
        one.endpoint.stop()
    if profile == "https_spiffe":
        # What follows is the store's part, the same for both profiles.
        return
    with stand:
        assert one.serves(), "the last good bundle is in the store"
        stand.kill()
    one.configure(max_stale="2s")
    with stand:
        stand.until(lambda: one.ask().status == 503, "the bundle is stale")
        refused = one.ask()
        assert refused.error == "temporarily_unavailable"
        one.endpoint.start()
        stand.until(one.serves, "it comes back by itself")
