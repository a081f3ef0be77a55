"""Buckets that anybody may spend: one key of one limit each, shared by all workers."""

from __future__ import annotations

from bridge.model.audit import AuditEventKind
from bridge.store.ports import Store
from tests.contract.places import Place
from tests.contract.records import IDLE, NOW, event

LIMIT = "anonymous_per_minute"
HERE, THERE = "192.0.2.1", "2001:db8:1::/48"


def spend(store: Store, key: str = HERE, *, now: int = NOW, per_minute: int = 60, burst: int = 3) -> int:
    return store.buckets.spend(LIMIT, key, per_minute=per_minute, burst=burst, now=now)


def sweep(store: Store, now: int) -> None:
    store.clients.sweep(
        now=now, keep_ended=IDLE, pending_expiry=IDLE, batch=9, event=lambda record: event(AuditEventKind.EXPIRED)
    )


def test_a_bucket_gives_its_burst_and_then_says_how_long_to_wait(store: Store) -> None:
    """DCR-22: per key; the neighbour's is full."""
    assert [spend(store) for _ in range(5)] == [0, 0, 0, 1, 1]
    assert [spend(store, THERE) for _ in range(4)] == [0, 0, 0, 1]
    assert [spend(store, now=NOW + 1) for _ in range(2)] == [0, 1]
    assert [spend(store, now=NOW + 600) for _ in range(4)] == [0, 0, 0, 1]


def test_rates_per_minute_add_up_exactly(store: Store) -> None:
    """Seven a minute is no whole number of seconds each; an hour of asking each second gives 420 and the burst."""
    given = sum(spend(store, now=NOW + second, per_minute=7, burst=2) == 0 for second in range(3601))
    assert given == 7 * 60 + 2


def test_another_process_sees_what_was_spent(store: Store, place: Place) -> None:
    other = place.open()
    assert [spend(one) for one in (store, other, store, other, store)] == [0, 0, 0, 1, 1]


def test_limits_that_an_operator_raised_hold_at_once(store: Store) -> None:
    for _ in range(3):
        spend(store, per_minute=1)
    assert spend(store, per_minute=1) == 60
    assert spend(store, now=NOW + 1, per_minute=600) == 0


def test_a_clock_that_was_set_back_does_not_close_the_door(store: Store) -> None:
    """F-5: also where the rate is less than one a second, and a clock that is a little behind gets nothing."""
    ahead = NOW + 86_400
    assert [spend(store, now=ahead, per_minute=1, burst=1) for _ in range(2)] == [0, 60]
    assert spend(store, now=ahead - 30, per_minute=1, burst=1) == 90
    assert [spend(store, now=NOW, per_minute=1, burst=1) for _ in range(2)] == [0, 60]
    assert spend(store, now=NOW + 60, per_minute=1, burst=1) == 0


def test_a_limit_of_nothing_gives_nothing(store: Store) -> None:
    assert spend(store, burst=0) == 60
    assert spend(store, per_minute=0, burst=1) == 0
    assert spend(store, per_minute=0, burst=1, now=NOW + 1) > 0


def test_the_use_of_buckets_is_told_until_they_are_full(store: Store) -> None:
    spend(store)
    spend(store, THERE)
    spend(store, THERE)
    store.buckets.spend("another", "key", per_minute=60, burst=9, now=NOW)
    assert store.buckets.use(now=NOW) == [
        (LIMIT, THERE, 1, 3),
        (LIMIT, HERE, 2, 3),
        ("another", "key", 8, 9),
    ]
    assert store.buckets.use(now=NOW + 1) == [(LIMIT, THERE, 2, 3)]
    assert store.buckets.use(now=NOW + 2) == []


def test_a_sweep_takes_full_buckets_and_leaves_the_others(store: Store) -> None:
    """T-42: keys come from outside, so none may stay for ever."""
    spend(store)
    for _ in range(3):
        spend(store, THERE, per_minute=1)
    sweep(store, NOW + 100)
    assert spend(store, THERE, per_minute=1, now=NOW + 100) == 0
    assert spend(store, THERE, per_minute=1, now=NOW + 100) == 20
    assert store.buckets.use(now=NOW + 40) == [(LIMIT, THERE, 0, 3)], "seen from before, the other one is gone"
