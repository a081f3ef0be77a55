"""Seeding many records: the store is as if they had registered, and pages are cheap."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.client import ClientState
from bridge.model.errors import LimitReached, Unavailable
from bridge.store.bulk import seed_clients
from bridge.store.ports import ClientFilter, RegistrationLimits
from tests.contract.places import SqlitePlace
from tests.contract.records import NOW, ensure, event, issue, record

RECORDS = 3000


def test_seeded_records_are_records_like_any_other(sqlite: SqlitePlace) -> None:
    records = [record(number) for number in range(RECORDS)]
    records[7] = replace(records[7], state=ClientState.REVOKED, metadata={"grant_types": ["client_credentials"]})
    assert seed_clients(sqlite.path, iter(records)) == RECORDS
    store = sqlite.open()
    assert store.clients.get(records[7].client_id) == records[7]
    assert store.clients.count_by_state() == {
        ("spiffe", ClientState.ACTIVE): RECORDS - 1,
        ("spiffe", ClientState.REVOKED): 1,
    }
    found = store.clients.find(records[5].client_id, subject=records[5].subject)
    assert found.record == records[5]
    with pytest.raises(LimitReached):
        ensure(store.clients, limits=RegistrationLimits(RECORDS - 1, 1, 1))
    ensured = ensure(store.clients, limits=RegistrationLimits(RECORDS, 1, 1))
    issue(store.clients, ensured)
    swept = store.clients.sweep(now=NOW + 10, keep_ended=0, pending_expiry=9, batch=10, event=lambda ended: event())
    assert swept.removed == 1


def test_a_record_that_is_there_already_stops_the_seeding(sqlite: SqlitePlace) -> None:
    seed_clients(sqlite.path, [record(1)])
    with pytest.raises(Unavailable):
        seed_clients(sqlite.path, [record(2), record(1)])
    assert len(sqlite.open().clients.list(ClientFilter(), limit=10)) == 1


@pytest.mark.parametrize(
    "where",
    [
        ClientFilter(),
        ClientFilter(trust_domain="example.org"),
        ClientFilter(rule="web", state=ClientState.ACTIVE),
        ClientFilter(state=ClientState.REVOKED, rule="web", trust_domain="example.org"),
        ClientFilter(parent="nobody", rule="web"),
        ClientFilter(subject_prefix="spiffe://example.org/ns/web/sa/seeded-0000"),
    ],
    ids=str,
)
def test_a_page_walks_along_an_index_and_sorts_nothing(sqlite: SqlitePlace, where: ClientFilter) -> None:
    """A million records: what a page costs is what it holds."""
    from bridge.store.listing import page

    store = sqlite.open()
    plans: list[str] = []

    def explain(statement, parameters):  # type: ignore[no-untyped-def]
        plans.extend(row[3] for row in store._readers.rows(f"EXPLAIN QUERY PLAN {statement}", parameters))
        return []

    page(explain, where, limit=10, after="")
    for plan in plans:
        assert "SEARCH" in plan or "clients_by_subject" in plan or plan.startswith("USE TEMP B-TREE")
        if plan.startswith("USE TEMP B-TREE"):
            assert where.subject_prefix, "only records named otherwise than their subject are sorted"
