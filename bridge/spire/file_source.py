"""Bundles in files: the operator's word, in force within a second of a change.

A file may be a bundle map that several trust domains name; it is then read once for all of them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.files.paths import FileFingerprint, TooLarge, fingerprint, read_bounded
from bridge.model.bundle import BundleHealth, TrustBundle
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook
from bridge.spire.bundle_files import BundleFile
from bridge.spire.parse import MAX_BUNDLE_BYTES, MalformedBundle
from bridge.spire.source import Clock, Turns

# How often a file's fingerprint is looked at, and how often the file is read though it did not change: only a
# read shows that it still can be read, and only a read confirms.
LOOK_SECONDS = 0.5
READ_SECONDS = 5
# So many files that did not change are read in one look, or as many as it takes to come round in time: a thousand
# at once would hold up whoever is being served.
_AT_LEAST_READ = 20
_LOOKS_ROUND = int(READ_SECONDS / LOOK_SECONDS)


@dataclass(slots=True)
class _Watch:
    """One file, and whose bundles are taken from it. `seen` is the fingerprint at its last read, `read_at` the time of
    that (epoch seconds). `bundles` were parsed from content with the SHA-256 `digest`, when all of it was good."""

    path: Path
    trust_domains: list[TrustDomain] = field(default_factory=list)
    seen: FileFingerprint | None = None
    read_at: int | None = None
    digest: bytes = b""
    bundles: tuple[TrustBundle, ...] = ()


class FileSource:
    """Reads bundle files on change and every few seconds. One thread watches all files of a service.

    A file is the operator's word: a lower `spiffe_sequence` is taken too. A file that is missing,
    unreadable or malformed leaves the last good bundle in force until it is stale, and says so.
    """

    def __init__(self, paths: Mapping[TrustDomain, Path], book: BundleBook, clock: Clock) -> None:
        by_path: dict[Path, _Watch] = {}
        for trust_domain, path in paths.items():
            by_path.setdefault(path, _Watch(path)).trust_domains.append(trust_domain)
        self._watches = list(by_path.values())
        self._book = book
        self._clock = clock
        self._read_all = threading.Event()
        self._turns = Turns("bundle-files", self._turn)

    def start(self) -> None:
        """Read every file once before returning, then watch them from a thread."""
        self.look()
        self._turns.start()

    def refresh_now(self) -> None:
        """Read again soon, changed or not."""
        self._read_all.set()
        self._turns.hurry()

    def close(self) -> None:
        """Stop watching."""
        self._turns.close()

    def look(self) -> None:
        """One look at every file: what a turn of the thread does."""
        read_all = self._read_all.is_set()
        if read_all:
            # Cleared before anything is read, so that a wish during this look is met by the next one.
            self._read_all.clear()
        now = self._clock()
        due: list[tuple[int, _Watch, FileFingerprint | None]] = []
        for watch in self._watches:
            found = fingerprint(watch.path)
            if read_all or watch.read_at is None or found != watch.seen:
                self._read(watch, found, now)
            elif not watch.read_at <= now < watch.read_at + READ_SECONDS:
                due.append((watch.read_at, watch, found))
        at_most = max(_AT_LEAST_READ, -(-len(self._watches) // _LOOKS_ROUND))
        for _, watch, found in sorted(due, key=lambda one: one[0])[:at_most]:
            self._read(watch, found, now)

    def _turn(self) -> float:
        self.look()
        return LOOK_SECONDS

    def _read(self, watch: _Watch, found: FileFingerprint | None, now: int) -> None:
        """Read a file that had the fingerprint `found` just before: a change during the read is then seen
        by the next look."""
        watch.seen, watch.read_at = found, now
        try:
            raw = read_bounded(watch.path, MAX_BUNDLE_BYTES)
            digest = hashlib.sha256(raw).digest()
            if digest != watch.digest or not watch.bundles:
                watch.digest, watch.bundles = digest, ()
                self._parse(watch, BundleFile.parse(raw), now)
                return
        except OSError as error:
            self._fail(watch, BundleHealth.UNREACHABLE, f"{watch.path}: cannot be read ({error.strerror})")
        except (TooLarge, MalformedBundle) as error:
            self._fail(watch, BundleHealth.MALFORMED, f"{watch.path}: {error}")
        else:
            for bundle in watch.bundles:
                self._book.publish(bundle, confirmed_at=now)

    def _parse(self, watch: _Watch, file: BundleFile, now: int) -> None:
        """Take each trust domain's part; what is wrong with one is nothing to the others of the file."""
        good = []
        for trust_domain in watch.trust_domains:
            try:
                good.append(file.bundle(trust_domain))
            except MalformedBundle as error:
                self._book.fail(trust_domain, BundleHealth.MALFORMED, f"{watch.path}: {error}")
        for bundle in good:
            self._book.publish(bundle, confirmed_at=now)
        if len(good) == len(watch.trust_domains):
            watch.bundles = tuple(good)

    def _fail(self, watch: _Watch, health: BundleHealth, reason: str) -> None:
        for trust_domain in watch.trust_domains:
            self._book.fail(trust_domain, health, reason)
