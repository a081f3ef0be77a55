"""The one fetcher of a process: `guarded_get` within the bounds of `slots`, for whoever needs a document (T-4)."""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Callable, Hashable
from enum import StrEnum
from functools import partial

from bridge.fetch.deadline import Clock
from bridge.fetch.exchange import JSON_TYPES, Fetched, MediaTypes
from bridge.fetch.failures import DocumentFailure, NetworkFailure
from bridge.fetch.guarded import (
    CONNECT_SECONDS,
    MAX_BYTES,
    TOTAL_SECONDS,
    FetchCase,
    guarded_get,
    guarded_post,
    place_of,
    walk_get,
)
from bridge.fetch.guards import AddressGuard, Guard, OperatorsAddress
from bridge.fetch.resolving import Resolver, SystemResolver
from bridge.fetch.slots import FetchSlots, ThreadShare
from bridge.model.steps import Looked

# One host may not have all slots, nor be asked by us more than so often at a time.
PER_HOST = 4


class Purpose(StrEnum):
    """What a fetch is for. Values are metric labels."""

    DOCUMENT = "document"
    CLIENT_KEYS = "client_keys"
    ISSUER_KEYS = "issuer_keys"
    LOGIN = "login"


# Told of each fetch that went out: what for, what came of it (`200`, `304`, or the fault), in how many seconds.
Observer = Callable[[Purpose, str, float], None]


class Fetcher:
    """Fetches documents for the threads that answer requests, and for those that do not. Thread-safe."""

    def __init__(
        self,
        *,
        at_once: int,
        threads: ThreadShare,
        context: ssl.SSLContext,
        allow_hosts: frozenset[str] = frozenset(),
        resolve: Resolver | None = None,
        slots: FetchSlots | None = None,
        observe: Observer = lambda purpose, outcome, seconds: None,
        seconds: float = TOTAL_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        """`at_once` fetches of this process; `threads` is the share of its threads; `context` from `tls_context`;
        `allow_hosts` are exact `host:port` exempt from the address guard."""
        self._guard, self._operators = AddressGuard(allow_hosts), OperatorsAddress()
        self._threads, self._context = threads, context
        self._resolve = resolve or SystemResolver()
        self._slots = slots or FetchSlots(at_once=at_once, per_host=PER_HOST, clock=clock)
        self._observe, self._clock = observe, clock
        self._seconds, self._connect_seconds = seconds, connect_seconds
        self._posts = itertools.count()

    @property
    def threads(self) -> ThreadShare:
        """The share of the threads that answer requests: for whoever has them wait for more than a fetch."""
        return self._threads

    def get(
        self,
        url: str,
        *,
        purpose: Purpose,
        accept: MediaTypes = JSON_TYPES,
        max_bytes: int = MAX_BYTES,
        etag: str | None = None,
        in_request: bool = True,
    ) -> Fetched:
        """Fetch a URL that somebody outside named.

        `in_request`: the calling thread is one of those that answer requests. Raises: DocumentFailure;
        NetworkFailure; FetchDelayed.
        """
        return self._get(url, self._guard, purpose, accept, max_bytes, etag, in_request)

    def walk(self, url: str) -> tuple[FetchCase, tuple[Looked, ...]]:
        """How each step of `get` comes out for a URL that somebody outside named, and what was found on the way. For
        explaining, so it takes no slot and counts nowhere."""
        return walk_get(
            url,
            guard=self._guard,
            resolve=self._resolve,
            context=self._context,
            seconds=self._seconds,
            connect_seconds=self._connect_seconds,
            clock=self._clock,
        )

    def get_configured(
        self,
        url: str,
        *,
        purpose: Purpose,
        accept: MediaTypes = JSON_TYPES,
        max_bytes: int = MAX_BYTES,
        etag: str | None = None,
        in_request: bool = False,
    ) -> Fetched:
        """Fetch a URL of the configuration, which may be on an inner host; never one that came over a wire.

        Raises: as `get`.
        """
        return self._get(url, self._operators, purpose, accept, max_bytes, etag, in_request)

    def post(
        self, url: str, *, purpose: Purpose, form: bytes, authorization: str | None = None, max_bytes: int = MAX_BYTES
    ) -> Fetched:
        """Send a form to a URL that somebody outside named, from a thread that answers a request.

        The same form twice is sent twice. Raises: as `get`.
        """
        return self._post(url, self._guard, purpose, form, authorization, max_bytes)

    def post_configured(
        self, url: str, *, purpose: Purpose, form: bytes, authorization: str | None = None, max_bytes: int = MAX_BYTES
    ) -> Fetched:
        """Send a form to a URL of the configuration, which may be on an inner host. Raises: as `get`."""
        return self._post(url, self._operators, purpose, form, authorization, max_bytes)

    def _post(
        self, url: str, guard: Guard, purpose: Purpose, form: bytes, authorization: str | None, max_bytes: int
    ) -> Fetched:
        send = partial(guarded_post, url, form=form, authorization=authorization, max_bytes=max_bytes)
        # A name of its own: nobody may wait for another one's answer.
        flight = f"{next(self._posts)} {url}"
        return self._run(send, url, guard, purpose, flight=flight, form=None, threads=self._threads)

    def _get(
        self,
        url: str,
        guard: Guard,
        purpose: Purpose,
        accept: MediaTypes,
        max_bytes: int,
        etag: str | None,
        in_request: bool,
    ) -> Fetched:
        fetch = partial(guarded_get, url, accept=accept, max_bytes=max_bytes, etag=etag)
        form, threads = (guard, accept, max_bytes, etag), self._threads if in_request else None
        return self._run(fetch, url, guard, purpose, flight=url, form=form, threads=threads)

    def _run(
        self,
        ask: Callable[..., Fetched],
        url: str,
        guard: Guard,
        purpose: Purpose,
        *,
        flight: str,
        form: Hashable,
        threads: ThreadShare | None,
    ) -> Fetched:
        """Ask when there is a slot, with what holds for every request of this fetcher. `flight` and `form` name what
        others may wait for instead of asking too."""
        within = partial(
            ask,
            guard=guard,
            resolve=self._resolve,
            context=self._context,
            seconds=self._seconds,
            connect_seconds=self._connect_seconds,
            clock=self._clock,
        )
        return self._slots.run(
            lambda: self._observed(purpose, within),
            url=flight,
            # Also the check of the URL: one that is none takes no slot.
            server=place_of(url).server,
            form=form,
            patience=self._seconds + 1,
            threads=threads,
        )

    def _observed(self, purpose: Purpose, fetch: Callable[[], Fetched]) -> Fetched:
        began, outcome = self._clock(), "defect"
        try:
            fetched = fetch()
            outcome = str(fetched.status)
            return fetched
        except (DocumentFailure, NetworkFailure) as failure:
            outcome = failure.fault.value
            raise
        finally:
            self._observe(purpose, outcome, self._clock() - began)
