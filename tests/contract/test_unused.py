"""Clients that nobody uses: by the time of their last token, whatever else is asked for."""

from __future__ import annotations

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState
from bridge.store.ports import FIRST_USE, ClientFilter, Store
from tests.contract.records import DAY, NOW, ensure, event, instance, issue, shared, spiffe

A, B = (f"spiffe://example.org/{name}" for name in "ab")
EVER = NOW + 1000 * DAY


@pytest.fixture
def filled(store: Store) -> Store:
    """Records of eight days, some used later, some in the same second as others, some ended."""
    for number in range(16):
        made = ensure(store.clients, spiffe(f"{A}/{number:02}", rule=f"rule-{number % 2}"), now=NOW + number // 2 * DAY)
        if number % 5 == 4:
            issue(store.clients, made, now=NOW + (number // 2 + 3) * DAY)
    for number in range(3):
        ensure(store.clients, instance(number, parent=B, rule="rule-0"), now=NOW + number * DAY)
    ensure(store.clients, shared(member=A, state=ClientState.PENDING), now=NOW + DAY)
    store.clients.revoke(f"{A}/06", event=event(AuditEventKind.REVOKED), now=NOW + DAY)
    return store


def every_part(store: Store, where: ClientFilter, until: int, limit: int, scan: int) -> list[str]:
    found: list[str] = []
    after = FIRST_USE
    for _ in range(200):
        part = store.clients.unused(where, until=until, after=after, limit=limit, scan=scan)
        assert len(part.records) <= limit
        found += [record.client_id for record in part.records]
        if part.after is None:
            return found
        assert part.after > after
        after = part.after
    raise AssertionError("the parts do not end")


@pytest.mark.parametrize(
    "where",
    [
        ClientFilter(),
        ClientFilter(state=ClientState.ACTIVE),
        ClientFilter(state=ClientState.PENDING),
        ClientFilter(state=ClientState.REVOKED, rule="rule-0"),
        ClientFilter(rule="rule-1"),
        ClientFilter(trust_domain="example.org", subject_prefix=f"{A}/1"),
        ClientFilter(trust_domain="nowhere.test"),
        ClientFilter(parent=B),
    ],
    ids=str,
)
def test_parts_hold_exactly_who_got_nothing_since_then_the_longest_first(filled: Store, where: ClientFilter) -> None:
    records = filled.clients.list(where, limit=100)
    for until in (NOW - DAY, NOW, NOW + 3 * DAY, NOW + 7 * DAY, EVER):
        wanted = sorted((r.last_used_at, r.client_id) for r in records if r.last_used_at <= until)
        for limit, scan in ((1, 1), (2, 3), (100, 4), (3, 100)):
            assert every_part(filled, where, until, limit, scan) == [name for _, name in wanted], (limit, scan)


def test_a_token_takes_a_record_off_the_list_and_a_registration_alone_counts_as_its_use(store: Store) -> None:
    used, never = ensure(store.clients, spiffe(A)), ensure(store.clients, spiffe(B))
    assert every_part(store, ClientFilter(), NOW, 9, 9) == [A, B]
    assert every_part(store, ClientFilter(), NOW - 1, 9, 9) == []
    issue(store.clients, used, now=NOW + DAY)
    assert every_part(store, ClientFilter(), NOW + DAY - 1, 9, 9) == [never.record.client_id]
    assert every_part(store, ClientFilter(), EVER, 9, 9) == [B, A]
