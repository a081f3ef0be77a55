"""Two workers, one host that does what it likes, and time: what the cache promises holds whatever happens."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from bridge.fetch.document_cache import DocumentCache
from bridge.fetch.exchange import Fetched
from bridge.fetch.failures import DocumentFailure, DocumentFault, FetchDelayed, NetworkFailure, NetworkFault
from bridge.fetch.fetcher import Fetcher, Purpose
from bridge.fetch.held_copies import KEEP_SECONDS, LOOK_SECONDS
from bridge.fetch.shared_copies import REST_SECONDS
from bridge.fetch.slots import ThreadShare
from bridge.model.document import DocumentCopy, DocumentKind, FoundDocument, StoredDocument
from bridge.model.errors import EvidenceRejected, Unavailable
from tests.contract.records import NOW
from tests.unit.fetch.cache_stand import read_document

URL = "https://client.example/c"
Key = tuple[DocumentKind, str]


@dataclass
class Shelf:
    """The store as its contract suite says it is, without a disk."""

    room: int = 9
    copies: dict[Key, DocumentCopy] = field(default_factory=dict)
    rights: dict[Key, tuple[str, int]] = field(default_factory=dict)

    def find(self, kind: DocumentKind, url: str) -> FoundDocument:
        holder, until = self.rights.get((kind, url), ("x", 0))
        return FoundDocument(self.copies.get((kind, url)), until, holder == "")

    def begin(self, kind: DocumentKind, url: str, *, holder: str, now: int, until: int) -> bool:
        if now < self.rights.get((kind, url), ("", 0))[1] <= until + 60:
            return False
        self.rights[kind, url] = holder, until
        return True

    def keep(self, copy: DocumentCopy, *, holder: str) -> bool:
        self.release(copy.kind, copy.url, holder=holder)
        place = (copy.kind, copy.url)
        if place not in self.copies and len(self.copies) >= self.room:
            return False
        self.copies[place] = copy
        return True

    def drop(self, copy: DocumentCopy, *, holder: str) -> None:
        self.release(copy.kind, copy.url, holder=holder)
        if self.copies.get((copy.kind, copy.url)) == copy:
            del self.copies[copy.kind, copy.url]

    def release(self, kind: DocumentKind, url: str, *, holder: str, until: int | None = None) -> None:
        if self.rights.get((kind, url), ("", 0))[0] == holder:
            del self.rights[kind, url]
            if until is not None:
                self.rights[kind, url] = "", until


@dataclass
class Host:
    """What the server would say, and what it said: `told` is when it confirmed which version."""

    threads: ThreadShare = field(default_factory=lambda: ThreadShare(4))
    now: int = NOW
    version: int = 0
    mood: str = "good"
    control: str = ""
    knows_etags: bool = False
    asked: list[int] = field(default_factory=list)
    told: set[tuple[int, int]] = field(default_factory=set)
    refused_at: int = -(10**9)

    def get(self, url: str, *, purpose: Purpose, etag: str | None, in_request: bool) -> Fetched:
        self.asked.append(self.now)
        if self.mood == "silent":
            raise NetworkFailure(NetworkFault.TIMEOUT, "no answer")
        if self.mood == "gone":
            self.refused_at = self.now
            raise DocumentFailure(DocumentFault.STATUS, "404")
        headers = {"cache-control": self.control} if self.control else {}
        tag = f'"{self.version}"'
        self.told.add((self.now, self.version))
        if self.knows_etags and etag == tag:
            return Fetched(304, b"", MappingProxyType(headers))
        if self.knows_etags:
            headers["etag"] = tag
        return Fetched(200, json.dumps({"client_id": url, "version": self.version}).encode(), MappingProxyType(headers))


class CacheMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.host, self.refused = Host(), -1

    @initialize(room=st.sampled_from([0, 9]))
    def start(self, room: int) -> None:
        shelf, self.is_shared = Shelf(room), room > 0
        self.workers = [self._worker(shelf, name) for name in ("one", "two")]

    def _worker(self, shelf: Shelf, name: str) -> DocumentCache[dict[str, Any], dict[str, Any]]:
        return DocumentCache(
            cast(Fetcher, self.host),
            shelf,
            read_document=read_document,
            read_keys=read_document,
            pay=lambda source_address, at: None,
            holder=name,
            clock=lambda: 0.0,
            pause=lambda seconds: None,
        )

    @rule(seconds=st.sampled_from([1, 2, 5, 59, 60, 3600, 86_340]))
    def time_passes(self, seconds: int) -> None:
        self.host.now += seconds

    @rule(mood=st.sampled_from(["good", "silent", "gone"]))
    def the_host_changes(self, mood: str) -> None:
        self.host.mood = mood

    @rule(
        control=st.sampled_from(["", "max-age=99999", "no-cache", "no-store"]),
        knows_etags=st.booleans(),
    )
    def the_document_changes(self, control: str, knows_etags: bool) -> None:
        host = self.host
        host.version, host.control, host.knows_etags = host.version + 1, control, knows_etags

    @rule(worker=st.integers(0, 1))
    def somebody_needs_it(self, worker: int) -> None:
        self._ask(worker, ask_again=False)

    @rule(worker=st.integers(0, 1))
    def somebody_needs_a_newer_one(self, worker: int) -> None:
        self._ask(worker, ask_again=True)

    def _ask(self, worker: int, *, ask_again: bool) -> None:
        host, cache = self.host, self.workers[worker]
        asked = len(host.asked)
        try:
            found = cache.keys(URL, now=host.now, source_address="192.0.2.1", unknown_kid=ask_again)
        except EvidenceRejected:
            assert host.mood == "gone"
            self.refused = worker
            assert len(host.asked) == asked + 1, "a refusal is nobody's memory (CIMD-14)"
        except FetchDelayed:
            assert host.asked[-1] > host.now - REST_SECONDS, "nobody waits for a host that was not asked a moment ago"
        except Unavailable:
            assert host.mood == "silent"
            assert len(host.asked) == asked + 1
        else:
            assert len(host.asked) <= asked + 1
            self._check(worker, found, was_asked=len(host.asked) > asked, ask_again=ask_again)

    def _check(self, worker: int, found: StoredDocument[dict[str, Any]], *, was_asked: bool, ask_again: bool) -> None:
        host, age = self.host, self.host.now - found.fetched_at
        assert (found.fetched_at, found.value["version"]) in host.told, "the host said so, and then"
        assert 0 <= age < KEEP_SECONDS
        if ask_again:
            assert age < REST_SECONDS
        if was_asked and host.mood == "good":
            assert found.value["version"] == host.version
        if was_asked and host.mood == "silent":
            assert not ask_again
        if found.fetched_at < host.refused_at:
            # Another worker may not have looked yet, or be the only one that has its copy at all.
            assert worker != self.refused
            assert host.now - host.refused_at < LOOK_SECONDS or not self.is_shared


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
