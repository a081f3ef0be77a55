"""Records of clients known by a document: whose they are, who acts for them, and what a changed document does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientKind, ClientState, ProposedClient, Provenance
from bridge.model.errors import IdentityDenied, RegistrationChanged
from bridge.model.evidence import EvidenceKind
from bridge.store.ports import Store
from tests.contract.records import API, NOW, OTHER, ensure, event, issue, shared, spiffe

URL = "https://agents.example.org/planner"
DOCUMENT = Provenance(EvidenceKind.METADATA_DOCUMENT, document_digest="aa" * 32, document_fetched_at=NOW)
UPDATED = AuditEventKind.UPDATED


def document(member: str | None = None, **fields: Any) -> ProposedClient:
    given = {"client_id": URL, "subject": URL, "kind": ClientKind.METADATA_DOCUMENT, "trust_domain": None}
    return spiffe(API, **(given | {"member": member, "provenance": DOCUMENT} | fields))


def test_a_document_and_the_spiffe_id_that_acts_for_it_are_two_records(store: Store) -> None:
    own = ensure(store.clients, spiffe(API)).record
    acted = ensure(store.clients, document(API))
    assert (own.client_id, acted.record.client_id, acted.record.identities) == (API, URL, 1)
    assert acted.record.provenance == DOCUMENT
    assert acted.member is not None
    assert ensure(store.clients, document(OTHER)).record.identities == 2
    # A client that nobody acts for has seen no SPIFFE ID.
    alone = document(client_id=URL + "2", subject=URL + "2")
    assert ensure(store.clients, alone).record.identities == 0


def test_a_spiffe_id_knows_all_clients_that_it_was_seen_under(store: Store) -> None:
    assert store.clients.memberships(API, limit=9) == []
    under = [ensure(store.clients, one).member for one in (document(API), shared(API))]
    ensure(store.clients, document(OTHER))
    assert store.clients.memberships(API, limit=9) == under
    assert store.clients.memberships(API, limit=1) == under[:1]
    assert store.clients.memberships(API, limit=9, after=URL) == under[1:]


def test_the_tombstone_of_a_spiffe_id_keeps_it_from_its_document_and_nobody_else(store: Store) -> None:
    for member in (API, OTHER):
        ensure(store.clients, document(member))
    store.clients.deny(API, absent=spiffe(API), event=event(AuditEventKind.DENIED), now=NOW)
    assert store.clients.find(URL, subject=API, member=API).denied
    assert not store.clients.find(URL, subject=OTHER, member=OTHER).denied
    with pytest.raises(IdentityDenied):
        ensure(store.clients, document(API))
    assert not ensure(store.clients, document(OTHER)).created


@pytest.mark.parametrize("ends_tokens", [False, True])
def test_a_changed_document_takes_the_place_of_the_other_and_may_end_what_was_issued(
    store: Store, ends_tokens: bool
) -> None:
    """T-8, CIMD-28: a token of before is then not written any more either."""
    registered = ensure(store.clients, document())
    newer = replace(DOCUMENT, document_digest="bb" * 32, document_fetched_at=NOW + 5)
    after = store.clients.replace_metadata(
        URL,
        epoch=registered.record.epoch,
        rule="web",
        metadata={"client_name": "New"},
        provenance=newer,
        ends_tokens=ends_tokens,
        event=event(UPDATED),
        now=NOW,
    )
    assert after == store.clients.get(URL)
    assert (after.provenance, after.state) == (newer, ClientState.ACTIVE)
    assert (after.epoch > registered.record.epoch) is ends_tokens
    if not ends_tokens:
        issue(store.clients, registered)
        return
    with pytest.raises(RegistrationChanged):
        issue(store.clients, registered)
    issue(store.clients, replace(registered, record=after))


def test_of_two_who_saw_the_same_document_on_the_record_one_replaces_it(store: Store) -> None:
    record = ensure(store.clients, document()).record

    def put(digest: str) -> None:
        store.clients.replace_metadata(
            URL,
            epoch=record.epoch,
            rule="web",
            metadata={},
            provenance=replace(DOCUMENT, document_digest=digest),
            was=record.provenance,
            event=event(UPDATED),
            now=NOW,
        )

    put("bb" * 32)
    with pytest.raises(RegistrationChanged):
        put("cc" * 32)
    found = store.clients.get(URL)
    assert found is not None
    assert found.provenance.document_digest == "bb" * 32
    assert len(store.audit.rows(events=[UPDATED])) == 1
