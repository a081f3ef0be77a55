"""Clients' documents in a running service: how often their hosts are asked, and what becomes of copies."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from bridge.fetch.held_copies import KEEP_SECONDS
from bridge.model.document import DocumentCopy, DocumentKind
from tests.flows.timed import Timed


def test_copies_that_nobody_may_use_any_more_are_swept(timed: Callable[..., Timed]) -> None:
    service = timed()
    store, at = service.process.worker._store.documents, service.clock()
    body = b"{}"
    for number in range(120):
        url = f"https://{number}.example/"
        copy = DocumentCopy(
            DocumentKind.DOCUMENT, url, body, sha256(body).hexdigest(), "", at - number, at + 60, must_revalidate=False
        )
        assert store.keep(copy, holder="me")

    def left() -> int:
        urls = (f"https://{number}.example/" for number in range(120))
        return sum(store.find(DocumentKind.DOCUMENT, url).copy is not None for url in urls)

    service.clock.offset += KEEP_SECONDS - 20
    sweep = service.process.worker._upkeep._sweep_documents
    rests = []
    while (rest := sweep(service.clock())) is not None:
        rests.append(rest)
    assert (left(), len(rests)) == (20, 2), "in small steps, with rests between them"
    service.clock.offset += 20
    assert sweep(service.clock()) is None
    assert left() == 0
