"""The documents and key sets of clients as all workers share them: `model.document.ClientDocuments`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from bridge.fetch.deadline import Clock
from bridge.fetch.fetcher import Fetcher, Purpose
from bridge.fetch.shared_copies import CacheObserver, CopyStore, Question, SharedCopies
from bridge.model.document import DocumentKind, StoredDocument

D = TypeVar("D")
K = TypeVar("K")


class DocumentCache(Generic[D, K]):
    """See `ClientDocuments`. Knows nothing of what is in a document: its checks come from outside. Thread-safe."""

    def __init__(
        self,
        fetcher: Fetcher,
        store: CopyStore,
        *,
        read_document: Callable[[bytes, str], D],
        read_keys: Callable[[bytes, str], K],
        pay: Callable[[str, int], None],
        holder: str,
        observe: CacheObserver = lambda kind, outcome: None,
        clock: Clock = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`read_document` and `read_keys` take a body and the URL it came from, raise EvidenceRejected, and depend
        on nothing else: what they made of a body is kept with it. `pay` takes a source address and the time, and
        raises LimitReached. `holder` is a name that no other process has. `clock` and `pause` are for waiting
        alone, in seconds."""
        self._pay = pay
        self._documents: SharedCopies[D] = SharedCopies(
            DocumentKind.DOCUMENT,
            fetcher,
            store,
            purpose=Purpose.DOCUMENT,
            read=read_document,
            holder=holder,
            observe=observe,
            clock=clock,
            pause=pause,
        )
        self._keys: SharedCopies[K] = SharedCopies(
            DocumentKind.JWKS,
            fetcher,
            store,
            purpose=Purpose.CLIENT_KEYS,
            read=read_keys,
            holder=holder,
            observe=observe,
            clock=clock,
            pause=pause,
        )

    def document(self, url: str, *, now: int, source_address: str) -> StoredDocument[D]:
        """As `ClientDocuments` says."""
        return self._documents.get(Question(url, now, lambda at: self._pay(source_address, at)))

    def keys(self, url: str, *, now: int, source_address: str, unknown_kid: bool = False) -> StoredDocument[K]:
        """As `ClientDocuments` says."""
        return self._keys.get(Question(url, now, lambda at: self._pay(source_address, at), unknown_kid))
