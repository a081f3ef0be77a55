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
from dataclasses import dataclass, field

from bridge.fetch.addresses import Address, parse_address
from bridge.fetch.connecting import connect
from bridge.fetch.deadline import Clock, Deadline
from bridge.fetch.exchange import JSON_TYPES, Fetched, Get, MediaTypes, Post, exchange, is_etag
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault
from bridge.fetch.guards import HTTPS_PORT, Guard
from bridge.fetch.resolving import Resolver
from bridge.metadata.uris import UnfitUri, require_secure
from bridge.model.steps import Looked, Step, run, walk

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


@dataclass(slots=True)
class FetchCase:
    """One fetch on its way. `each`: seconds for one address; `request` makes the request to a place; `peer` as of
    `guarded_get`. The other fields are there once the step that puts them has held."""

    url: str
    guard: Guard
    resolve: Resolver
    context: ssl.SSLContext
    each: float
    deadline: Deadline
    request: Callable[[Place], Get | Post]
    peer: CheckPeer | None = None
    place: Place = field(init=False)
    addresses: tuple[Address, ...] = field(init=False)
    stream: ssl.SSLSocket | None = field(init=False, default=None)
    fetched: Fetched = field(init=False)

    def close(self) -> None:
        """End the connection, without TLS's goodbye: nobody waits for the other side's."""
        if self.stream is not None:
            self.stream.close()


def _place(case: FetchCase) -> None:
    case.place = place_of(case.url)


def _name(case: FetchCase) -> None:
    case.addresses = addresses_of(case.place, case.resolve, case.deadline)


def _guarded(case: FetchCase) -> None:
    case.guard.check(case.place.host, case.place.port, case.addresses)


def _connection(case: FetchCase) -> None:
    place = case.place
    case.stream = connect(
        case.addresses, place.port, host=place.host, context=case.context, each=case.each, deadline=case.deadline
    )
    if case.peer is not None:
        case.peer(case.stream)


def _answer(case: FetchCase) -> None:
    assert case.stream is not None, "the step before has put it"
    case.fetched = exchange(case.stream, case.request(case.place), case.deadline)


FETCH_STEPS: tuple[Step[FetchCase], ...] = (
    Step("fetch-url", _place),
    Step("name", _name, ("fetch-url",)),
    Step("address", _guarded, ("name",)),
    Step("connection", _connection, ("address",)),
    Step("answer", _answer, ("connection",)),
)


def _run(case: FetchCase) -> Fetched:
    try:
        run(FETCH_STEPS, case)
    finally:
        case.close()
    return case.fetched


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
    known = etag if etag is not None and is_etag(etag) else None
    return _run(
        FetchCase(
            url,
            guard,
            resolve,
            context,
            connect_seconds,
            Deadline.after(seconds, clock),
            lambda place: Get(place.authority, place.target, accept, max_bytes, known),
            peer,
        )
    )


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
    return _run(
        FetchCase(
            url,
            guard,
            resolve,
            context,
            connect_seconds,
            Deadline.after(seconds, clock),
            lambda place: Post(place.authority, place.target, JSON_TYPES, max_bytes, form, authorization),
        )
    )


def walk_get(
    url: str,
    *,
    guard: Guard,
    resolve: Resolver,
    context: ssl.SSLContext,
    seconds: float = TOTAL_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
    clock: Clock = time.monotonic,
) -> tuple[FetchCase, tuple[Looked, ...]]:
    """How each step of `guarded_get` for JSON comes out, and what was found on the way. For explaining."""
    deadline = Deadline.after(seconds, clock)
    case = FetchCase(url, guard, resolve, context, connect_seconds, deadline, _json_get)
    try:
        return case, walk(FETCH_STEPS, case)
    finally:
        case.close()


def _json_get(place: Place) -> Get:
    return Get(place.authority, place.target, JSON_TYPES, MAX_BYTES)


def connected(
    place: Place, guard: Guard, resolve: Resolver, context: ssl.SSLContext, each: float, deadline: Deadline
) -> ssl.SSLSocket:
    """A connection to where a URL points, all of whose addresses the guard has let pass, with the host's certificate
    verified. `each` is seconds for one address. Raises: DocumentFailure (ADDRESS); NetworkFailure."""
    addresses = addresses_of(place, resolve, deadline)
    guard.check(place.host, place.port, addresses)
    return connect(addresses, place.port, host=place.host, context=context, each=each, deadline=deadline)


def addresses_of(place: Place, resolve: Resolver, deadline: Deadline) -> tuple[Address, ...]:
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
