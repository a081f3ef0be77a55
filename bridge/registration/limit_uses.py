"""How much of each limit is used, and by whom: for metrics, which show no identity, and for operators, who may."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from bridge.registration.noise import ANONYMOUS
from bridge.store.admission import INSTANCES, OF_IDENTITY, OF_RULE, PENDING, RECORDS, REGISTRATIONS
from bridge.store.claims import MARKERS
from bridge.store.ports import BucketStore, RegistrationLimits, Store
from bridge.store.requests import REQUEST_LIMIT, WAITING

# All that `LimitReached.limit` can be.
LIMITS = (RECORDS, PENDING, INSTANCES, REGISTRATIONS, OF_RULE, OF_IDENTITY, ANONYMOUS, WAITING, MARKERS)


@dataclass(frozen=True, slots=True)
class LimitUse:
    """`used` of `most`. `limit` is the name that configuration and refusals have for it, `key` whose it is: a trust
    domain, a rule, an identity, a source address, or whoever else a limit counts for; empty where it is everybody's."""

    limit: str
    key: str
    used: int
    most: int

    @property
    def share(self) -> float:
        """The used part, 1.0 when nothing is left."""
        return self.used / self.most if self.most > 0 else 1.0


def room_uses(
    counts: Mapping[str, tuple[int, int]],
    names: Collection[str],
    trust_domains: Collection[str],
    limits: Callable[[str | None], RegistrationLimits],
) -> Iterator[LimitUse]:
    """Live records and those that wait for an operator, of everybody in `counts` (`ClientStore.count_live`) and in
    `names`. `limits` gives those of a trust domain, or of clients without one."""
    for name in {*names, *counts}:
        live, pending = counts.get(name, (0, 0))
        own = limits(name if name in trust_domains else None)
        yield LimitUse(RECORDS, name, live, own.records)
        yield LimitUse(PENDING, name, pending, own.pending)


def bucket_uses(buckets: BucketStore, now: int) -> Iterator[LimitUse]:
    """What was taken out of the buckets that are not full; of each limit a bounded number. Raises: Unavailable."""
    for limit, key, level, burst in buckets.use(now=now):
        yield LimitUse(limit, key, burst - level, burst)


def request_use(waiting: int) -> LimitUse:
    """Authorization requests between client and user."""
    return LimitUse(WAITING, "", waiting, REQUEST_LIMIT)


def limit_uses(
    store: Store, trust_domains: Collection[str], limits: Callable[[str | None], RegistrationLimits], *, now: int
) -> list[LimitUse]:
    """All that is used of anything, the fullest first. Raises: Unavailable."""
    rooms = room_uses(store.clients.count_live(), (), trust_domains, limits)
    found = [*rooms, *bucket_uses(store.buckets, now), request_use(store.grants.counts()["requests"])]
    return sorted((use for use in found if use.used), key=lambda use: (-use.share, use.limit, use.key))
