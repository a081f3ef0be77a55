"""Markers: what may be used once is claimed once, in the transaction of what it was used for."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bridge.model.errors import BridgeError, CredentialReplayed, LimitReached, Unavailable
from bridge.model.identity import Marker
from bridge.model.reasons import Reason
from bridge.store import statements as sql
from bridge.store.transaction import Transaction

# Asked: an array of [kind, digest]. Answer: those that are taken, and nulls.
CLAIMED = """
SELECT json_group_array(json_array(m.kind, m.digest))
FROM json_each(?) AS asked
LEFT JOIN markers AS m
  ON m.kind = json_extract(asked.value, '$[0]') AND m.digest = json_extract(asked.value, '$[1]')
"""
IS_CLAIMED = "SELECT 1 FROM markers WHERE kind = ? AND digest = ?"
MARKERS_AT_ONCE = 64
# The limit on all of them together, as refusals name it.
MARKERS = "markers"

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_Mark = tuple[str, str]


class Claims:
    """The markers of one commit, or of one write: which are taken, by rows or by claims before."""

    def __init__(self, tx: Transaction, wanted: Sequence[Marker]) -> None:
        """One read for all of `wanted`; no other marker may be claimed."""
        self._taken: set[_Mark] = set()
        self._new: list[tuple[str, str, int]] = []
        self._held = self._swept_until = 0
        if wanted:
            asked = _dumps([(marker.kind, marker.digest) for marker in wanted])
            self._taken = {(kind, digest) for kind, digest in json.loads(tx.rows(CLAIMED, (asked,))[0][0])}
            self._held, self._swept_until = tx.rows(sql.MARKER_USAGE)[0]

    def refusal(self, markers: tuple[Marker, ...], limit: int) -> BridgeError | None:
        """Why these cannot be claimed, all together (T-21, T-34, T-42). `limit`: how many markers the store
        may hold."""
        for place, marker in enumerate(markers):
            mark = (marker.kind, marker.digest)
            if mark in self._taken or any((m.kind, m.digest) == mark for m in markers[:place]):
                return CredentialReplayed(marker.kind)
            if marker.expires_at <= self._swept_until:
                # Its mark may have been made and swept, when the clock stood later than it does now.
                return Unavailable(
                    Reason.STORE_UNAVAILABLE, "the clock is behind the last sweep of used markers", retry_after=60
                )
        if self._held + len(self._new) + len(markers) > limit:
            return LimitReached(MARKERS, 60)
        return None

    def claim(self, markers: tuple[Marker, ...]) -> None:
        """Take them."""
        for marker in markers:
            self._taken.add((marker.kind, marker.digest))
            self._new.append((marker.kind, marker.digest, marker.expires_at))

    def write(self, tx: Transaction) -> None:
        """Store what was taken."""
        for start in range(0, len(self._new), MARKERS_AT_ONCE):
            part = self._new[start : start + MARKERS_AT_ONCE]
            tx.change(sql.insert_markers(len(part)), [value for row in part for value in row])
        if self._new:
            tx.change(sql.ADD_MARKERS, (len(self._new),))
