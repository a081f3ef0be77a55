"""From options to running sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.lab.authority import Authority
from bridge.lab.workload_api import WorkloadApi
from bridge.model.bundle import BundleHealth
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.polled_source import Polling
from bridge.spire.polling import FetchedBundle, PolledOptions, WebEndpoint
from bridge.spire.sources import BundleSources, FileSourceOptions, WorkloadApiOptions
from bridge.spire.unshared_records import UnsharedRecords

NOW = 1_800_000_000
DEADLINE = 20.0
A, B, C = (TrustDomain(f"{name}.example") for name in "abc")


def test_trust_domains_of_every_source_end_up_in_one_book(tmp_path: Path) -> None:
    a, b, c = (Authority(td.name, clock=lambda: NOW) for td in (A, B, C))
    path = tmp_path / "c.json"
    path.write_bytes(c.bundle_json())
    with WorkloadApi(a, tmp_path / "a.sock", identities=["/bridge"], federated=[b]) as api:
        endpoint = WorkloadEndpoint.parse(api.address)
        sources = BundleSources(
            [WorkloadApiOptions(A, endpoint, 60), WorkloadApiOptions(B, endpoint, 60), FileSourceOptions(C, path, 60)],
            clock=lambda: NOW,
        )
        sources.start()
        try:
            assert sources.book.wait_until_reported(DEADLINE)
            assert [(s.trust_domain, s.source, s.health) for s in sources.book.statuses(NOW)] == [
                (A, "workload-api", BundleHealth.FRESH),
                (B, "workload-api", BundleHealth.FRESH),
                (C, "file", BundleHealth.FRESH),
            ]
            # Two trust domains of one socket share its two streams.
            assert api.open_streams() == 2
        finally:
            sources.close()


def test_one_trust_domain_cannot_have_two_sources(tmp_path: Path) -> None:
    one = FileSourceOptions(A, tmp_path / "a.json", 60)
    assert BundleSources([one], clock=lambda: NOW).book
    with pytest.raises(ValueError, match="one source"):
        BundleSources([one, one], clock=lambda: NOW)


def test_a_start_need_not_wait_for_many_endpoints_that_were_never_asked() -> None:
    """Of few it waits for each, and for those that were asked before: their bundles are in the store."""
    authority = Authority(A.name, clock=lambda: NOW)
    body = authority.bundle_json()
    polling = Polling(
        records=UnsharedRecords(),
        fetch=lambda endpoint, *, etag, anchors, now: FetchedBundle(body, ""),
        seal_key=b"s" * 32,
        holder="test",
        share=lambda: 0.0,
        asks=False,
    )
    options = [PolledOptions(name, WebEndpoint(f"https://{name}/"), 3600) for name in (A, B, C)]
    sources = BundleSources(options, clock=lambda: NOW, polling=polling)
    assert sources.never_asked(2) == {A, B, C}
    assert sources.never_asked(3) == frozenset()
    assert sources.polled is not None
    assert sources.polled.ask_now(A)
    assert sources.never_asked(1) == {B, C}
    sources.close()
