"""What `/metrics` shows of the service itself: readiness, signing key, audit log, and how long somebody waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.model.signing_key import SigningKeyRow
from bridge.observe import metrics
from bridge.observe.readiness import Readiness
from bridge.store.ports import Store
from bridge.tokens.key_ring import signing_row


class Vitals:
    """Sets these gauges. One per worker; what the store says, every worker says alike."""

    def __init__(
        self,
        store: Store,
        *,
        readiness: Callable[[], Readiness],
        keys: Callable[[], Sequence[SigningKeyRow]],
        rotate_every: int,
    ) -> None:
        """`keys` gives the rows of the signing keys; `rotate_every` is in seconds."""
        self._store, self._readiness = store, readiness
        self._keys, self._rotate_every = keys, rotate_every

    def take(self, at: int) -> None:
        """Look once, at whether there is a store first. Raises: Unavailable."""
        for part, state in self._readiness().parts.items():
            metrics.ready.labels(part).set(1 if state["ready"] else 0)
        self._measure_keys(at)
        # Each writer numbers its rows from 1 on, and keeps counting when old ones are pruned.
        metrics.audit_rows.set(sum(head.sequence for head in self._store.audit.heads()))
        since = self._store.clients.waiting_since()
        metrics.waiting_longest.set(0 if since is None else max(0, at - since))

    def _measure_keys(self, at: int) -> None:
        """The age of the key that was promoted last, which signs or is about to, and when its successor is due."""
        rows = self._keys()
        since = max((row.signs_from for row in rows if row.signs_from is not None), default=None)
        if since is None or signing_row(rows, at) is None:
            return
        metrics.signing_key_age.set(max(0, at - since))
        metrics.signing_key_due_in.set(since + self._rotate_every - at)
