"""What nobody vouches for is limited by its source address: T-41, DCR-22."""

from __future__ import annotations

import pytest

from bridge.model.errors import EvidenceRejected, LimitReached
from bridge.model.reasons import Reason
from bridge.registration.noise import ANONYMOUS, NoiseLimit, key_of

NOW = 1_800_000_000
NOISE = EvidenceRejected(Reason.CREDENTIAL_MISSING)
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Buckets:
    """A store's buckets whose tokens are counted down by hand. `asked` is every spend that reached it."""

    def __init__(self, tokens: int) -> None:
        self.tokens = dict.fromkeys((HERE, THERE), tokens)
        self.wait = 7
        self.asked: list[tuple[str, str, int, int]] = []

    def spend(self, kind: str, key: str, *, per_minute: int, burst: int, now: int) -> int:
        self.asked.append((kind, key, per_minute, burst))
        if self.tokens.get(key, 0) == 0:
            return self.wait
        self.tokens[key] -= 1
        return 0

    def use(self, *, now: int) -> list[tuple[str, str, int, int]]:
        return []


def limit_at(noise: NoiseLimit, now: int, address: str = HERE) -> LimitReached | None:
    try:
        noise.spend(address, noise=NOISE, now=now)
    except LimitReached as reached:
        return reached
    return None


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("2001:db8:1:ffff:ffff::", "2001:db8:1::/48"),
        ("2001:db8:2::3", "2001:db8:2::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", "local"),
        ("run/proxy.sock", "local"),
    ],
)
def test_an_ipv4_address_has_a_bucket_and_ipv6_one_per_48(address: str, key: str) -> None:
    assert key_of(address) == key


def test_noise_is_let_through_until_the_bucket_of_its_address_is_empty_DCR_22() -> None:
    buckets = Buckets(2)
    noise = NoiseLimit(buckets, per_minute=60)
    assert limit_at(noise, NOW) is None
    assert limit_at(noise, NOW) is None
    reached = limit_at(noise, NOW)
    assert reached is not None
    assert (reached.limit, reached.retry_after) == (ANONYMOUS, 7)
    assert limit_at(noise, NOW, THERE) is None, "another address has a bucket of its own"
    assert buckets.asked[0] == (ANONYMOUS, HERE, 60, 60)


def test_an_empty_bucket_is_not_asked_for_again_until_it_fills_T_41() -> None:
    buckets = Buckets(0)
    noise = NoiseLimit(buckets, per_minute=60)
    for second in range(7):
        reached = limit_at(noise, NOW + second)
        assert reached is not None
        assert reached.retry_after == 7 - second
    assert len(buckets.asked) == 1
    limit_at(noise, NOW + 7)
    assert len(buckets.asked) == 2


def test_the_log_is_told_once_a_minute_T_41() -> None:
    noise = NoiseLimit(Buckets(0), per_minute=60)
    reached = [limit_at(noise, NOW + second) for second in range(125)]
    told = [second for second, one in enumerate(reached) if one is not None and not one.repeated]
    assert told == [0, 60, 120]


def test_a_clock_that_was_set_back_starts_over_F_5() -> None:
    buckets = Buckets(0)
    noise = NoiseLimit(buckets, per_minute=60)
    limit_at(noise, NOW + 3600)
    buckets.tokens[HERE] = 1
    assert limit_at(noise, NOW) is None


def test_addresses_that_are_remembered_are_bounded_T_41() -> None:
    buckets = Buckets(0)
    noise = NoiseLimit(buckets, per_minute=60, max_addresses=3)
    for last in range(10):
        limit_at(noise, NOW, f"198.51.100.{last}")
    assert len(noise._dry) == 3
    before = len(buckets.asked)
    limit_at(noise, NOW, "198.51.100.9")
    assert len(buckets.asked) == before, "the newest is remembered"
    limit_at(noise, NOW, "198.51.100.0")
    assert len(buckets.asked) == before + 1, "of one that was forgotten the store knows"


def test_the_limit_says_what_the_noise_was_and_what_it_claimed() -> None:
    reached = limit_at(NoiseLimit(Buckets(0), per_minute=60), NOW)
    assert reached is not None
    assert str(reached) == "limit_reached: anonymous_per_minute of 192.0.2.1; it was credential_missing"
    assert reached.public == "limit reached: anonymous_per_minute"
