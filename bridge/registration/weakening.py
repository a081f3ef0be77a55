"""What happens at once when a document says that its client authenticates less well than before (CIMD-28).

Whoever holds a key or an SVID was worth a token; whoever has merely read the URL may not be. So the tokens and
grants of before end as soon as anybody comes with that document, be it in vain: what makes it true is the document,
not the caller.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientRecord, ClientState
from bridge.model.document import StoredDocument
from bridge.model.evidence import RequestContext
from bridge.registration.documented import is_current
from bridge.registration.standing_still import until_it_stands
from bridge.store.ports import ClientStore
from bridge.verify.metadata_documents import NONE, PRIVATE_KEY_JWT, SPIFFE_JWT, VerifiedDocument

_STRENGTH = {NONE: 0, PRIVATE_KEY_JWT: 1, SPIFFE_JWT: 2}
_METHOD = "token_endpoint_auth_method"
# So many documents are remembered; one that is forgotten costs a read of its client's record.
CAPACITY = 16_384


class Weakening:
    """Compares each document with its client's record, once after each time that it was fetched. Thread-safe."""

    def __init__(self, clients: ClientStore, capacity: int = CAPACITY) -> None:
        self._clients, self._capacity = clients, capacity
        # When it was fetched, too: another worker may have seen it say something else in between.
        self._seen: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def notice(self, document: StoredDocument[VerifiedDocument], context: RequestContext) -> None:
        """End what was issued to the client if this document is the first to say less than its record does.

        Raises: RegistrationChanged when others keep changing the record; Unavailable.
        """
        url, sight = document.url, (document.value.digest, document.fetched_at)
        if self._seen.get(url) == sight:
            return
        until_it_stands(lambda: self._compare(document, context))
        with self._lock:
            self._seen.pop(url, None)
            self._seen[url] = sight
            if len(self._seen) > self._capacity:
                del self._seen[next(iter(self._seen))]

    def _compare(self, document: StoredDocument[VerifiedDocument], context: RequestContext) -> None:
        record = self._clients.get(document.url)
        if record is None or record.state_at(context.now) is not ClientState.ACTIVE:
            return
        if is_current(record, document) or not _is_weaker(record, document.value):
            return
        self._clients.replace_metadata(
            record.client_id,
            epoch=record.epoch,
            rule=record.rule,
            metadata={**record.metadata, _METHOD: document.value.method},
            # The record is no document's now: whichever is used to register next takes its place whole.
            provenance=replace(record.provenance, document_digest=""),
            was=record.provenance,
            ends_tokens=True,
            event=AuditEvent(
                id=context.correlation_id,
                time=context.now,
                event=AuditEventKind.UPDATED,
                door=context.door.value,
                source_address=context.source_address,
                subject=record.subject,
                rule=record.rule,
                outcome="weakened",
                client_id=record.client_id,
            ),
            now=context.now,
        )


def _is_weaker(record: ClientRecord, document: VerifiedDocument) -> bool:
    before = record.metadata.get(_METHOD)
    return isinstance(before, str) and _STRENGTH[document.method] < _STRENGTH.get(before, 0)
