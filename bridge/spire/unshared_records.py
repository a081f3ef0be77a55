"""Records of polled bundles that nobody shares: for a command that looks at endpoints where there is no store yet,
or that must not change what a service goes by."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bridge.model.polled_bundle import PolledBundle, Wish


class UnsharedRecords:
    """Implements `model.polled_bundle.PolledBundles` in memory, for one process and its threads.

    `known` are records with their bodies to begin with, of which some may have been read from a store.
    """

    def __init__(self, known: Iterable[tuple[PolledBundle, bytes | None]] = ()) -> None:
        self._records: dict[tuple[str, str], tuple[PolledBundle, bytes | None]] = {}
        self._holders: dict[tuple[str, str], str] = {}
        self._version = 0
        self._lock = threading.Lock()
        for polled, body in known:
            self._put(polled, body)

    def changed_since(self, version: int, *, limit: int) -> Sequence[PolledBundle]:
        """As the port says."""
        with self._lock:
            changed = [polled for polled, _ in self._records.values() if polled.version > version]
        return sorted(changed, key=lambda polled: polled.version)[:limit]

    def find(self, trust_domain: str, source: str) -> PolledBundle | None:
        """As the port says."""
        with self._lock:
            found = self._records.get((trust_domain, source))
        return None if found is None else found[0]

    def body(self, trust_domain: str, source: str) -> bytes | None:
        """As the port says."""
        with self._lock:
            found = self._records.get((trust_domain, source))
        return None if found is None else found[1]

    def begin(
        self, trust_domain: str, source: str, *, holder: str, now: int, until: int, wish: Wish
    ) -> PolledBundle | None:
        """As the port says, but for times: a process that shares with nobody asks when it likes."""
        place = (trust_domain, source)
        with self._lock:
            if place in self._holders:
                return None
            self._holders[place] = holder
            found = self._records.get(place)
            return PolledBundle(trust_domain, source) if found is None else found[0]

    def keep(self, polled: PolledBundle, body: bytes | None, *, holder: str) -> bool:
        """As the port says."""
        place = (polled.trust_domain, polled.source)
        with self._lock:
            if self._holders.get(place) != holder:
                return False
            del self._holders[place]
            before = self._records.get(place)
            self._put(polled, before[1] if body is None and before is not None else body)
            return True

    def _put(self, polled: PolledBundle, body: bytes | None) -> None:
        self._version += 1
        self._records[polled.trust_domain, polled.source] = (replace(polled, version=self._version), body)
