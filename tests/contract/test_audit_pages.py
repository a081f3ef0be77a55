"""Pages of the audit log for people: whatever is asked for, a page reads a bounded part of the log."""

from __future__ import annotations

import pytest

from bridge.model.audit import AuditEventKind
from bridge.store.ports import AuditFilter, Store
from tests.contract.records import NOW, event

ISSUED, REFUSED, POLICY = AuditEventKind.TOKEN_ISSUED, AuditEventKind.REFUSED, AuditEventKind.POLICY_CHANGED
A, B = "spiffe://example.org/a", "spiffe://example.org/b"


@pytest.fixture
def filled(store: Store) -> Store:
    for number in range(30):
        kind = REFUSED if number % 3 == 2 else ISSUED
        store.audit.append(
            event(
                kind,
                id=f"id-{number}",
                time=NOW + number,
                subject=A if number % 2 else B,
                client_id="" if kind is REFUSED else "batch",
                rule="" if kind is REFUSED else f"rule-{number % 5}",
                outcome="deny" if kind is REFUSED else "allow",
                reason="policy_scope" if kind is REFUSED else "",
                door="token",
                ask={"scopes": ["ledger.read"]} if number % 4 else {"scopes": [], "granted": ["orders.read"]},
            )
        )
    return store


def numbers(store: Store, where: AuditFilter, *, limit: int, scan: int) -> list[int]:
    """All rows that the pages show, from the newest on."""
    found: list[int] = []
    before: int | None = None
    for _ in range(100):
        page = store.audit.page(where, before=before, limit=limit, scan=scan)
        assert len(page.rows) <= limit
        found += [int(row.event.id.removeprefix("id-")) for row in page.rows]
        before = page.before
        if before is None:
            return found
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (AuditFilter(), lambda n: True),
        (AuditFilter(event=REFUSED), lambda n: n % 3 == 2),
        (AuditFilter(event=ISSUED), lambda n: n % 3 != 2),
        (AuditFilter(event=POLICY), lambda n: False),
        (AuditFilter(subject=A), lambda n: n % 2 == 1),
        (AuditFilter(client="batch"), lambda n: n % 3 != 2),
        (AuditFilter(client=B), lambda n: n % 2 == 0),
        (AuditFilter(rule="rule-1"), lambda n: n % 5 == 1 and n % 3 != 2),
        (AuditFilter(event=REFUSED, subject=A, outcome="deny"), lambda n: n % 3 == 2 and n % 2 == 1),
        (AuditFilter(reason="policy_scope"), lambda n: n % 3 == 2),
        (AuditFilter(door="par"), lambda n: False),
    ],
)
def test_pages_together_show_exactly_what_matches_the_newest_first(
    filled: Store, where: AuditFilter, wanted: object
) -> None:
    assert callable(wanted)
    for limit, scan in ((3, 4), (100, 7), (5, 1000)):
        found = numbers(filled, where, limit=limit, scan=scan)
        assert found == [n for n in range(29, -1, -1) if wanted(n)], (limit, scan)


def test_a_page_stops_where_it_has_looked_at_enough(filled: Store) -> None:
    page = filled.audit.page(AuditFilter(subject="nobody"), before=None, limit=10, scan=10)
    assert (page.rows, page.before) == ([], 21)


def test_an_empty_log_has_one_empty_page(store: Store) -> None:
    page = store.audit.page(AuditFilter(), before=None, limit=10, scan=10)
    assert (page.rows, page.before) == ([], None)


def test_tokens_are_read_with_the_scopes_that_were_asked_for_and_given(filled: Store) -> None:
    after, until = filled.audit.span()
    rows = filled.audit.issued(after, until)
    assert [row.time - NOW for row in rows] == [n for n in range(30) if n % 3 != 2]
    assert {row.scopes for row in rows} == {'[["ledger.read"],null]', '[[],["orders.read"]]'}
    assert filled.audit.issued(until, until) == []
    assert (rows[1].subject, rows[1].client_id, rows[1].rule) == (A, "batch", "rule-1")
