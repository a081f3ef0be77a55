"""Clients for people: whatever is asked for, a page looks at a part of the records."""

from __future__ import annotations

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState
from bridge.store.ports import ClientFilter, Store
from tests.contract.records import ensure, event, instance, shared, spiffe

A, B, C = (f"spiffe://example.org/{name}" for name in "abc")
LAST = "\U0010ffff"


@pytest.fixture
def filled(store: Store) -> Store:
    for number in range(12):
        ensure(store.clients, spiffe(f"{A}/{number:02}", rule=f"rule-{number % 2}"))
    for number in range(4):
        ensure(store.clients, instance(number, parent=B, rule="rule-0"))
    ensure(store.clients, instance(9, parent=C))
    ensure(store.clients, shared(member=A))
    for number in (1, 4, 7):
        store.clients.revoke(f"{A}/{number:02}", event=event(AuditEventKind.REVOKED), now=1)
    return store


def all_parts(store: Store, where: ClientFilter, limit: int, scan: int, *, until: str = LAST) -> list[str]:
    found: list[str] = []
    after: str | None = ""
    for _ in range(200):
        part = store.clients.part(where, after=after or "", until=until, limit=limit, scan=scan)
        assert len(part.records) <= limit
        found += [record.client_id for record in part.records]
        after = part.after
        if after is None:
            return found
    raise AssertionError("the parts do not end")


@pytest.mark.parametrize(
    "where",
    [
        ClientFilter(),
        ClientFilter(state=ClientState.ACTIVE),
        ClientFilter(state=ClientState.REVOKED),
        ClientFilter(state=ClientState.REVOKED, rule="rule-1"),
        ClientFilter(state=ClientState.ACTIVE, rule="rule-0"),
        ClientFilter(rule="rule-1"),
        ClientFilter(trust_domain="example.org"),
        ClientFilter(trust_domain="nowhere.test", rule="rule-0"),
        ClientFilter(parent=B),
        ClientFilter(parent=B, state=ClientState.ACTIVE, trust_domain="example.org", rule="rule-0"),
        ClientFilter(state=ClientState.DENIED),
    ],
    ids=str,
)
def test_parts_together_hold_exactly_what_a_list_does(filled: Store, where: ClientFilter) -> None:
    wanted = [record.client_id for record in filled.clients.list(where, limit=100)]
    for limit, scan in ((1, 1), (2, 3), (100, 4), (3, 100)):
        assert all_parts(filled, where, limit, scan) == wanted, (limit, scan)


def test_a_part_stays_in_its_stretch_and_stops_where_it_has_looked_at_enough(filled: Store) -> None:
    assert all_parts(filled, ClientFilter(), 100, 100, until=A) == [
        *(f"instance-{number}" for number in (0, 1, 2, 3, 9)),
        "payments-batch",
    ]
    nobody = filled.clients.part(
        ClientFilter(rule="x", trust_domain="example.org"), after="", until=LAST, limit=9, scan=2
    )
    assert (nobody.records, nobody.after) == ([], None)
    few = filled.clients.part(ClientFilter(state=ClientState.ACTIVE), after=f"{A}/06", until=LAST, limit=9, scan=1)
    assert (few.records, few.after) == ([], f"{A}/07")


def test_identities_with_instances_are_found_by_name(filled: Store) -> None:
    assert filled.clients.parents(after="", low="", until=LAST, limit=9) == [B, C]
    assert filled.clients.parents(after="", low="", until=LAST, limit=1) == [B]
    assert filled.clients.parents(after=B, low="", until=LAST, limit=9) == [C]
    assert filled.clients.parents(after="", low=C, until=LAST, limit=9) == [C]
    assert filled.clients.parents(after="", low="", until=C, limit=9) == [B]
    assert filled.clients.parents(after=C, low="", until=LAST, limit=9) == []
