"""Bundles fetched from endpoints, and the right to ask an endpoint (SPIFFE-24, 25; SCA-28)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from bridge.model.audit import AuditEvent
from bridge.model.polled_bundle import NotedKeys, PolledBundle, Wish
from bridge.store.connections import Readers, Row
from bridge.store.group_commit import GroupCommit
from bridge.store.limits import CLOCK_TOLERANCE
from bridge.store.rows import columns
from bridge.store.transaction import Transaction

# Anybody can name a key that nobody has: a place is asked for that reason at most so often.
EARLY_SECONDS = 5
_EVER = 2**62

FIELDS = (
    "trust_domain", "source", "digest", "etag", "sequence", "confirmed_at", "asked_at", "refresh_at", "fault",
    "reason", "failures", "bootstrap", "seal", "version", "asked_until",
)  # fmt: skip
_ALL = columns(FIELDS)
CHANGED = f"SELECT {_ALL} FROM polled_bundles WHERE version > ? ORDER BY version LIMIT ?"
FIND = f"SELECT {_ALL} FROM polled_bundles WHERE trust_domain = ? AND source = ?"
BODY = "SELECT body FROM polled_bundles WHERE trust_domain = ? AND source = ?"
KNOW = """
INSERT INTO polled_bundles (trust_domain, source, digest, etag, confirmed_at, asked_at, early_at, refresh_at, fault,
                            reason, failures, bootstrap, seal, version, asked_until, holder)
VALUES (?, ?, '', '', 0, 0, 0, 0, '', '', 0, '', x'', 0, 0, '')
ON CONFLICT (trust_domain, source) DO NOTHING
"""
# A right, and a question, from later than any that can be meant now are from a clock that was set back since.
# Parameters: holder, until, now, whether it is early, now, now, trust_domain, source, now, latest end, due until,
# early until, latest question.
BEGIN = """
UPDATE polled_bundles
SET holder = ?, asked_until = ?, asked_at = ?, early_at = CASE WHEN ? = 1 OR early_at > ? THEN ? ELSE early_at END
WHERE trust_domain = ? AND source = ? AND (holder = '' OR asked_until <= ? OR asked_until > ?)
  AND ((refresh_at <= ? AND early_at <= ?) OR asked_at > ?)
RETURNING holder
"""
NEXT_VERSION = "UPDATE polled_versions SET last = last + 1 RETURNING last"
KEEP = f"""
UPDATE polled_bundles
SET {", ".join(f"{name} = ?" for name in FIELDS[2:-1])}, asked_until = 0, holder = '', body = COALESCE(?, body)
WHERE trust_domain = ? AND source = ?
"""
HAS_RIGHT = "SELECT 1 FROM polled_bundles WHERE trust_domain = ? AND source = ? AND holder = ?"
SWEEP = """
DELETE FROM polled_bundles WHERE (trust_domain, source) IN (
    SELECT trust_domain, source FROM polled_bundles WHERE asked_at <= ? ORDER BY asked_at LIMIT ?)
"""
NOTED = "SELECT trust_domain, keys FROM noted_keys WHERE trust_domain IN (SELECT value FROM json_each(?))"
NOTED_OF = "SELECT keys FROM noted_keys WHERE trust_domain = ?"
NOTE = """
INSERT INTO noted_keys (trust_domain, keys) VALUES (?, ?)
ON CONFLICT (trust_domain) DO UPDATE SET keys = excluded.keys
"""


class SqliteBundles:
    """See `ports.BundleStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit) -> None:
        self._readers, self._commit = readers, commit

    def changed_since(self, version: int, *, limit: int) -> Sequence[PolledBundle]:
        """As the port says."""
        return [_polled_of(row) for row in self._readers.rows(CHANGED, (version, limit))]

    def find(self, trust_domain: str, source: str) -> PolledBundle | None:
        """As the port says."""
        row = self._readers.row(FIND, (trust_domain, source))
        return None if row is None else _polled_of(row)

    def body(self, trust_domain: str, source: str) -> bytes | None:
        """As the port says."""
        row = self._readers.row(BODY, (trust_domain, source))
        return None if row is None else row[0]

    def begin(
        self, trust_domain: str, source: str, *, holder: str, now: int, until: int, wish: Wish
    ) -> PolledBundle | None:
        """As the port says; of two who ask at once one gets it."""
        place = (trust_domain, source)
        due_until = now if wish is Wish.DUE else _EVER
        early_until = now - EARLY_SECONDS if wish is Wish.EARLY else _EVER
        marks = (holder, until, now, int(wish is Wish.EARLY), now, now)
        bounds = (now, until + CLOCK_TOLERANCE, due_until, early_until, now + CLOCK_TOLERANCE)

        def begin(tx: Transaction) -> PolledBundle | None:
            before = tx.row(FIND, place)
            if before is None:
                tx.change(KNOW, place)
                before = tx.row(FIND, place)
            won = tx.change_returning(BEGIN, (*marks, *place, *bounds))
            return _polled_of(before) if won and before is not None else None

        return cast("PolledBundle | None", self._commit.submit(begin))

    def keep(self, polled: PolledBundle, body: bytes | None, *, holder: str) -> bool:
        """As the port says."""
        place = (polled.trust_domain, polled.source)

        def keep(tx: Transaction) -> bool:
            if tx.row(HAS_RIGHT, (*place, holder)) is None:
                return False
            version = tx.change_returning(NEXT_VERSION)[0][0]
            tx.change(KEEP, (*_values(polled), version, body, *place))
            return True

        return cast(bool, self._commit.submit(keep))

    def noted(self, trust_domains: Sequence[str]) -> Mapping[str, NotedKeys]:
        """As the port says."""
        rows = self._readers.rows(NOTED, (json.dumps(list(trust_domains)),))
        return {name: NotedKeys.of_text(text) for name, text in rows}

    def note(self, notes: Sequence[tuple[NotedKeys, AuditEvent]]) -> int:
        """As the port says."""

        def note(tx: Transaction) -> int:
            changed = 0
            for keys, event in notes:
                row = tx.row(NOTED_OF, (event.subject,))
                if row is not None and row[0] == keys.text():
                    continue
                before = NotedKeys() if row is None else NotedKeys.of_text(row[0])
                tx.change(NOTE, (event.subject, keys.text()))
                tx.audit(replace(event, ask=keys.since(before)))
                changed += 1
            return changed

        return cast(int, self._commit.submit(note))

    def sweep(self, *, before: int, batch: int) -> int:
        """As the port says."""
        return cast(int, self._commit.submit(lambda tx: tx.change(SWEEP, (before, batch))))


def _polled_of(row: Row) -> PolledBundle:
    values = dict(zip(FIELDS, row, strict=True))
    if values["sequence"] is not None:
        values["sequence"] = int(values["sequence"])
    return PolledBundle(**values)


def _values(polled: PolledBundle) -> tuple[object, ...]:
    """What `KEEP` sets before the version."""
    sequence = None if polled.sequence is None else str(polled.sequence)
    times = (polled.confirmed_at, polled.asked_at, polled.refresh_at)
    wrong = (polled.fault, polled.reason, polled.failures)
    return (polled.digest, polled.etag, sequence, *times, *wrong, polled.bootstrap, polled.seal)
