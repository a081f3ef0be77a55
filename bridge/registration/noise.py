"""Registrations that nobody vouches for are limited by where they come from (T-41, DCR-22).

Whoever shows no credential has nothing to be told apart by but its address. Such a request costs the store
one small write while the bucket of its address has tokens; after that nothing, and the log one line a minute.
The answer to a verified statement never depends on this.
"""

from __future__ import annotations

import threading
from ipaddress import IPv6Address, IPv6Network, ip_address

from bridge.model.errors import BridgeError, LimitReached
from bridge.store.ports import BucketStore

# As configuration and refusals name it.
ANONYMOUS = "anonymous_per_minute"
# One customer gets at least so much of IPv6, and chooses all the rest of its address.
IPV6_PREFIX = 48
# So many addresses are remembered; of one that is forgotten the store knows.
MAX_ADDRESSES = 10_000
TELL_EVERY_SECONDS = 60
# A clock that went back by more was set: what was noted before says nothing about now.
CLOCK_TOLERANCE = 60


class NoiseLimit:
    """The buckets of source addresses, of `per_minute` tokens a minute and as many at once. Thread-safe."""

    def __init__(self, buckets: BucketStore, *, per_minute: int, max_addresses: int = MAX_ADDRESSES) -> None:
        self._buckets, self._per_minute, self._max_addresses = buckets, per_minute, max_addresses
        self._lock = threading.Lock()
        # Until when each bucket is known to be empty, and when that was last said in the log.
        self._dry: dict[str, tuple[int, int]] = {}

    def spend(self, source_address: str, *, noise: BridgeError, now: int) -> None:
        """Take one token for a request that is refused as `noise`; nothing happens when there is one.

        Raises: LimitReached when there is none, `repeated` when the log was told within the last minute;
        Unavailable. Not checked: whose address it is. It is the connection's peer, no forwarded one.
        """
        key = key_of(source_address)
        until, told_at = self._recall(key, now)
        if until <= now:
            wait = self._buckets.spend(ANONYMOUS, key, per_minute=self._per_minute, burst=self._per_minute, now=now)
            if not wait:
                return
            until = now + wait
        repeated = told_at is not None and now - told_at < TELL_EVERY_SECONDS
        self._note(key, until, told_at if repeated and told_at is not None else now)
        refusal = LimitReached(ANONYMOUS, until - now, f"of {key}; it was {noise.reason.value}", repeated=repeated)
        refusal.claimed = noise.claimed
        raise refusal

    def _recall(self, key: str, now: int) -> tuple[int, int | None]:
        with self._lock:
            until, told_at = self._dry.get(key, (0, now))
            if key not in self._dry or now < told_at - CLOCK_TOLERANCE:
                return 0, None
            return until, told_at

    def _note(self, key: str, until: int, told_at: int) -> None:
        with self._lock:
            self._dry.pop(key, None)
            if len(self._dry) >= self._max_addresses:
                del self._dry[next(iter(self._dry))]
            self._dry[key] = until, told_at


def key_of(source_address: str) -> str:
    """Whose bucket an address takes from: an IPv4 address its own, IPv6 its /48 (interface section 7).

    What is no address, a local socket for instance, shares one bucket.
    """
    try:
        address = ip_address(source_address.partition("%")[0])
    except ValueError:
        return "local"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, IPV6_PREFIX), strict=False))
