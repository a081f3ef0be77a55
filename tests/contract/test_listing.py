"""Lists: pages in the order of `client_id`, whatever is asked for."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState
from bridge.store.ports import ClientFilter, Store
from tests.contract.records import API, ensure, event, instance, shared, spiffe

EVERY = [
    spiffe("spiffe://example.org/a"),
    spiffe("spiffe://example.org/ab", rule="second"),
    spiffe("spiffe://example.org/ac"),
    spiffe("spiffe://elsewhere.test/a", trust_domain="elsewhere.test"),
    shared(rule="second"),
    *(instance(number, parent="spiffe://example.org/ab") for number in range(3)),
    instance(9, parent=API),
]
REVOKED = "spiffe://example.org/ac"


@pytest.fixture
def filled(store: Store) -> Store:
    for proposed in EVERY:
        ensure(store.clients, proposed)
    store.clients.revoke(REVOKED, event=event(AuditEventKind.REVOKED), now=1)
    return store


@pytest.mark.parametrize(
    "where",
    [
        ClientFilter(),
        ClientFilter(state=ClientState.ACTIVE),
        ClientFilter(state=ClientState.REVOKED),
        ClientFilter(state=ClientState.DENIED),
        ClientFilter(trust_domain="elsewhere.test"),
        ClientFilter(rule="second"),
        ClientFilter(rule="second", state=ClientState.ACTIVE),
        ClientFilter(parent="spiffe://example.org/ab"),
        ClientFilter(parent="spiffe://example.org/ab", rule="web", trust_domain="example.org"),
        ClientFilter(subject_prefix="spiffe://example.org/a"),
        ClientFilter(subject_prefix="spiffe://example.org/ab"),
        ClientFilter(subject_prefix="spiffe://example.org/ab", state=ClientState.ACTIVE),
        ClientFilter(subject_prefix="payments"),
        ClientFilter(subject_prefix="nothing begins so"),
        ClientFilter(subject_prefix="spiffe://example.org/a%"),
    ],
    ids=lambda where: "-".join(f"{key}={value}" for key, value in asdict(where).items() if value) or "all",
)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_pages_hold_exactly_what_matches_in_order(filled: Store, where: ClientFilter, limit: int) -> None:
    listed: list[str] = []
    while page := filled.clients.list(where, limit=limit, after=listed[-1] if listed else ""):
        assert len(page) <= limit
        listed += [record.client_id for record in page]
    expected = [
        proposed.client_id
        for proposed in sorted(EVERY, key=lambda proposed: proposed.client_id)
        if where.state in (None, ClientState.REVOKED if proposed.client_id == REVOKED else ClientState.ACTIVE)
        and where.trust_domain in (None, proposed.trust_domain)
        and where.rule in (None, proposed.rule)
        and where.parent in (None, proposed.parent)
        and proposed.subject.startswith(where.subject_prefix or "")
    ]
    assert listed == expected
