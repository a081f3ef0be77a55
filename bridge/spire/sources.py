"""From configured trust domains to running sources and the book they keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook, TrackedTrustDomain
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.file_source import READ_SECONDS, FileSource
from bridge.spire.polled_source import PolledSource, Polling
from bridge.spire.polling import PolledOptions
from bridge.spire.source import BundleSource, Clock
from bridge.spire.supervised_stream import STREAM_SECONDS
from bridge.spire.workload_api import WorkloadApiSource


@dataclass(frozen=True, slots=True)
class FileSourceOptions:
    """`source = "file"`. `max_stale` in seconds."""

    trust_domain: TrustDomain
    path: Path
    max_stale: int


@dataclass(frozen=True, slots=True)
class WorkloadApiOptions:
    """`source = "workload-api"`. `max_stale` in seconds; several trust domains may name one endpoint."""

    trust_domain: TrustDomain
    endpoint: WorkloadEndpoint
    max_stale: int


SourceOptions = FileSourceOptions | WorkloadApiOptions | PolledOptions


class BundleSources:
    """All sources of one process, and `book`, which they keep.

    Make it anywhere; `start` it in the process that will use it, after any fork. Trust domains with the
    same Workload API endpoint share one connection. `polling` is needed where an endpoint is to be polled.
    Raises: ValueError when one trust domain is configured twice.
    """

    def __init__(
        self,
        options: Iterable[SourceOptions],
        *,
        clock: Clock,
        polling: Polling | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`steady` gives seconds by a clock that nobody sets; see `BundleBook`."""
        options = tuple(options)
        if len({option.trust_domain for option in options}) != len(options):
            raise ValueError("a trust domain has one source, not two")
        self.book = BundleBook((_tracked(option) for option in options), steady=steady)
        self._sources: list[BundleSource] = []
        files = {option.trust_domain: option.path for option in options if isinstance(option, FileSourceOptions)}
        if files:
            self._sources.append(FileSource(files, self.book, clock))
        endpoints: dict[WorkloadEndpoint, list[TrustDomain]] = {}
        for option in options:
            if isinstance(option, WorkloadApiOptions):
                endpoints.setdefault(option.endpoint, []).append(option.trust_domain)
        self._sources += [
            WorkloadApiSource(endpoint, trust_domains, self.book, clock)
            for endpoint, trust_domains in endpoints.items()
        ]
        polled = [option for option in options if isinstance(option, PolledOptions)]
        self.polled: PolledSource | None = None
        if polled:
            if polling is None:
                raise AssertionError("polled endpoints need something that polls them")
            self.polled = PolledSource(polled, self.book, polling, clock)
            self._sources.append(self.polled)

    def start(self) -> None:
        """Begin. Files and stored bundles have been read once when this returns; agents and endpoints are asked from
        threads."""
        for source in self._sources:
            source.start()

    def never_asked(self, most: int) -> frozenset[TrustDomain]:
        """The trust domains whose endpoints nobody asked before this start, if they are more than `most`; else none."""
        unknown = frozenset() if self.polled is None else self.polled.never_asked()
        return unknown if len(unknown) > most else frozenset()

    def refresh_now(self) -> None:
        """Have every source look again soon. Returns at once."""
        for source in self._sources:
            source.refresh_now()

    def close(self) -> None:
        """End all threads and connections. The book stays readable and grows stale. Idempotent."""
        for source in self._sources:
            source.close()


def _tracked(option: SourceOptions) -> TrackedTrustDomain:
    if isinstance(option, FileSourceOptions):
        return TrackedTrustDomain(option.trust_domain, "file", option.max_stale, READ_SECONDS)
    if isinstance(option, PolledOptions):
        every = option.interval(None)
        return TrackedTrustDomain(option.trust_domain, option.endpoint.profile, option.max_stale, every)
    return TrackedTrustDomain(option.trust_domain, "workload-api", option.max_stale, STREAM_SECONDS)
