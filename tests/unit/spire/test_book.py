"""The bundles in force: what is live, when it is late or stale, what changes a revision (SPIFFE-23, SPIFFE-24)."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from bridge.model.bundle import BundleHealth, JwtAuthority, TrustBundle
from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook, BundleChange, TrackedTrustDomain, fingerprint

A, B = TrustDomain("a.example"), TrustDomain("b.example")
NOW = 1_800_000_000
MAX_STALE = 3600
CONFIRM_EVERY = 10
K1, K2 = JwtAuthority("k1", '{"n":1}'), JwtAuthority("k2", '{"n":2}')
FULL = TrustBundle(A, (b"ca-1",), (K1,), sequence=4)


@pytest.fixture
def book() -> BundleBook:
    return BundleBook(TrackedTrustDomain(td, "file", MAX_STALE, CONFIRM_EVERY) for td in (A, B))


def health(book: BundleBook, now: int = NOW, trust_domain: TrustDomain = A) -> BundleHealth:
    return next(s.health for s in book.statuses(now) if s.trust_domain == trust_domain)


def reason(book: BundleBook, now: int = NOW) -> str:
    return book.statuses(now)[0].reason


def test_a_published_bundle_is_live(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    assert book.live(A, NOW).bundle == FULL
    assert health(book) is BundleHealth.FRESH


def test_a_trust_domain_nobody_configured_is_refused_and_not_unavailable(book: BundleBook) -> None:
    with pytest.raises(EvidenceRejected) as refused:
        book.live(TrustDomain("c.example"), NOW)
    assert refused.value.reason is Reason.TRUST_DOMAIN_UNKNOWN


def test_a_bundle_never_read_is_unavailable(book: BundleBook) -> None:
    with pytest.raises(Unavailable):
        book.live(A, NOW)
    assert health(book) is BundleHealth.UNREACHABLE


def test_one_trust_domains_bundle_never_answers_for_another_SCA_27(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    with pytest.raises(Unavailable):
        book.live(B, NOW)


def test_the_last_good_bundle_serves_until_max_stale_and_not_a_second_longer_SPIFFE_24(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    book.fail(A, BundleHealth.UNREACHABLE, "gone")
    assert book.live(A, NOW + MAX_STALE - 1).bundle == FULL
    assert health(book, NOW + MAX_STALE - 1) is BundleHealth.LATE
    with pytest.raises(Unavailable):
        book.live(A, NOW + MAX_STALE)
    assert health(book, NOW + MAX_STALE) is BundleHealth.STALE


def test_a_confirmation_moves_the_end(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    book.publish(FULL, confirmed_at=NOW + 100)
    assert book.live(A, NOW + MAX_STALE).bundle == FULL
    assert book.statuses(NOW + 100)[0].stale_at == NOW + 100 + MAX_STALE


def test_a_silent_source_is_late_though_it_reports_no_fault(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    assert health(book, NOW + 3 * CONFIRM_EVERY - 1) is BundleHealth.FRESH
    assert health(book, NOW + 3 * CONFIRM_EVERY) is BundleHealth.LATE


def test_a_malformed_read_keeps_the_last_good_bundle_and_says_so_T_20(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    book.fail(A, BundleHealth.MALFORMED, "not JSON")
    assert book.live(A, NOW).bundle == FULL
    assert (health(book), reason(book)) == (BundleHealth.LATE, "malformed: not JSON")


def test_without_a_last_good_bundle_the_fault_itself_is_the_state(book: BundleBook) -> None:
    book.fail(A, BundleHealth.MALFORMED, "not JSON")
    assert (health(book), reason(book)) == (BundleHealth.MALFORMED, "not JSON")
    with pytest.raises(Unavailable, match="not JSON"):
        book.live(A, NOW)


def test_a_good_read_ends_a_fault(book: BundleBook) -> None:
    book.fail(A, BundleHealth.MALFORMED, "not JSON")
    book.publish(FULL, confirmed_at=NOW)
    assert (health(book), reason(book)) == (BundleHealth.FRESH, "")


def test_what_befalls_a_bundle_and_its_end_are_both_said_once(
    book: BundleBook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bridge.spire")
    book.fail(A, BundleHealth.UNREACHABLE, "no file")
    book.publish(FULL, confirmed_at=NOW)
    book.publish(FULL, confirmed_at=NOW + 5)
    book.fail(A, BundleHealth.MALFORMED, "not JSON")
    book.fail(A, BundleHealth.MALFORMED, "not JSON")
    book.publish(FULL, confirmed_at=NOW + 10)
    book.publish(TrustBundle(A), confirmed_at=NOW + 10)
    book.publish(TrustBundle(A), confirmed_at=NOW + 15)
    book.publish(FULL, confirmed_at=NOW + 20)
    book.publish(FULL, confirmed_at=NOW + 20 + MAX_STALE)
    said = [m.removeprefix("trust bundle of a.example ") for m in caplog.messages if "changed:" not in m]
    assert said == [
        "is unreachable: no file; there is no earlier one",
        "is fresh again",
        "is malformed: not JSON; the last good one stays in force",
        "is fresh again",
        "is empty: nothing of it is trusted",
        "is fresh again",
        "is fresh again",
    ]


def test_each_report_of_a_source_counts(book: BundleBook) -> None:
    before = book.reports()
    book.publish(FULL, confirmed_at=NOW)
    book.publish(FULL, confirmed_at=NOW)
    book.fail(B, BundleHealth.MALFORMED, "not JSON")
    assert [after - was for was, after in zip(before, book.reports(), strict=True)] == [2, 1]


def test_an_empty_bundle_replaces_a_full_one_and_is_served_as_empty_SPIFFE_23(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    book.publish(TrustBundle(A), confirmed_at=NOW)
    assert book.live(A, NOW).bundle.is_empty
    assert health(book) is BundleHealth.EMPTY
    assert book.anchors().certificates == ()


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        pytest.param(replace(FULL, sequence=5, refresh_hint=60), False, id="sequence-and-hint"),
        pytest.param(replace(FULL, x509_authorities=(b"ca-1", b"ca-2")), True, id="ca-added"),
        pytest.param(replace(FULL, x509_authorities=()), True, id="ca-removed"),
        pytest.param(replace(FULL, jwt_authorities=(K1, K2)), True, id="jwt-key-added"),
        pytest.param(
            replace(FULL, jwt_authorities=(replace(K1, jwk="{}"),)), True, id="jwt-key-replaced-under-its-name"
        ),
        pytest.param(replace(FULL, jwt_authorities=(replace(K1, key_id="k2"),)), True, id="jwt-key-renamed"),
    ],
)
def test_the_revision_changes_if_and_only_if_the_keys_do(book: BundleBook, after: TrustBundle, changes: bool) -> None:
    book.publish(FULL, confirmed_at=NOW)
    before = book.live(A, NOW).revision
    book.publish(after, confirmed_at=NOW)
    assert (book.live(A, NOW).revision != before) is changes
    assert book.live(A, NOW).bundle == after


def test_the_order_of_keys_is_no_change(book: BundleBook) -> None:
    book.publish(replace(FULL, x509_authorities=(b"1", b"2"), jwt_authorities=(K1, K2)), confirmed_at=NOW)
    before = book.live(A, NOW).revision
    book.publish(replace(FULL, x509_authorities=(b"2", b"1"), jwt_authorities=(K2, K1)), confirmed_at=NOW)
    assert book.live(A, NOW).revision == before


def test_a_revision_is_never_used_twice_even_when_keys_come_back(book: BundleBook) -> None:
    seen = []
    for bundle in (FULL, TrustBundle(A), FULL, TrustBundle(B, (b"x",))):
        book.publish(bundle, confirmed_at=NOW)
        seen.append(book.live(bundle.trust_domain, NOW).revision)
    assert len(set(seen)) == 4


def test_anchors_are_the_union_and_keep_stale_bundles(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW - 2 * MAX_STALE)
    first = book.anchors()
    book.publish(TrustBundle(B, (b"ca-b",)), confirmed_at=NOW)
    assert set(book.anchors().certificates) == {b"ca-1", b"ca-b"}
    assert book.anchors().revision > first.revision


def test_a_change_of_jwt_keys_leaves_the_anchors_revision_alone(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    before = book.anchors()
    book.publish(replace(FULL, jwt_authorities=(K2,)), confirmed_at=NOW)
    assert book.anchors() == before


def test_a_listener_hears_what_was_added_and_removed(book: BundleBook) -> None:
    heard: list[BundleChange] = []
    book.on_change(heard.append)
    book.publish(FULL, confirmed_at=NOW)
    book.publish(FULL, confirmed_at=NOW + 1)
    book.publish(replace(FULL, x509_authorities=(b"ca-2",), jwt_authorities=(K1, K2)), confirmed_at=NOW)
    assert len(heard) == 2
    assert heard[1].x509_added == (fingerprint(b"ca-2"),)
    assert heard[1].x509_removed == (fingerprint(b"ca-1"),)
    assert (heard[1].jwt_added, heard[1].jwt_removed) == (("k2",), ())
    assert heard[1].revision == book.live(A, NOW).revision
    assert (heard[1].sequence, heard[1].source) == (4, "file")


def test_a_listener_that_cannot_record_does_not_hold_up_the_change(book: BundleBook) -> None:
    def full_disk(_: BundleChange) -> None:
        raise Unavailable(Reason.STORE_UNAVAILABLE)

    book.on_change(full_disk)
    book.publish(FULL, confirmed_at=NOW)
    assert book.live(A, NOW).bundle == FULL


def test_somebody_who_waits_is_woken_by_a_report(book: BundleBook) -> None:
    reporter = threading.Thread(
        target=lambda: (book.publish(FULL, confirmed_at=NOW), book.fail(B, BundleHealth.UNREACHABLE, "gone"))
    )
    reporter.start()
    assert book.wait_until_reported(10)
    reporter.join()
    assert not book.wait_until(lambda: False, 0.01)


def test_who_need_not_report_is_not_waited_for(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    assert not book.wait_until_reported(0.01)
    assert book.wait_until_reported(10, but_for={B})


def test_the_status_shows_source_and_times(book: BundleBook) -> None:
    book.publish(FULL, confirmed_at=NOW)
    status = book.statuses(NOW)[0]
    assert (status.source, status.bundle) == ("file", FULL)
    assert (status.fetched_at, status.refresh_at, status.stale_at) == (NOW, NOW + CONFIRM_EVERY, NOW + MAX_STALE)
    assert [s.trust_domain.name for s in book.statuses(NOW)] == ["a.example", "b.example"]
