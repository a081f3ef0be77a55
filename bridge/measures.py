"""What `/metrics` shows of the store: how many records there are, and how much of each limit is used.

Trust domains and rules are the operator's own words and stand as labels. Identities, addresses and the issuers of
statements do not: of their buckets only the fullest use and the number of empty ones is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from bridge.observe import metrics
from bridge.registration.limit_uses import LIMITS, bucket_uses, request_use, room_uses
from bridge.store.admission import OF_RULE, REGISTRATIONS
from bridge.store.ports import RegistrationLimits, Store

# So many trust domains are shown whether or not anybody has a record in them.
SHOWN_WITHOUT_RECORDS = 50
# Limit, trust domain, rule; a label that says nothing is empty.
_Labels = tuple[str, str, str]


class Measures:
    """Sets the gauges of records and limits. One per worker: every worker sees the same store."""

    def __init__(
        self,
        store: Store,
        *,
        limits: Callable[[str | None], RegistrationLimits],
        trust_domains: frozenset[str],
    ) -> None:
        """`limits` gives those of a trust domain, or of clients without one; `trust_domains` the configured ones."""
        self._store, self._limits, self._trust_domains = store, limits, trust_domains
        # From 0 on: Prometheus sees no increase in a series that begins with 1.
        for limit in LIMITS:
            metrics.limit_refusals.labels(limit).inc(0)
        # What was shown before. A bucket that filled up is not told of any more, and its use is 0 then.
        self._shown: set[_Labels] = set()
        self._emptied: set[str] = set()
        # Trust domains that are shown. Of a thousand only those that had a record once: five series of zeros for each
        # of the others would make most of a scrape.
        self._inhabited = set(trust_domains if len(trust_domains) <= SHOWN_WITHOUT_RECORDS else ())

    def take(self, at: int) -> None:
        """Look once. Raises: Unavailable."""
        for (kind, state), number in self._store.clients.count_by_state().items():
            metrics.records.labels(kind, state.value).set(number)
        flow = self._store.grants.counts()
        for what, number in flow.items():
            metrics.flow.labels(what).set(number)
        used = self._rooms()
        waiting = request_use(flow["requests"])
        used[waiting.limit, "", ""] = waiting.share
        empty = self._buckets(used, at)
        for labels in used.keys() | self._shown:
            metrics.limit_used.labels(*labels).set(used.get(labels, 0.0))
        for limit in empty.keys() | self._emptied:
            metrics.limit_empty.labels(limit).set(empty[limit])
        self._shown, self._emptied = set(used), set(empty)

    def _rooms(self) -> dict[_Labels, float]:
        """Live records and those that wait for an operator, against their limits."""
        used: dict[_Labels, float] = {}
        counts = self._store.clients.count_live()
        self._inhabited |= {name for name, (live, _) in counts.items() if live and name in self._trust_domains}
        for use in room_uses(counts, self._inhabited, self._trust_domains, self._limits):
            _raise_to(used, (use.limit, use.key if use.key in self._trust_domains else "", ""), use.share)
        for name in self._trust_domains & (self._inhabited | counts.keys()):
            live, pending = counts.get(name, (0, 0))
            used[REGISTRATIONS, name, ""] = 0.0
            metrics.live_records.labels(name, "active").set(live - pending)
            metrics.live_records.labels(name, "pending").set(pending)
        return used

    def _buckets(self, used: dict[_Labels, float], at: int) -> Counter[str]:
        """What was taken out of the buckets, added to `used`. The answer is how many of those that are not shown
        one by one are empty, by limit."""
        empty: Counter[str] = Counter()
        for use in bucket_uses(self._store.buckets, at):
            labels = self._labels(use.limit, use.key)
            _raise_to(used, labels, use.share)
            if labels == (use.limit, "", ""):
                empty[use.limit] += use.used == use.most
        return empty

    def _labels(self, limit: str, key: str) -> _Labels:
        """A key becomes a label where it is known to be a trust domain or a rule, and nowhere else."""
        if limit == REGISTRATIONS and key in self._trust_domains:
            return limit, key, ""
        return (limit, "", key) if limit == OF_RULE else (limit, "", "")


def _raise_to(used: dict[_Labels, float], labels: _Labels, share: float) -> None:
    """Of those that share their labels the fullest is shown."""
    used[labels] = max(share, used.get(labels, 0.0))
