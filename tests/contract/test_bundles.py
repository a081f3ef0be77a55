"""Bundles fetched from endpoints, which all workers share, and who may ask an endpoint now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.polled_bundle import PolledBundle, Wish
from bridge.store.ports import Store
from tests.contract.places import Place
from tests.contract.racers import race
from tests.contract.records import NOW

DOMAIN, SOURCE = "partner.example", "https_web https://partner.example/bundle"
ME, OTHER = "worker-1", "worker-2"
KEY = b"k" * 32
GOOD = PolledBundle(
    DOMAIN,
    SOURCE,
    digest="d" * 64,
    etag='"1"',
    sequence=2**64 - 1,
    confirmed_at=NOW,
    asked_at=NOW,
    refresh_at=NOW + 300,
    bootstrap="b" * 64,
).sealed(KEY)


def begin(
    store: Store, holder: str = ME, *, now: int = NOW, until: int | None = None, wish: Wish = Wish.DUE
) -> PolledBundle | None:
    return store.bundles.begin(DOMAIN, SOURCE, holder=holder, now=now, until=until or now + 15, wish=wish)


def keep(store: Store, polled: PolledBundle = GOOD, body: bytes | None = b"{}", *, now: int = NOW) -> None:
    assert begin(store, now=now, wish=Wish.ORDERED) is not None
    assert store.bundles.keep(polled, body, holder=ME)


def test_what_one_worker_fetched_every_other_finds_and_so_does_a_restart(store: Store, place: Place) -> None:
    """SPIFFE-24: a start without the endpoint has the last good bundle, its sequence and its times."""
    assert store.bundles.find(DOMAIN, SOURCE) is None
    assert store.bundles.body(DOMAIN, SOURCE) is None
    keep(store, body=b'{"keys": []}')
    other = place.open()
    found = other.bundles.find(DOMAIN, SOURCE)
    assert found == replace(GOOD, version=1)
    assert found is not None
    assert found.is_sealed(KEY)
    assert other.bundles.body(DOMAIN, SOURCE) == b'{"keys": []}'


def test_a_question_without_a_new_body_leaves_the_one_that_is_there(store: Store) -> None:
    keep(store, body=b'{"keys": []}')
    keep(store, replace(GOOD, fault="unreachable", reason="down", failures=1), None, now=NOW + 300)
    found = store.bundles.find(DOMAIN, SOURCE)
    assert found is not None
    assert (found.digest, found.fault, found.failures) == (GOOD.digest, "unreachable", 1)
    assert store.bundles.body(DOMAIN, SOURCE) == b'{"keys": []}'


def test_a_bundle_belongs_to_one_trust_domain_and_one_place(store: Store) -> None:
    """SCA-27, SPIFFE-28: another trust domain at the same address, or another address, is another record."""
    keep(store)
    assert store.bundles.find("other.example", SOURCE) is None
    assert store.bundles.find(DOMAIN, SOURCE + "/") is None


def test_changes_are_followed_in_the_order_in_which_they_were_made(store: Store) -> None:
    names = ["b.example", "a.example", "c.example"]
    for name in names:
        store.bundles.begin(name, SOURCE, holder=ME, now=NOW, until=NOW + 15, wish=Wish.DUE)
        assert store.bundles.changed_since(0, limit=9) == [] or name != names[0], "asking alone is no change"
        store.bundles.keep(replace(GOOD, trust_domain=name), b"{}", holder=ME)
    first = store.bundles.changed_since(0, limit=2)
    assert [one.trust_domain for one in first] == names[:2]
    assert [one.trust_domain for one in store.bundles.changed_since(first[-1].version, limit=2)] == names[2:]
    last = store.bundles.changed_since(0, limit=9)[-1].version
    assert store.bundles.changed_since(last, limit=9) == []


def test_one_at_a_time_asks_until_its_answer_is_kept(store: Store, place: Place) -> None:
    other = place.open()
    assert begin(store) is not None
    assert begin(other, OTHER) is None
    assert begin(store) is None, "nor its own holder"
    assert begin(other, OTHER, wish=Wish.ORDERED) is None
    assert store.bundles.keep(replace(GOOD, refresh_at=NOW), b"{}", holder=ME)
    assert begin(other, OTHER) is not None


def test_the_right_of_who_died_ends_and_who_comes_too_late_writes_nothing(store: Store) -> None:
    """SPIFFE-25: an answer that was on its way for too long must not come after a younger one."""
    assert begin(store) is not None
    assert begin(store, OTHER, now=NOW + 14) is None
    assert begin(store, OTHER, now=NOW + 15) is not None
    assert not store.bundles.keep(GOOD, b"{}", holder=ME)
    assert store.bundles.body(DOMAIN, SOURCE) is None
    assert store.bundles.keep(GOOD, b"{}", holder=OTHER)


def test_nobody_asks_before_it_is_time_and_somebody_does_then(store: Store) -> None:
    """SCA-28, SPIFFE-26."""
    keep(store)
    assert begin(store, now=NOW + 299) is None
    found = begin(store, now=NOW + 300)
    assert found == replace(GOOD, version=1)


def test_an_unknown_key_has_the_endpoint_asked_once_in_five_seconds_over_all_workers(
    store: Store, place: Place
) -> None:
    """SPIFFE-34."""
    keep(store)
    other = place.open()
    assert begin(other, OTHER, now=NOW + 1, wish=Wish.EARLY) is not None, "a question that was due spends nothing"
    assert other.bundles.keep(replace(GOOD, asked_at=NOW + 1), None, holder=OTHER)
    assert begin(store, now=NOW + 5, wish=Wish.EARLY) is None
    assert begin(store, now=NOW + 6, wish=Wish.EARLY) is not None
    assert store.bundles.keep(replace(GOOD, asked_at=NOW + 6), None, holder=ME)
    assert begin(other, OTHER, now=NOW + 7, wish=Wish.ORDERED) is not None, "an operator waits for nothing"


def test_an_endpoint_that_was_never_asked_may_be_asked_for_any_reason(store: Store) -> None:
    assert begin(store, wish=Wish.EARLY) is not None


def test_a_clock_that_was_set_back_holds_nobody_off(store: Store) -> None:
    """F-5: neither a right nor a time to come from before."""
    later = NOW + 86_400
    keep(store, replace(GOOD, asked_at=later, refresh_at=later + 300), now=later)
    assert begin(store, now=NOW) is not None
    assert store.bundles.keep(replace(GOOD, refresh_at=NOW), None, holder=ME)
    assert begin(store, OTHER, now=NOW, until=later + 15) is not None
    assert begin(store, now=NOW) is not None
    assert store.bundles.keep(GOOD, None, holder=ME)
    assert begin(store, now=later, wish=Wish.EARLY) is not None
    assert store.bundles.keep(GOOD, None, holder=ME)
    assert begin(store, now=NOW, wish=Wish.ORDERED) is not None
    assert store.bundles.keep(GOOD, None, holder=ME)
    assert begin(store, now=NOW + 5, wish=Wish.EARLY) is not None


def test_a_sweep_takes_places_that_nobody_asks_any_more_and_no_version_comes_twice(store: Store) -> None:
    keep(store)
    assert store.bundles.sweep(before=NOW - 1, batch=9) == 0
    assert store.bundles.sweep(before=NOW, batch=9) == 1
    assert store.bundles.find(DOMAIN, SOURCE) is None
    keep(store, now=NOW + 1)
    assert [one.version for one in store.bundles.changed_since(1, limit=9)] == [2]


@pytest.mark.parametrize("change", ["digest", "sequence", "confirmed_at", "bootstrap", "source", "trust_domain"])
def test_a_record_that_somebody_else_wrote_is_told_from_ours(change: str) -> None:
    """T-20: whoever can write the database can neither bring in keys nor prolong the life of old ones."""
    value = 1 if change in ("sequence", "confirmed_at") else "x"
    assert GOOD.is_sealed(KEY)
    assert not GOOD.is_sealed(b"o" * 32)
    assert not replace(GOOD, **{change: value}).is_sealed(KEY)


def ask(store: Store, number: int) -> object:
    return begin(store, str(number))


def test_one_of_many_at_once_gets_the_right(place: Place) -> None:
    assert sum(one is not None for one in race(place, ask, rounds=1)) == 1
