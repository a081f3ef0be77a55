"""How keys and documents of others are fetched. Beside `wiring`, a part of the composition root, and without what only
answering requests needs."""

from __future__ import annotations

from bridge.fetch.fetcher import Fetcher, Purpose
from bridge.fetch.freshness import MIN_SECONDS, freshness
from bridge.registration.seen_documents import GetDocument
from bridge.verify.issuer_urls import MAX_KEY_SET_BYTES, FetchedKeySet, KeySetFetch


def key_set_fetch(fetcher: Fetcher) -> KeySetFetch:
    """How the JWK Set at a configured URL is fetched. One that may not be stored is fetched every minute: it is
    asked for ahead of the statements that need it."""

    def fetch(url: str, *, etag: str, in_request: bool, now: int) -> FetchedKeySet:
        fetched = fetcher.get_configured(
            url,
            purpose=Purpose.ISSUER_KEYS,
            max_bytes=MAX_KEY_SET_BYTES,
            etag=etag or None,
            in_request=in_request,
        )
        fresh_until = max(freshness(fetched.headers, now=now).fresh_until, now + MIN_SECONDS)
        return FetchedKeySet(None if fetched.status == 304 else fetched.body, fetched.etag or "", fresh_until)

    return fetch


def document_getter(fetcher: Fetcher, *, in_request: bool = True) -> GetDocument:
    """How an operator has the document of a client fetched that waits. `in_request`: a thread waits that answers
    requests, and of those only some may."""

    def get(url: str, *, for_keys: bool) -> bytes:
        purpose = Purpose.CLIENT_KEYS if for_keys else Purpose.DOCUMENT
        return fetcher.get(url, purpose=purpose, in_request=in_request).body

    return get
