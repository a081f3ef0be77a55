"""What a process remembers of limits that were reached: a flood of refusals does not reach the writer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.audit import AuditEventKind
from bridge.model.errors import IdentityDenied, LimitReached
from bridge.store.exhausted import Exhausted
from bridge.store.group_commit import GroupCommit
from bridge.store.limits import CLOCK_TOLERANCE, PARTS, Bucket, Rate
from bridge.store.sqlite import SqliteStore
from tests.contract.places import SqlitePlace
from tests.contract.records import API, NOW, WIDE, ensure, event, instance, spiffe

RATE = Rate("registrations_per_second", "example.org", 60, 3)


class Writes:
    """Counts what is handed to the writer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen = 0
        begin = GroupCommit.begin

        def counted(commit: GroupCommit, work):  # type: ignore[no-untyped-def]
            self.seen += 1
            return begin(commit, work)

        monkeypatch.setattr(GroupCommit, "begin", counted)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(monkeypatch)


def refused(store: SqliteStore, number: int, limits, *, now: int = NOW) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(LimitReached) as caught:
        ensure(store.clients, instance(number), limits=limits, now=now, lease=now + 100)
    return caught.value.limit


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (replace(WIDE, per_second=1, burst=1), "registrations_per_second"),
        (replace(WIDE, rule_per_second=1, rule_burst=1), "rule_registrations_per_second"),
        (replace(WIDE, instances=1), "instances_per_identity"),
        (replace(WIDE, records=1), "records_per_trust_domain"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_flood_over_a_limit_reaches_the_writer_once(
    sqlite_store: SqliteStore,
    writes: Writes,
    limits,
    limit: str,  # type: ignore[no-untyped-def]
) -> None:
    """T-41; whoever else registers is not held up by what is remembered."""
    ensure(sqlite_store.clients, instance(0), limits=limits, lease=NOW + 100)
    writes.seen = 0
    assert {refused(sqlite_store, number, limits) for number in range(1, 200)} == {limit}
    assert writes.seen == 1
    elsewhere = spiffe("spiffe://e.test/a", trust_domain="e.test", rule="another")
    assert ensure(sqlite_store.clients, elsewhere, limits=limits).created


def test_a_refused_identity_is_admitted_as_soon_as_there_is_a_token(sqlite_store: SqliteStore) -> None:
    limits = replace(WIDE, per_second=1, burst=1)
    ensure(sqlite_store.clients, instance(0), limits=limits, lease=NOW + 100)
    refused(sqlite_store, 1, limits)
    refused(sqlite_store, 1, limits)
    assert ensure(sqlite_store.clients, instance(1), limits=limits, now=NOW + 1, lease=NOW + 100).created


@pytest.mark.parametrize("limits", [replace(WIDE, records=1), replace(WIDE, instances=1)], ids=["records", "leases"])
def test_room_that_another_process_made_is_seen_at_once(sqlite: SqlitePlace, limits) -> None:  # type: ignore[no-untyped-def]
    store, other = sqlite.open(), sqlite.open()
    ensure(store.clients, instance(0), limits=limits, lease=NOW + 100)
    for _ in range(2):
        refused(store, 1, limits)
    other.clients.revoke("instance-0", event=event(AuditEventKind.REVOKED), now=NOW)
    assert ensure(store.clients, instance(1), limits=limits, now=NOW + 1, lease=NOW + 100).created


def test_a_denied_identity_hears_that_it_is_denied_in_a_flood_too(sqlite_store: SqliteStore) -> None:
    """ROFU-24."""
    limits = replace(WIDE, per_second=1, burst=1)
    ensure(sqlite_store.clients, instance(0), limits=limits, lease=NOW + 100)
    refused(sqlite_store, 1, limits)
    sqlite_store.clients.deny(API, absent=spiffe(), event=event(AuditEventKind.DENIED), now=NOW)
    with pytest.raises(IdentityDenied):
        ensure(sqlite_store.clients, instance(1), limits=limits, lease=NOW + 100)


def test_an_empty_bucket_is_not_asked_for_again(sqlite_store: SqliteStore, writes: Writes) -> None:
    def spend(now: int) -> int:
        return sqlite_store.buckets.spend("anonymous_per_minute", "192.0.2.1", per_minute=6, burst=1, now=now)

    assert [spend(NOW), *(spend(NOW + second) for second in range(10))] == [0, *range(10, 0, -1)]
    assert writes.seen == 2
    assert spend(NOW + 10) == 0


def test_only_so_much_is_remembered() -> None:
    """T-42: the oldest goes; it costs one more question, and no wrong answer."""
    exhausted = Exhausted(max_keys=2)
    rates = [replace(RATE, key=f"{number}") for number in range(3)]
    for rate in rates:
        exhausted.note_dry(rate, now=NOW, wait=5)
        exhausted.note_full(rate.limit, rate.key)
    assert [exhausted.wait(rate, now=NOW + 1) for rate in rates] == [0, 4, 4]
    assert [exhausted.was_full(rate.limit, rate.key) for rate in rates] == [False, True, True]
    exhausted.note_room(RATE.limit, "2")
    assert not exhausted.was_full(RATE.limit, "2")


@pytest.mark.parametrize(
    ("rate", "now", "wait"),
    [
        pytest.param(RATE, NOW, 5, id="at once"),
        pytest.param(RATE, NOW + 4, 1, id="until the end"),
        pytest.param(RATE, NOW + 5, 0, id="and no longer"),
        pytest.param(replace(RATE, per_minute=61), NOW, 0, id="other terms"),
        pytest.param(RATE, NOW - CLOCK_TOLERANCE, 5 + CLOCK_TOLERANCE, id="a clock that is a little behind"),
        pytest.param(RATE, NOW - CLOCK_TOLERANCE - 1, 0, id="a clock that was set back"),
    ],
)
def test_a_bucket_stays_empty_until_it_fills(rate: Rate, now: int, wait: int) -> None:
    exhausted = Exhausted()
    exhausted.note_dry(RATE, now=NOW, wait=5)
    assert exhausted.wait(rate, now=now) == wait


@given(st.integers(1, 5000), st.integers(1, 9), st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_what_is_remembered_is_what_the_bucket_would_say(per_minute: int, burst: int, steps: list[int]) -> None:
    """With the memory in front of it, a bucket answers each question as it does without."""
    rate = Rate("limit", "key", per_minute, burst)
    alone, behind, exhausted, now = Bucket(), Bucket(), Exhausted(), NOW
    for step in steps:
        now += step
        known = exhausted.wait(rate, now=now)
        told = known or behind.wait(rate, now)
        assert told == alone.wait(rate, now)
        if told:
            exhausted.note_dry(rate, now=now, wait=told)
        else:
            alone.take(rate, now)
            behind.take(rate, now)
    assert alone.level == behind.level
    assert alone.level is None or 0 <= alone.level <= burst * PARTS
