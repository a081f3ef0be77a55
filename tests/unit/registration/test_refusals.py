"""A refusal is in the log at once; its repeats become one row with their number when the minute ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.errors import Unavailable
from bridge.registration.refusals import MAX_OPEN_OF_ONE, RefusalLog
from tests.written import Written

FIRST = AuditEvent(
    "id-1", 600, AuditEventKind.REFUSED, door="token", subject="spiffe://example.org/a", reason="policy_no_rule",
    ask={"grant_type": "client_credentials", "scopes": ["x"]},
)  # fmt: skip


def test_the_first_refusal_is_written_at_once() -> None:
    store = Written()
    write = RefusalLog(store.begin).note(FIRST)
    assert write is not None
    assert write.is_durable
    rows = store.rows
    assert rows == [FIRST]


def test_repeats_within_a_minute_become_one_row_with_their_number() -> None:
    store = Written()
    rows, log = store.rows, RefusalLog(store.begin)
    for number in range(5):
        log.note(replace(FIRST, id=f"id-{number}", time=600 + number))
    assert len(rows) == 1
    log.flush(659)
    assert len(rows) == 1
    log.flush(660)
    assert [row.count for row in rows] == [1, 4]


def test_a_refusal_that_differs_in_what_was_asked_is_its_own_row() -> None:
    store = Written()
    rows, log = store.rows, RefusalLog(store.begin)
    log.note(FIRST)
    log.note(replace(FIRST, ask={"grant_type": "client_credentials", "scopes": ["y"]}))
    assert len(rows) == 2


def test_the_next_minute_begins_with_a_row_again() -> None:
    store = Written()
    rows, log = store.rows, RefusalLog(store.begin)
    log.note(FIRST)
    log.note(FIRST)
    log.note(replace(FIRST, time=660))
    assert [row.count for row in rows] == [1, 1]
    log.flush(660)
    assert [row.count for row in rows] == [1, 1, 1]


def test_a_shutdown_writes_what_was_counted() -> None:
    store = Written()
    rows, log = store.rows, RefusalLog(store.begin)
    for _ in range(3):
        log.note(FIRST)
    log.flush(601, all_minutes=True)
    assert [row.count for row in rows] == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda number: {"ask": {"grant_type": "client_credentials", "scopes": [f"s{number}"]}},
        lambda number: {"client_id": f"https://agents.example.org/{number}"},
    ],
    ids=["scopes", "documents"],
)
def test_an_identity_that_asks_for_ever_other_things_cannot_fill_the_log_T_41_T_49(
    change: Callable[[int], dict[str, Any]],
) -> None:
    store = Written()
    rows, log = store.rows, RefusalLog(store.begin)
    for number in range(1000):
        log.note(replace(FIRST, **change(number)))
    log.note(replace(FIRST, subject="spiffe://example.org/b"))
    assert len(rows) == MAX_OPEN_OF_ONE + 2
    log.flush(660)
    assert sum(row.count for row in rows) == 1001
    assert rows[-1].ask == {}


def test_the_first_request_of_a_minute_writes_its_own_row_and_leaves_the_counts_to_the_chore() -> None:
    store = Written()
    log = RefusalLog(store.begin)
    for _ in range(2):
        log.note(FIRST)
    log.note(replace(FIRST, time=660))
    assert [row.time for row in store.rows] == [600, 660]
    log.flush(661)
    assert [row.time for row in store.rows] == [600, 660, 600]


def test_counts_that_could_not_be_written_are_written_by_the_next_flush_T_49() -> None:
    store = Written()
    log = RefusalLog(store.begin)
    for number in range(150):
        for _ in range(2):
            log.note(replace(FIRST, subject=f"spiffe://example.org/{number}"))
    store.fails = True
    with pytest.raises(Unavailable):
        log.flush(660)
    assert len(store.rows) == 150
    store.fails = False
    log.flush(660)
    log.flush(660)
    assert len(store.rows) == 300
