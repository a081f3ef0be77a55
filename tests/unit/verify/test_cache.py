"""Bounded, by revision, successes only."""

from __future__ import annotations

import threading

from bridge.model.bundle import LiveBundle, TrustBundle
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source, VerifiedIdentity
from bridge.model.spiffe_id import SpiffeId, TrustDomain
from bridge.verify.cache import PerBundle, VerificationCache, Verified
from tests.svid_factory import NOW
from tests.trust import WORKLOAD

SUBJECT = PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=SpiffeId.parse(WORKLOAD))
ENTRY = Verified(VerifiedIdentity(SUBJECT, "hash", "kid", NOW, NOW + 60), 1, NOW - 10, NOW + 60)


def key(number: int) -> tuple[str, str]:
    return (f"digest-{number}", "audience")


def test_what_was_put_is_found_under_its_own_key_only() -> None:
    cache = VerificationCache(4)
    cache.put(key(1), ENTRY)
    assert cache.get(key(1)) is ENTRY
    assert cache.get(key(2)) is None
    assert cache.get(("digest-1", "another audience")) is None


def test_the_least_recently_used_entry_makes_room() -> None:
    cache = VerificationCache(2)
    cache.put(key(1), ENTRY)
    cache.put(key(2), ENTRY)
    cache.get(key(1))
    cache.put(key(3), ENTRY)
    assert [cache.get(key(number)) is not None for number in (1, 2, 3)] == [True, False, True]
    assert len(cache) == 2


def test_an_entry_holds_for_one_revision_and_within_its_times() -> None:
    assert VerificationCache.holds(ENTRY, revision=1, now=NOW)
    assert VerificationCache.holds(ENTRY, revision=1, now=NOW - 10)
    assert VerificationCache.holds(ENTRY, revision=1, now=NOW + 59)
    assert not VerificationCache.holds(ENTRY, revision=2, now=NOW)
    assert not VerificationCache.holds(ENTRY, revision=0, now=NOW)
    assert not VerificationCache.holds(ENTRY, revision=1, now=NOW - 11)
    assert not VerificationCache.holds(ENTRY, revision=1, now=NOW + 60)


def test_a_dropped_entry_is_gone_and_may_be_dropped_twice() -> None:
    cache = VerificationCache(2)
    cache.put(key(1), ENTRY)
    cache.drop(key(1))
    cache.drop(key(1))
    assert cache.get(key(1)) is None


def test_threads_never_make_it_larger_than_it_may_be() -> None:
    cache = VerificationCache(16)

    def work(offset: int) -> None:
        for number in range(500):
            cache.put(key(offset + number), ENTRY)
            cache.get(key(offset + number // 2))
            cache.drop(key(offset + number - 3))

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) <= 16


def test_what_is_made_of_a_bundle_is_made_once_a_revision() -> None:
    made: list[str] = []

    def make(bundle: TrustBundle) -> str:
        made.append(bundle.trust_domain.name)
        return bundle.trust_domain.name

    per_bundle = PerBundle(make)
    one, other = (TrustBundle(TrustDomain.parse(name)) for name in ("example.org", "other.example"))
    for live in (
        LiveBundle(one, 1),
        LiveBundle(other, 1),
        LiveBundle(one, 1),
        LiveBundle(one, 2),
        LiveBundle(other, 1),
    ):
        assert per_bundle.of(live) == live.bundle.trust_domain.name
    assert made == ["example.org", "other.example", "example.org"]
