"""https_spiffe endpoints over real TLS: the server is who its X.509-SVID says, by the last known bundle, or nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import copy
from pathlib import Path

import pytest

from bridge.lab.authority import Authority
from bridge.lab.bundle_endpoint import BundleEndpoint
from bridge.lab.web_ca import WebCa
from bridge.model.bundle import BundleHealth
from bridge.model.spiffe_id import SpiffeId, TrustDomain
from bridge.spire.polling import PolledOptions, SpiffeEndpoint
from tests.unit.spire.endpoint_stand import PARTNER, Clock, Poller, poller

FRESH, LATE, UNREACHABLE = BundleHealth.FRESH, BundleHealth.LATE, BundleHealth.UNREACHABLE


class Partner:
    """A trust domain whose SPIRE server serves its bundle under its own SVID."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(PARTNER.name)
        self.server = BundleEndpoint(self.authority)
        self.bootstrap = folder / "first.json"
        self.write_bootstrap(self.authority)
        self.clock = Clock()

    def write_bootstrap(self, authority: Authority) -> None:
        self.bootstrap.write_bytes(authority.bundle_json())

    def endpoint(self, *, spiffe_id: str = "") -> SpiffeEndpoint:
        wanted = SpiffeId.parse_workload(spiffe_id or self.server.endpoint_spiffe_id)
        return SpiffeEndpoint(self.server.url, wanted, self.bootstrap)

    def poller(self, *, spiffe_id: str = "") -> Poller:
        return poller(self.endpoint(spiffe_id=spiffe_id), self.clock)


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Partner]:
    made = Partner(tmp_path)
    with made.server:
        yield made


def test_the_first_bundle_comes_by_the_bootstrap_bundle_and_names_the_profile(partner: Partner) -> None:
    """SPIFFE Federation 5.2.2; the chain has an intermediate."""
    status = partner.poller().ask()
    assert (status.health, status.source) == (FRESH, "https_spiffe")
    assert status.bundle is not None
    assert status.bundle.jwt_authorities


def test_a_bootstrap_file_may_be_a_bundle_map_and_vouches_by_the_servers_own_part(partner: Partner) -> None:
    """SPIFFE-33."""
    ours, other = partner.authority.bundle(), Authority("other.example").bundle()
    partner.bootstrap.write_text(json.dumps({"trust_domains": {PARTNER.name: ours, "other.example": other}}))
    assert partner.poller().ask().health is FRESH
    partner.bootstrap.write_text(json.dumps({"trust_domains": {PARTNER.name: other, "other.example": ours}}))
    assert partner.poller().ask().health is UNREACHABLE


def test_anothers_change_in_a_bootstrap_map_does_not_open_the_door_to_removed_keys(partner: Partner) -> None:
    """T-20, SPIFFE-33: only a new part of its own is a new bootstrap bundle."""

    def write(ours: Authority) -> None:
        by_name = {PARTNER.name: ours.bundle(), "other.example": Authority("other.example").bundle()}
        partner.bootstrap.write_text(json.dumps({"trust_domains": by_name}))

    first = Authority(PARTNER.name)
    first.replace(x509_keys=copy(partner.authority.x509_keys), jwt_keys=partner.authority.jwt_keys, sequence=9)
    write(first)
    polled = partner.poller()
    polled.ask()
    partner.authority.rotate_x509("prepare")
    polled.ask()
    partner.authority.rotate_x509("activate", "taint", "revoke")
    assert polled.ask().health is FRESH
    with _Swapped(partner, first):
        write(first)
        assert polled.ask().fault is UNREACHABLE, "the server has a removed key, which the old part still names"
    assert polled.ask().health is FRESH
    for _ in range(2):
        partner.authority.rotate_x509()
    assert polled.ask().fault is UNREACHABLE
    write(partner.authority)
    assert polled.ask().health is FRESH


def test_the_bootstrap_bundle_alone_vouches_for_nobody(partner: Partner) -> None:
    """It proves the server; what is trusted, the server says."""
    assert partner.poller().status.health is UNREACHABLE


def test_the_next_comes_by_the_last_fetched_one_and_the_bootstrap_bundle_is_not_needed_again(partner: Partner) -> None:
    polled = partner.poller()
    polled.ask()
    partner.bootstrap.unlink()
    partner.authority.rotate_x509("prepare")
    assert polled.ask().health is FRESH
    partner.authority.rotate_x509("activate", "taint", "revoke")
    assert polled.ask().health is FRESH, "the server's new SVID is by a CA that the last bundle announced"


def test_a_server_whose_ca_no_bundle_announced_is_refused_until_an_operator_brings_a_new_bootstrap_bundle(
    partner: Partner,
) -> None:
    """T-20: an old bootstrap bundle does not open the door again; a new file does, at the next question."""
    polled = partner.poller()
    polled.ask()
    old = Authority(PARTNER.name)
    for _ in range(2):
        partner.authority.rotate_x509()
    status = polled.ask()
    assert (status.health, status.fault, polled.outcomes[-1]) == (LATE, UNREACHABLE, "tls")
    assert "the server is not spiffe://partner.example/spire/server" in status.reason
    assert "a new `bootstrap` bundle" in status.reason
    partner.write_bootstrap(old)
    assert polled.ask().health is LATE
    partner.write_bootstrap(partner.authority)
    assert polled.ask().health is FRESH


def test_a_key_that_was_removed_does_not_prove_the_server_though_the_bootstrap_bundle_holds_it(
    partner: Partner,
) -> None:
    """T-20: the bootstrap bundle is for the first time."""
    polled = partner.poller()
    polled.ask()
    first = Authority(PARTNER.name)
    first.replace(x509_keys=copy(partner.authority.x509_keys), jwt_keys=partner.authority.jwt_keys, sequence=9)
    partner.authority.rotate_x509("prepare")
    polled.ask()
    partner.authority.rotate_x509("activate", "taint", "revoke")
    assert polled.ask().health is FRESH
    with _Swapped(partner, first):
        assert polled.ask().fault is UNREACHABLE
    assert polled.ask().health is FRESH


class _Swapped:
    """For as long as it lasts another authority signs what the server presents."""

    def __init__(self, partner: Partner, other: Authority) -> None:
        self._partner, self._other = partner, other

    def __enter__(self) -> None:
        self._own, self._partner.server.authority = self._partner.server.authority, self._other

    def __exit__(self, *_: object) -> None:
        self._partner.server.authority = self._own


@pytest.mark.parametrize(
    ("spiffe_id", "fine"),
    [
        ("spiffe://partner.example/spire/server", True),
        ("spiffe://partner.example/spire/server2", False),
        ("spiffe://partner.example/ns/web/sa/api", False),
    ],
)
def test_the_server_is_exactly_the_one_that_is_configured(partner: Partner, spiffe_id: str, fine: bool) -> None:
    polled = partner.poller(spiffe_id=spiffe_id)
    assert (polled.ask().health is FRESH) is fine
    assert polled.outcomes == ["changed" if fine else "tls"]


def test_another_trust_domains_server_of_the_same_path_is_refused(partner: Partner) -> None:
    """T-12."""
    polled = partner.poller()
    with _Swapped(partner, Authority("other.example")):
        assert polled.ask().health is UNREACHABLE
    assert polled.ask().health is FRESH


def test_a_web_certificate_proves_nothing_here(tmp_path: Path) -> None:
    authority, clock = Authority(PARTNER.name), Clock()
    bootstrap = tmp_path / "first.json"
    bootstrap.write_bytes(authority.bundle_json())
    with BundleEndpoint(authority, WebCa(now=clock.now)) as server:
        endpoint = SpiffeEndpoint(server.url, SpiffeId.parse_workload(server.endpoint_spiffe_id), bootstrap)
        polled = poller(endpoint, clock)
        assert polled.ask().health is UNREACHABLE
        assert polled.outcomes == ["tls"]
        assert polled.status.reason.endswith("is of profile https_web")


def test_an_expired_svid_of_the_server_is_refused(partner: Partner) -> None:
    polled = partner.poller()
    partner.clock.now += 3600
    assert polled.ask().health is UNREACHABLE
    assert "expired" in polled.status.reason


@pytest.mark.parametrize("content", [None, b"", b"{}", b" " * (1024 * 1024 + 1)])
def test_a_bootstrap_bundle_that_cannot_be_read_is_named(partner: Partner, content: bytes | None) -> None:
    if content is None:
        partner.bootstrap.unlink()
    else:
        partner.bootstrap.write_bytes(content)
    polled = partner.poller()
    assert polled.ask().health is UNREACHABLE
    assert str(partner.bootstrap) in polled.status.reason
    partner.write_bootstrap(partner.authority)
    assert polled.ask().health is FRESH


def test_a_server_of_another_trust_domain_proves_itself_by_that_ones_bundle(partner: Partner) -> None:
    """Both are configured; while the other's bundle is not known, nobody is asked."""
    served = TrustDomain("served.example")
    endpoint = SpiffeEndpoint(partner.server.url, SpiffeId.parse_workload(partner.server.endpoint_spiffe_id))
    polled = poller(partner.endpoint(), partner.clock, others=[PolledOptions(served, endpoint, 3600)])

    def ask() -> BundleHealth:
        assert polled.source.ask_now(served)
        return next(one.health for one in polled.book.statuses(partner.clock.now) if one.trust_domain == served)

    assert ask() is UNREACHABLE
    assert polled.outcomes == ["anchors"]
    polled.ask()
    assert ask() is BundleHealth.SHARED, "it serves its own bundle under the other name"
    assert polled.status.health is BundleHealth.SHARED
    partner.authority.bundle_json = Authority(served.name).bundle_json  # type: ignore[method-assign]
    assert ask() is FRESH, "the cure comes from a server whose own trust domain is refused just then"
    assert polled.status.health is FRESH
