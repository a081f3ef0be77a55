"""`guarded_get`: one small document from an https URL, or the reason why not; and `guarded_post`, the answer to a form.
All outbound requests come this way.

In this order, each before the next can do harm: the URL in its one spelling, all addresses of its host, a
connection to one of those, TLS in the host's name, one request, one bounded answer, all within one deadline
(T-1 to T-4, T-6, T-7; CIMD-6 to 9, 11, 12, 16).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from bridge.fetch.addresses import Address, parse_address
from bridge.fetch.connecting import connect
from bridge.fetch.deadline import Clock, Deadline
from bridge.fetch.exchange import JSON_TYPES, Fetched, Get, MediaTypes, Post, exchange, is_etag
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault
from bridge.fetch.guards import HTTPS_PORT, Guard
from bridge.fetch.resolving import Resolver
from bridge.metadata.uris import UnfitUri, require_secure

MAX_BYTES = 5120
TOTAL_SECONDS = 5.0
CONNECT_SECONDS = 2.0

# Told of a connection whose handshake is done; raises when its other end is not the one that is wanted.
CheckPeer = Callable[[ssl.SSLSocket], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL points: its `host` and `authority` as written, its `port`, and what to ask for there."""

    host: str
    port: int
    authority: str
    target: str

    @property
    def server(self) -> str:
        """`host:port`, the port always written: what `allow_hosts` names and what a host's bounds count by."""
        return f"{self.host}:{self.port}"


def place_of(url: str) -> Place:
    """Read a URL that is about to be fetched. Raises: DocumentFailure (URL); see `metadata.uris.read_web`."""
    try:
        web = require_secure(url, loopback=False)
    except UnfitUri as fault:
        raise DocumentFailure(DocumentFault.URL, f"the URL {fault}") from None
    authority = web.host if web.port is None else f"{web.host}:{web.port}"
    target = url.removeprefix("https://").removeprefix(authority)
    return Place(web.host, web.port or HTTPS_PORT, authority, target if target.startswith("/") else f"/{target}")


def guarded_get(
    url: str,
    *,
    guard: Guard,
    resolve: Resolver,
    context: ssl.SSLContext,
    accept: MediaTypes = JSON_TYPES,
    max_bytes: int = MAX_BYTES,
    etag: str | None = None,
    peer: CheckPeer | None = None,
    seconds: float = TOTAL_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
    clock: Clock = time.monotonic,
) -> Fetched:
    """Fetch `url`, at most once and from nowhere else.

    Units: `max_bytes` of the body; `seconds` for everything, resolution included, of which each address may take
    `connect_seconds` to accept a connection. `etag` makes it a revalidation, the only case in which 304 is good.
    `peer` is called after the handshake and before anything is sent, and may raise what it likes.
    Raises: DocumentFailure for what the client has to mend; NetworkFailure for what passes.
    Not checked: how many fetches there are (`fetcher`), whether policy wants this one, and what the body means.
    """
    deadline = Deadline.after(seconds, clock)
    place = place_of(url)
    get = Get(place.authority, place.target, accept, max_bytes, etag if etag is not None and is_etag(etag) else None)
    return _ask(place, get, guard, resolve, context, connect_seconds, deadline, peer)


def guarded_post(
    url: str,
    *,
    form: bytes,
    authorization: str | None,
    guard: Guard,
    resolve: Resolver,
    context: ssl.SSLContext,
    max_bytes: int = MAX_BYTES,
    seconds: float = TOTAL_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
    clock: Clock = time.monotonic,
) -> Fetched:
    """Send a form to `url` once, under all the rules of `guarded_get`; the answer is JSON.

    Units and errors: as there. Where an error is raised after the connection stood, the form may have arrived.
    """
    deadline = Deadline.after(seconds, clock)
    place = place_of(url)
    post = Post(place.authority, place.target, JSON_TYPES, max_bytes, form, authorization)
    return _ask(place, post, guard, resolve, context, connect_seconds, deadline)


def _ask(
    place: Place,
    request: Get | Post,
    guard: Guard,
    resolve: Resolver,
    context: ssl.SSLContext,
    each: float,
    deadline: Deadline,
    peer: CheckPeer | None = None,
) -> Fetched:
    # Closed without TLS's goodbye: nobody waits for the other side's.
    with connected(place, guard, resolve, context, each, deadline) as stream:
        if peer is not None:
            peer(stream)
        return exchange(stream, request, deadline)


def connected(
    place: Place, guard: Guard, resolve: Resolver, context: ssl.SSLContext, each: float, deadline: Deadline
) -> ssl.SSLSocket:
    """A connection to where a URL points, all of whose addresses the guard has let pass, with the host's certificate
    verified. `each` is seconds for one address. Raises: DocumentFailure (ADDRESS); NetworkFailure."""
    addresses = _addresses(place, resolve, deadline)
    guard.check(place.host, place.port, addresses)
    return connect(addresses, place.port, host=place.host, context=context, each=each, deadline=deadline)


def _addresses(place: Place, resolve: Resolver, deadline: Deadline) -> tuple[Address, ...]:
    """All addresses of the host, asked for once. What cannot be read as an address fails the whole answer."""
    literal = parse_address(place.host)
    if literal is not None:
        return (literal,)
    try:
        found = resolve(place.host, place.port, deadline.remaining())
    except TimeoutError as error:
        raise NetworkFailure(NetworkFault.TIMEOUT, "the name could not be resolved in time") from error
    except OSError as error:
        raise NetworkFailure(NetworkFault.RESOLVE, "the name could not be resolved") from error
    addresses = tuple(address for text in found if (address := parse_address(text)) is not None)
    if not addresses or len(addresses) != len(found):
        raise NetworkFailure(NetworkFault.RESOLVE, "the name has no addresses, or something else among them")
    return addresses
