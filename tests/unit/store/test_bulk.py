"""Seeding many records: the store is as if they had registered, and pages are cheap."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.client import ClientKind, ClientState, Provenance
from bridge.model.errors import LimitReached, Unavailable
from bridge.model.evidence import EvidenceKind
from bridge.store import authorization_statements as flow
from bridge.store import statements as sql
from bridge.store.bulk import seed_clients
from bridge.store.ports import ClientFilter, RegistrationLimits
from bridge.store.redeeming import GRANTS_IN_USE
from tests.contract.places import SqlitePlace
from tests.contract.records import NOW, ensure, event, issue, record, spiffe

RECORDS = 3000


def test_seeded_records_are_records_like_any_other(sqlite: SqlitePlace) -> None:
    records = [record(number) for number in range(RECORDS)]
    records[7] = replace(
        records[7],
        state=ClientState.REVOKED,
        metadata={"grant_types": ["client_credentials"]},
        provenance=Provenance(EvidenceKind.X509_SVID),
    )
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


def test_seeded_records_count_against_whom_registered_ones_do(sqlite: SqlitePlace) -> None:
    issuer = "https://ci.example.org"
    given = {"kind": ClientKind.STATEMENT, "trust_domain": None, "provenance": Provenance(statement_issuer=issuer)}
    seed_clients(sqlite.path, [record(number, **given) for number in range(2)])
    clients, two = sqlite.open().clients, RegistrationLimits(2, 9, 9)
    assert ensure(clients, limits=two).created
    proposed = spiffe("statement-3", **given)
    with pytest.raises(LimitReached):
        ensure(clients, proposed, limits=two)
    clients.revoke(record(1).client_id, event=event(), now=NOW)
    assert ensure(clients, proposed, limits=two).created


def plans_of(sqlite: SqlitePlace, statement: str, values: tuple[object, ...]) -> list[str]:
    rows = sqlite.open()._readers.rows(f"EXPLAIN QUERY PLAN {statement}", values)
    return [row[3] for row in rows]


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        pytest.param(flow.SWEEP_REQUESTS, (NOW, 9), "requests_ended (ends_at<?)", id="ended requests"),
        pytest.param(flow.SWEEP_GRANTS, (NOW, 9), "grants_ended (ends_at<?)", id="ended grants"),
        pytest.param(flow.SWEEP_SESSIONS, (NOW, 9), "sessions_ended (expires_at<?)", id="ended sessions"),
        pytest.param(flow.SWEEP_CONSENTS, (NOW, 9), "consents_unseen (seen_at<?)", id="unseen consents"),
        pytest.param(flow.GRANTS_OF_USER, ("user", NOW, 9), "grants_by_user (user_id=?)", id="grants of a user"),
        pytest.param(flow.END_GRANTS_OF_USER, (NOW, "user", "c"), "grants_by_user (user_id=?)", id="end of them"),
        pytest.param(flow.SEE_USER, (NOW, "user", NOW), "(user_id=?)", id="consents of a user"),
        pytest.param(GRANTS_IN_USE, ('["a"]',), "sqlite_autoindex_grants_1 (grant_id=?)", id="grants in use"),
        pytest.param(sql.LEASES, ("parent", NOW, 9), "clients_leased (parent=? AND expires_at>?)", id="leases"),
        pytest.param(sql.WAITING, ("", "", 9), "approvals_waiting", id="waiting"),
        pytest.param(sql.BUCKETS_IN_USE, ("kind", NOW, 9), "buckets_by_fill (kind=? AND full_at>?)", id="buckets"),
        pytest.param(sql.SWEEP_BUCKETS, ("kind", NOW, 9), "buckets_by_fill (kind=? AND full_at<?)", id="full buckets"),
        pytest.param(sql.TOUCHED, ("name", "name"), "clients_by_parent (parent=?)", id="instances"),
        pytest.param(sql.FIND, ("a",) * 7, "sqlite_autoindex_clients_1 (client_id=?)", id="find"),
    ],
)
def test_what_a_question_costs_does_not_grow_with_the_table(
    sqlite: SqlitePlace, statement: str, values: tuple[object, ...], index: str
) -> None:
    """T-41, T-42."""
    plans = plans_of(sqlite, statement, values)
    assert any(index in plan for plan in plans), plans
    assert not any(plan.startswith("SCAN clients") for plan in plans), plans
    # Only what an operator named is sorted after it was found.
    assert statement == sql.TOUCHED or not any("TEMP B-TREE" in plan for plan in plans), plans


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
