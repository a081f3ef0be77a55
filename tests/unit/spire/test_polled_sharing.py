"""Workers that poll together, through the store: one asks, all know; nobody else can put a bundle there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.model.bundle import BundleHealth
from bridge.model.errors import Unavailable
from bridge.model.polled_bundle import PolledBundle, Wish
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.lanes import Lane
from bridge.spire.polling import DEFAULT_HINT, PolledOptions, WebEndpoint
from bridge.spire.unshared_records import UnsharedRecords
from bridge.store.migrations import create_if_empty
from bridge.store.sqlite import SqliteStore
from tests.contract.records import AUDIT_KEY, NOW
from tests.unit.spire.endpoint_stand import DEADLINE, HINT, PARTNER, SEAL, Web, document, web
from tests.unit.spire.endpoint_stand import poller as make_poller

FRESH, LATE, STALE = BundleHealth.FRESH, BundleHealth.LATE, BundleHealth.STALE
UNREACHABLE, MALFORMED = BundleHealth.UNREACHABLE, BundleHealth.MALFORMED


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path) as stand:
        yield stand


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    create_if_empty(tmp_path / "bridge.db")
    with closing(SqliteStore.open(tmp_path / "bridge.db", audit_key=AUDIT_KEY, clock=lambda: NOW)) as store:
        yield store


def test_what_one_worker_fetched_every_other_follows_without_asking(stand: Web, store: SqliteStore) -> None:
    one, other = stand.poller(store.bundles), stand.poller(store.bundles)
    one.ask()
    other.source.follow()
    assert other.status == replace(one.status, revision=other.status.revision)
    stand.authority.rotate_jwt()
    stand.says_its_bundle()
    one.ask()
    assert other.status.bundle != one.status.bundle
    other.source.follow()
    assert other.status.bundle == one.status.bundle
    assert other.book.live(PARTNER, stand.clock.now).revision > 1
    assert len(stand.server.requests) == 2
    assert other.outcomes == []


def test_a_fault_that_one_worker_met_every_other_shows(stand: Web, store: SqliteStore) -> None:
    one, other = stand.poller(store.bundles), stand.poller(store.bundles)
    one.ask()
    stand.says(b"<html>")
    one.ask()
    other.source.follow()
    assert (other.status.health, other.status.fault) == (LATE, MALFORMED)
    assert other.status.reason == one.status.reason
    stand.says_its_bundle()
    one.ask()
    other.source.follow()
    assert (other.status.health, other.status.fault) == (FRESH, None)


def test_a_start_without_the_endpoint_has_the_last_good_bundle_until_it_is_stale(
    stand: Web, store: SqliteStore
) -> None:
    """SPIFFE-24: counted from when the endpoint last confirmed it, whatever was started since; then 503, and back."""
    before = stand.poller(store.bundles, max_stale=600).ask()
    stand.says(b"", "503 Down")
    stand.clock.now += 599
    after = stand.poller(store.bundles, max_stale=600)
    assert (after.status.bundle, after.status.fetched_at) == (before.bundle, before.fetched_at)
    after.book.live(PARTNER, stand.clock.now)
    stand.clock.now += 1
    again = stand.poller(store.bundles, max_stale=600)
    assert again.status.health is STALE
    with pytest.raises(Unavailable):
        again.book.live(PARTNER, stand.clock.now)
    stand.says_its_bundle()
    assert again.ask().health is FRESH


def test_a_sequence_is_remembered_over_a_restart(stand: Web, store: SqliteStore) -> None:
    """SPIFFE-25, T-20."""
    stand.says_its_bundle(spiffe_sequence=2**64 - 1)
    stand.poller(store.bundles).ask()
    stand.says_its_bundle(spiffe_sequence=2**64 - 2)
    restarted = stand.poller(store.bundles)
    assert (restarted.ask().fault, restarted.outcomes) == (MALFORMED, ["lower_sequence"])


def test_what_another_place_gave_is_not_what_this_place_gives(stand: Web, store: SqliteStore) -> None:
    """The operator pinned another address: nothing of the old one counts, neither keys nor sequence."""
    stand.says_its_bundle(spiffe_sequence=9)
    stand.poller(store.bundles).ask()
    elsewhere = WebEndpoint(stand.server.url("/elsewhere"), str(stand.ca_file))
    moved = stand.poller(store.bundles, elsewhere)
    assert moved.status.health is UNREACHABLE
    stand.says_its_bundle(spiffe_sequence=1)
    assert moved.ask().health is FRESH
    assert stand.poller(store.bundles).status.bundle is not None


def test_a_record_that_this_service_did_not_write_is_not_believed(stand: Web, store: SqliteStore) -> None:
    """T-20: whoever can write the database brings in no keys; the endpoint is asked instead."""
    forger = stand.poller(store.bundles, seal=b"f" * 32)
    stand.says_its_bundle(keys=[], spiffe_sequence=99)
    forger.ask()
    victim = stand.poller(store.bundles)
    assert (victim.status.health, victim.status.bundle) == (MALFORMED, None)
    assert "not written by this service" in victim.status.reason
    stand.says_its_bundle()
    assert victim.ask().health is FRESH, "nor does its sequence count"


def test_a_body_that_is_not_the_one_that_was_fetched_is_not_believed(stand: Web, store: SqliteStore) -> None:
    poller = stand.poller(store.bundles)
    poller.ask()
    found = store.bundles.find(PARTNER.name, stand.endpoint.source)
    assert found is not None
    assert store.bundles.begin(
        PARTNER.name, found.source, holder="x", now=stand.clock.now, until=stand.clock.now + 15, wish=Wish.ORDERED
    )
    assert store.bundles.keep(found, document(stand.authority, keys=[]), holder="x")
    restarted = stand.poller(store.bundles)
    assert (restarted.status.health, restarted.status.bundle) == (MALFORMED, None)
    assert restarted.ask().health is FRESH


def test_running_workers_ask_when_it_is_time_and_all_have_the_change(stand: Web, store: SqliteStore) -> None:
    """SCA-28: by their own threads; the clock is ours."""
    one, other = stand.poller(store.bundles), stand.poller(store.bundles)
    try:
        one.source.start()
        other.source.start()
        for poller in (one, other):
            assert poller.book.wait_until(lambda poller=poller: poller.status.health is FRESH, DEADLINE)  # type: ignore[misc]
        stand.authority.rotate_jwt()
        stand.says_its_bundle()
        asked = len(stand.server.requests)
        assert asked == 1, "one of them, once"
        stand.clock.now += HINT
        for poller in (one, other):
            assert poller.book.wait_until(lambda poller=poller: poller.status.revision > 1, DEADLINE)  # type: ignore[misc]
    finally:
        one.source.close()
        other.source.close()
    assert len(stand.server.requests) == asked + 1


def test_a_start_with_a_shorter_max_stale_asks_at_once_not_when_the_one_before_would_have(
    stand: Web, store: SqliteStore
) -> None:
    """No 503 for an endpoint that is well because its turn was put further off than max_stale."""
    before = stand.poller(store.bundles, max_stale=3600).ask()
    stand.clock.now += HINT // 2
    restarted = stand.poller(store.bundles, max_stale=HINT // 2)
    assert (restarted.status.health, restarted.status.fetched_at) == (STALE, before.fetched_at)
    try:
        restarted.source.start()
        assert restarted.book.wait_until(lambda: restarted.status.health is FRESH, DEADLINE)
    finally:
        restarted.source.close()
    assert restarted.status.fetched_at == stand.clock.now
    assert len(stand.server.requests) == 2


def test_an_unknown_key_has_the_endpoint_asked_once_and_waits_for_what_comes(stand: Web, store: SqliteStore) -> None:
    """SPIFFE-34: one early question in 5 s, whichever worker met the key."""
    one, other = stand.poller(store.bundles), stand.poller(store.bundles)
    one.ask()
    other.source.follow()
    stand.authority.rotate_jwt()
    stand.says_its_bundle()
    one.source.look_early(PARTNER, patience=DEADLINE)
    assert one.status.revision == 2
    for poller in (one, other):
        poller.source.look_early(PARTNER, patience=DEADLINE)
    assert len(stand.server.requests) == 2
    other.source.follow()
    assert other.status.bundle == one.status.bundle
    stand.clock.now += 5
    one.source.look_early(PARTNER, patience=DEADLINE)
    assert len(stand.server.requests) == 3
    one.source.close()
    other.source.close()


def test_who_looks_early_waits_no_longer_than_it_was_told(stand: Web) -> None:
    """T-6: an endpoint that drips holds no request."""
    let_go = threading.Event()
    poller = stand.poller()
    poller.ask()

    def drip(stream: object) -> None:
        let_go.wait(DEADLINE)

    stand.server.answer = drip
    poller.source.look_early(PARTNER, patience=0.05)
    assert poller.outcomes == ["changed"], "the question is still under way"
    let_go.set()
    poller.source.close()


def test_an_ill_endpoint_holds_no_thread_that_a_well_one_needs() -> None:
    held, done = threading.Event(), threading.Event()
    ill, well = Lane("ill", 1), Lane("well", 1)
    ill.put(lambda: held.wait(DEADLINE) and None)
    ill.put(lambda: None)
    well.put(done.set)
    assert done.wait(DEADLINE)
    held.set()
    for lane in (ill, well):
        lane.close(DEADLINE)
        assert not lane.put(done.clear)


def test_keys_that_nobody_has_of_endpoints_that_hang_hold_up_none_of_one_that_is_well(
    stand: Web, tmp_path: Path
) -> None:
    """T-6, SPIFFE-34: whoever names such keys, which anybody can, takes no early question from the others."""
    hanging = [TrustDomain(f"ill{number}.example") for number in range(20)]
    let_go = threading.Event()
    with web(tmp_path) as tarpit:
        tarpit.server.answer = lambda stream: let_go.wait(DEADLINE) and None
        records = UnsharedRecords()
        options = [PolledOptions(one, tarpit.endpoint, 3600) for one in hanging]
        _failed_once(records, options)
        poller = make_poller(stand.endpoint, stand.clock, records, others=options)
        try:
            poller.ask()
            stand.authority.rotate_jwt()
            stand.says_its_bundle()
            for one in hanging:
                poller.source.look_early(one, patience=0)
            poller.source.look_early(PARTNER, patience=DEADLINE)
            well = next(one for one in poller.book.statuses(stand.clock.now) if one.trust_domain == PARTNER)
            assert well.revision == 2
        finally:
            let_go.set()
            poller.source.close()


def _failed_once(records: UnsharedRecords, options: list[PolledOptions]) -> None:
    """As after a first question that failed."""
    for one in options:
        place = PolledBundle(one.trust_domain.name, one.endpoint.source, fault="unreachable", failures=1)
        assert records.begin(place.trust_domain, place.source, holder="x", now=0, until=1, wish=Wish.DUE)
        assert records.keep(place.sealed(SEAL), None, holder="x")


def test_a_hundred_endpoints_that_hang_delay_no_question_to_one_that_is_well(stand: Web, tmp_path: Path) -> None:
    """Issue 6: a trust domain that is ill never affects another; its threads are its own."""
    hanging = [TrustDomain(f"ill{number}.example") for number in range(100)]
    let_go = threading.Event()
    with web(tmp_path) as tarpit:
        tarpit.server.answer = lambda stream: let_go.wait(DEADLINE) and None
        records = UnsharedRecords()
        options = [PolledOptions(one, tarpit.endpoint, 3600) for one in hanging]
        _failed_once(records, options)
        polled = make_poller(stand.endpoint, stand.clock, records, others=options)
        try:
            polled.source.start()
            well = lambda: next(one for one in polled.book.statuses(stand.clock.now) if one.trust_domain == PARTNER)  # noqa: E731
            assert polled.book.wait_until(lambda: well().health is FRESH, DEADLINE)
            stand.clock.now += HINT
            assert polled.book.wait_until(lambda: well().fetched_at == stand.clock.now, DEADLINE)
            assert threading.active_count() < 150
        finally:
            let_go.set()
            polled.source.close()


def test_a_lane_with_a_bound_takes_no_more_than_that_and_survives_a_defect() -> None:
    held, done = threading.Event(), threading.Event()
    lane = Lane("bounded", 1, most_waiting=1)

    def defect() -> None:
        held.wait(DEADLINE)
        raise ValueError("a defect")

    began = threading.Event()
    lane.put(lambda: began.set() or defect())  # type: ignore[func-returns-value]
    assert began.wait(DEADLINE)
    assert lane.put(done.set)
    assert not lane.put(done.set)
    held.set()
    assert done.wait(DEADLINE)
    lane.close(DEADLINE)


@pytest.mark.parametrize(
    ("hint", "max_stale", "expected"),
    [
        pytest.param(None, 86400, DEFAULT_HINT, id="SPIFFE-26-default"),
        pytest.param(600, 86400, 600, id="SPIFFE-26-as-stated"),
        pytest.param(0, 86400, 30, id="SPIFFE-26-below"),
        pytest.param(10**12, 10**9, 86400, id="SPIFFE-26-above"),
        pytest.param(86400, 86400, 43200, id="never-stale-before-it-was-asked-twice"),
        pytest.param(300, 20, 10, id="a-short-max-stale-wins"),
    ],
)
def test_the_hint_says_how_often_within_bounds(hint: int | None, max_stale: int, expected: int) -> None:
    options = PolledOptions(PARTNER, WebEndpoint("https://partner.example/"), max_stale)
    assert options.interval(hint) == expected
    for share in (0.0, 0.5, 1.0):
        pause = options.pause(hint, share)
        assert min(expected, 30) <= pause <= expected
        assert pause >= expected * 0.9 - 1
    retries = [options.retry(hint, failures, has_bundle=True) for failures in (1, 2, 3, 40)]
    assert retries == sorted(retries)
    assert retries[-1] <= expected
    assert options.retry(hint, 1, has_bundle=False) <= 5


def test_a_clock_that_is_set_back_does_not_end_the_polling(stand: Web) -> None:
    """F-5."""
    poller = stand.poller()
    stand.clock.now += 86400
    poller.ask()
    stand.clock.now -= 86400
    poller.source.start()
    try:
        assert poller.book.wait_until(lambda: poller.status.fetched_at == stand.clock.now, DEADLINE)
    finally:
        poller.source.close()
    assert len(stand.server.requests) == 2
