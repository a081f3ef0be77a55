"""How much is fetched at once: in all, from one host, of one URL, and by how many of the threads that answer
requests (T-6, CIMD-16; interface sections 7 and 9).

Nothing queues for a slot: who finds none is told to come back, and holds no thread meanwhile. Only who wants the
very document that is on its way waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from bridge.fetch.breaker import HostBreaker
from bridge.fetch.deadline import Clock
from bridge.fetch.exchange import Fetched
from bridge.fetch.failures import DocumentFailure, FetchDelayed, NetworkFailure, NetworkFault

# Slots come back when fetches end, within five seconds at most.
RETRY_SECONDS = 2


class ThreadShare:
    """How many of the threads that answer requests may be in a fetch, be it that they fetch or that they wait for one.
    Thread-safe."""

    def __init__(self, threads: int, *, aside: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """`threads` is how many there are; half of them, one at least, may, and half of those for URLs of which
        nothing is known. `aside` is what one of them waits in: where few are let work at a time, it says that another
        may."""
        share = max(1, threads // 2)
        self._free = threading.BoundedSemaphore(share)
        # Anybody can bring new URLs, and they may be tarpits: what is known must be confirmed all the same.
        self._free_for_new = threading.BoundedSemaphore(max(1, share // 2))
        self._aside = aside

    @contextmanager
    def waiting(self, *, is_new: bool = False) -> Iterator[None]:
        """For as long as the calling thread is in a fetch; `is_new`: of a URL of which nothing is known.

        Raises: FetchDelayed when the share is used up.
        """
        with _place(self._free_for_new) if is_new else nullcontext(), _place(self._free), self._aside():
            yield


@contextmanager
def _place(free: threading.BoundedSemaphore) -> Iterator[None]:
    if not free.acquire(blocking=False):
        raise FetchDelayed("too many requests wait for outbound fetches", retry_after=RETRY_SECONDS)
    try:
        yield
    finally:
        free.release()


@dataclass(slots=True)
class _Flight:
    """A fetch under way. `form` is what exactly was asked for; one of `result` and `failure` is there when `done`,
    neither if a defect ended it."""

    form: Hashable
    done: threading.Event = field(default_factory=threading.Event)
    result: Fetched | None = None
    failure: DocumentFailure | NetworkFailure | None = None

    def wait(self, patience: float) -> Fetched:
        """The same answer as whoever fetches gets."""
        if not self.done.wait(patience):
            raise NetworkFailure(NetworkFault.TIMEOUT, "the fetch that was waited for did not end in time")
        if self.failure is not None:
            raise self.failure.again()
        if self.result is None:
            raise FetchDelayed("the fetch that was waited for ended without an answer", retry_after=RETRY_SECONDS)
        return self.result


class FetchSlots:
    """The bounds of one process. Thread-safe."""

    def __init__(
        self, *, at_once: int, per_host: int, breaker: HostBreaker | None = None, clock: Clock = time.monotonic
    ) -> None:
        """`at_once` fetches in all, `per_host` to one `host:port`."""
        self._at_once, self._per_host, self._clock = at_once, per_host, clock
        self._breaker = breaker or HostBreaker()
        self._flights: dict[str, _Flight] = {}
        self._hosts: dict[str, int] = {}
        self._lock = threading.Lock()

    def run(
        self,
        fetch: Callable[[], Fetched],
        *,
        url: str,
        server: str,
        form: Hashable,
        patience: float,
        threads: ThreadShare | None,
    ) -> Fetched:
        """Call `fetch`, or wait up to `patience` seconds for the one that is already under way for this URL.

        `server` is the URL's `host:port`. `form` is all that the answer depends on beside the URL: who asks for it
        in another form meanwhile is sent away, since one URL is fetched once at a time. `threads` is None for a
        thread that answers no request. Raises: what `fetch` raises, to all who wait; FetchDelayed.
        """
        with nullcontext() if threads is None else threads.waiting():
            with self._lock:
                flight = self._flights.get(url)
                leads = flight is None
                if flight is None:
                    flight = self._take_off(url, server, form)
            if leads:
                return self._lead(flight, fetch, url, server)
            if flight.form != form:
                raise FetchDelayed("the URL is being fetched in another form", retry_after=RETRY_SECONDS)
            return flight.wait(patience)

    def _take_off(self, url: str, server: str, form: Hashable) -> _Flight:
        """Called with the lock. Raises: FetchDelayed."""
        if len(self._flights) >= self._at_once:
            raise FetchDelayed("limit reached: outbound_fetches", retry_after=RETRY_SECONDS)
        if self._hosts.get(server, 0) >= self._per_host:
            raise FetchDelayed("too many fetches from one host", retry_after=RETRY_SECONDS)
        self._breaker.admit(server, self._clock())
        flight = _Flight(form)
        self._flights[url] = flight
        self._hosts[server] = self._hosts.get(server, 0) + 1
        return flight

    def _lead(self, flight: _Flight, fetch: Callable[[], Fetched], url: str, server: str) -> Fetched:
        try:
            flight.result = fetch()
        except NetworkFailure as failure:
            flight.failure = failure.again()
            self._breaker.failed(server, self._clock())
            raise
        except DocumentFailure as failure:
            flight.failure = failure.again()
            self._breaker.succeeded(server)
            raise
        else:
            self._breaker.succeeded(server)
            return flight.result
        finally:
            with self._lock:
                del self._flights[url]
                self._hosts[server] -= 1
                if not self._hosts[server]:
                    del self._hosts[server]
            flight.done.set()
