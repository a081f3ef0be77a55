"""Token buckets that all workers share."""

from __future__ import annotations

from typing import cast

from bridge.store import statements as sql
from bridge.store.connections import Readers
from bridge.store.exhausted import Exhausted
from bridge.store.group_commit import GroupCommit
from bridge.store.limits import PARTS, Bucket, Rate
from bridge.store.transaction import Transaction

# Of each kind, the emptiest: a flood from many addresses is not to flood the metrics, too.
SHOWN_PER_KIND = 200


class SqliteBuckets:
    """See `ports.BucketStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit, exhausted: Exhausted) -> None:
        self._readers, self._commit, self._exhausted = readers, commit, exhausted

    def spend(self, kind: str, key: str, *, per_minute: int, burst: int, now: int) -> int:
        """As the port says. A bucket that this process saw empty is not asked for again until it fills."""
        rate = Rate(kind, key, per_minute, burst)
        wait = self._exhausted.wait(rate, now=now)
        if wait:
            return wait
        wait = cast(int, self._commit.submit(lambda tx: _spend(tx, rate, now)))
        if wait:
            self._exhausted.note_dry(rate, now=now, wait=wait)
        return wait

    def use(self, *, now: int) -> list[tuple[str, str, int, int]]:
        """As the port says; whole tokens, and of each kind at most two hundred, those that fill up last."""
        found = []
        kind = ""
        while row := self._readers.row(sql.NEXT_KIND_OF_BUCKET, (kind,)):
            kind = row[0]
            for key, level, filled_at, per_minute, burst in self._readers.rows(
                sql.BUCKETS_IN_USE, (kind, now, SHOWN_PER_KIND)
            ):
                level, _ = Bucket(level, filled_at).level_at(Rate(kind, key, per_minute, burst), now)
                found.append((kind, key, level // PARTS, burst))
        return found


def _spend(tx: Transaction, rate: Rate, now: int) -> int:
    wait = tx.bucket(rate).wait(rate, now)
    if not wait:
        tx.spend(rate, now=now)
    return wait
