"""A client's web host on a real TLS server, and workers' caches over one store."""

from __future__ import annotations

import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.fetch.breaker import HostBreaker
from bridge.fetch.document_cache import DocumentCache
from bridge.fetch.fetcher import Fetcher
from bridge.fetch.resolving import Resolver
from bridge.fetch.shared_copies import CacheOutcome
from bridge.fetch.slots import FetchSlots, ThreadShare
from bridge.model.document import DocumentKind
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.store.ports import Store
from tests.contract.places import SqlitePlace
from tests.contract.records import NOW
from tests.unit.fetch.tls_server import CA, HOST, Names, TlsServer, http, trusting

CONTEXT = trusting(CA)
ADDRESS = "192.0.2.1"
Cache = DocumentCache[dict[str, Any], list[str]]


def read_document(body: bytes, url: str) -> dict[str, Any]:
    """A check of the kind that comes from outside the cache: one member that has to be right."""
    try:
        found = json.loads(body)
    except ValueError:
        raise EvidenceRejected(Reason.DOCUMENT_REFUSED, "no JSON") from None
    if not isinstance(found, dict) or found.get("client_id") != url:
        raise EvidenceRejected(Reason.DOCUMENT_REFUSED, "another client_id")
    return found


def read_keys(body: bytes, url: str) -> list[str]:
    """The names of the keys."""
    try:
        return [key["kid"] for key in json.loads(body)["keys"]]
    except (ValueError, KeyError, TypeError):
        raise EvidenceRejected(Reason.DOCUMENT_REFUSED, "no key set") from None


@dataclass
class Site:
    """What the host says, by path. `counts` are the requests by path that it got."""

    server: TlsServer
    name: str = HOST
    answers: dict[str, bytes] = field(default_factory=dict)
    before_answering: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        return self.server.url("/client.json", host=self.name)

    @property
    def jwks_uri(self) -> str:
        return self.server.url("/jwks.json", host=self.name)

    @property
    def counts(self) -> Counter[str]:
        return Counter(head.split(b" ", 2)[1].decode() for head in self.server.requests)

    @property
    def fetches(self) -> int:
        return len(self.server.requests)

    def body(self, **members: Any) -> bytes:
        return json.dumps({"client_id": self.url, **members}).encode()

    def says(self, status: str = "200 OK", *, body: bytes | None = None, **headers: str) -> None:
        """What it answers from now on to whoever asks for the document."""
        self.answers["/client.json"] = http(self.body() if body is None else body, status, **headers)

    def has_keys(self, *keys: str | Mapping[str, object], status: str = "200 OK", **headers: str) -> None:
        """What the key set holds from now on; where nobody reads a key, its name will do."""
        jwks = {"keys": [{"kid": key} if isinstance(key, str) else dict(key) for key in keys]}
        self.answers["/jwks.json"] = http(json.dumps(jwks).encode(), status, **headers)

    def is_cut_off(self) -> None:
        """Whoever asks gets no answer."""
        self.answers = dict.fromkeys(self.answers, b"")

    def answer(self, stream: ssl.SSLSocket) -> None:
        path = self.server.requests[-1].split(b" ", 2)[1].decode()
        answer = self.answers[path]
        self.before_answering()
        stream.sendall(answer)


@contextmanager
def site(name: str = HOST) -> Iterator[Site]:
    """A host with a document that holds for a minute, and keys."""
    with TlsServer() as server:
        host = Site(server, name)
        host.says()
        host.has_keys("one")
        server.answer = host.answer
        yield host


@dataclass
class Worker:
    """One worker's cache, and what it did. `time` is a monotonic clock that only `paused` moves."""

    cache: Cache
    store: Store
    outcomes: list[CacheOutcome] = field(default_factory=list)
    paid: list[tuple[str, int]] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    paused: Callable[[float], object] = lambda seconds: None
    time: float = 0.0

    def document(self, url: str, at: int = NOW) -> dict[str, Any]:
        return self.cache.document(url, now=at, source_address=ADDRESS).value

    def keys(self, url: str, at: int = NOW, *, unknown_kid: bool = False) -> list[str]:
        return self.cache.keys(url, now=at, source_address=ADDRESS, unknown_kid=unknown_kid).value

    def copy(self, url: str, kind: DocumentKind = DocumentKind.DOCUMENT) -> bytes | None:
        copy = self.store.documents.find(kind, url).copy
        return None if copy is None else copy.body


def worker(
    folder: Path,
    allowed: TlsServer | None,
    *,
    name: str = "worker-1",
    threads: int = 64,
    resolve: Resolver | None = None,
    pay: Callable[[str, int], None] | None = None,
    read: Callable[[bytes, str], dict[str, Any]] = read_document,
    **store_options: Any,
) -> Worker:
    """A worker over the store in `folder`, for whom `allowed` is exempt from the address guard."""
    place = SqlitePlace(folder)
    if not place.path.exists():
        place.create()
    store = place.open(**store_options)

    def paused(seconds: float) -> None:
        made.time += seconds
        made.paused(seconds)

    def counted(body: bytes, url: str) -> dict[str, Any]:
        made.read.append(url)
        return read(body, url)

    def note(source_address: str, at: int) -> None:
        if pay is not None:
            pay(source_address, at)
        made.paid.append((source_address, at))

    cache: Cache = DocumentCache(
        fetcher_for(allowed, threads=threads, resolve=resolve),
        store.documents,
        read_document=counted,
        read_keys=read_keys,
        pay=note,
        holder=name,
        observe=lambda kind, outcome: made.outcomes.append(outcome),
        clock=lambda: made.time,
        pause=paused,
    )
    made = Worker(cache, store)
    return made


def fetcher_for(allowed: TlsServer | None, *, threads: int, resolve: Resolver | None = None) -> Fetcher:
    hosts = frozenset() if allowed is None else frozenset({f"{HOST}:{allowed.port}"})
    return Fetcher(
        at_once=20,
        threads=ThreadShare(threads),
        context=CONTEXT,
        allow_hosts=hosts,
        resolve=resolve or Names(["127.0.0.1"]),
        # Its own tests are elsewhere; here a host may fail as often as a test wants.
        slots=FetchSlots(at_once=20, per_host=20, breaker=HostBreaker(failures=1000)),
        seconds=20.0,
    )
