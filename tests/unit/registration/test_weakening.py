"""A document that authenticates its client less well than its record says ends what was issued (CIMD-28)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.jose.keys import SigningKey
from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientKind, ClientRecord, Provenance
from bridge.model.document import StoredDocument
from bridge.model.errors import RegistrationChanged
from bridge.model.evidence import Door, EvidenceKind, RequestContext
from bridge.model.reasons import Reason
from bridge.registration.standing_still import ATTEMPTS
from bridge.registration.weakening import Weakening
from bridge.store.ports import ClientStore, Store
from bridge.verify.metadata_documents import VerifiedDocument, read_document
from tests.contract.places import SqlitePlace
from tests.contract.records import NOW, ensure, spiffe

URL = "https://agents.example.org/planner"
CONTEXT = RequestContext("an-id", "192.0.2.1", Door.TOKEN, NOW)
JWKS = {"keys": [SigningKey.generate("ES256", "own-1").public_jwk()]}
ACTED: dict[str, Any] = {"spiffe_id": "spiffe://example.org/ns/agents/*"}
KEYED: dict[str, Any] = {"token_endpoint_auth_method": "private_key_jwt", "jwks": JWKS}
PUBLIC: dict[str, Any] = {"token_endpoint_auth_method": "none"}
METHODS = {"spiffe_jwt": ACTED, "private_key_jwt": KEYED, "none": PUBLIC}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    place = SqlitePlace(tmp_path)
    place.create()
    yield place.open()
    place.close()


def fetched(members: Mapping[str, Any], at: int = NOW) -> StoredDocument[VerifiedDocument]:
    body = json.dumps({"client_id": URL, **members}).encode()
    return StoredDocument(URL, body, "aa" * 32, at, read_document(body, URL))


def registered(store: Store, members: Mapping[str, Any]) -> ClientRecord:
    """The client as its document was when it registered."""
    document = fetched(members)
    origin = Provenance(
        EvidenceKind.METADATA_DOCUMENT, document_digest=document.value.digest, document_fetched_at=document.fetched_at
    )
    proposed = spiffe(
        client_id=URL,
        subject=URL,
        kind=ClientKind.METADATA_DOCUMENT,
        trust_domain=None,
        metadata={"token_endpoint_auth_method": document.value.method, "client_name": "Planner"},
        provenance=origin,
    )
    return ensure(store.clients, proposed).record


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        ("spiffe_jwt", "private_key_jwt", True),
        ("spiffe_jwt", "none", True),
        ("private_key_jwt", "none", True),
        ("none", "private_key_jwt", False),
        ("none", "spiffe_jwt", False),
        ("private_key_jwt", "spiffe_jwt", False),
        ("private_key_jwt", "private_key_jwt", False),
    ],
)
def test_less_than_before_ends_what_was_issued(store: Store, before: str, after: str, ends: bool) -> None:
    record = registered(store, METHODS[before])
    Weakening(store.clients).notice(fetched({**METHODS[after], "client_name": "New"}, NOW + 60), CONTEXT)
    found = store.clients.get(URL)
    assert found is not None
    assert (found.epoch > record.epoch) is ends
    assert found.metadata == {**record.metadata, "token_endpoint_auth_method": after if ends else before}
    rows = [row.event for row in store.audit.rows(events=[AuditEventKind.UPDATED])]
    assert [(row.outcome, row.subject, row.client_id) for row in rows] == [("weakened", URL, URL)] * ends


def test_an_older_copy_says_nothing_of_now(store: Store) -> None:
    record = registered(store, KEYED)
    Weakening(store.clients).notice(fetched(PUBLIC, NOW - 60), CONTEXT)
    assert store.clients.get(URL) == record
    # Unless it is much older than any copy can be: then it is the clock that was set back.
    Weakening(store.clients).notice(fetched(PUBLIC, NOW - 30 * 86400), CONTEXT)
    assert store.clients.get(URL) != record


def test_nobody_is_weakened_who_has_no_live_record(store: Store) -> None:
    Weakening(store.clients).notice(fetched(PUBLIC), CONTEXT)
    assert store.clients.get(URL) is None
    record = registered(store, KEYED)
    late = replace(CONTEXT, now=record.expires_at or 0)
    Weakening(store.clients).notice(fetched(PUBLIC, NOW + 60), late)
    assert store.clients.get(URL) == record


@dataclass
class Crowded:
    """Clients whose records somebody else always changes first; `reads` are counted."""

    clients: ClientStore
    changes: int = 0
    reads: int = 0

    def get(self, client_id: str) -> ClientRecord | None:
        self.reads += 1
        return self.clients.get(client_id)

    def replace_metadata(self, client_id: str, **given: Any) -> ClientRecord:
        if self.changes:
            self.changes -= 1
            raise RegistrationChanged(Reason.REGISTRATION_CHANGED, "somebody was faster")
        return self.clients.replace_metadata(client_id, **given)


@pytest.mark.parametrize("changes", [0, 1, ATTEMPTS - 1, ATTEMPTS])
def test_it_looks_again_when_somebody_was_faster(store: Store, changes: int) -> None:
    registered(store, KEYED)
    crowd = Crowded(store.clients, changes)
    watch = Weakening(cast("ClientStore", crowd))
    if changes == ATTEMPTS:
        with pytest.raises(RegistrationChanged):
            watch.notice(fetched(PUBLIC, NOW + 60), CONTEXT)
        return
    watch.notice(fetched(PUBLIC, NOW + 60), CONTEXT)
    found = store.clients.get(URL)
    assert found is not None
    assert found.metadata["token_endpoint_auth_method"] == "none"


def test_each_document_is_compared_once_after_each_fetch(store: Store) -> None:
    """And again after the next one: another worker may have seen it say something else in between."""
    registered(store, KEYED)
    crowd = Crowded(store.clients)
    watch = Weakening(cast("ClientStore", crowd), capacity=1)
    for at, reads in ((NOW, 1), (NOW, 1), (NOW + 60, 2), (NOW + 60, 2)):
        watch.notice(fetched(KEYED, at), CONTEXT)
        assert crowd.reads == reads
    elsewhere = replace(fetched(KEYED), url=URL + "/other")
    watch.notice(elsewhere, CONTEXT)
    watch.notice(fetched(KEYED, NOW + 60), CONTEXT)
    assert crowd.reads == 4, "of more than its capacity it forgets the first"
