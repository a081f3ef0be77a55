"""A refusal is in the log at once; its repeats become one row with their number when the minute ends."""

from __future__ import annotations

from dataclasses import replace

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.registration.refusals import MAX_OPEN_OF_ONE, RefusalLog

FIRST = AuditEvent(
    "id-1", 600, AuditEventKind.REFUSED, door="token", subject="spiffe://example.org/a", reason="policy_no_rule",
    ask={"grant_type": "client_credentials", "scopes": ["x"]},
)  # fmt: skip


def test_the_first_refusal_is_written_at_once() -> None:
    rows: list[AuditEvent] = []
    RefusalLog(rows.append).note(FIRST)
    assert rows == [FIRST]


def test_repeats_within_a_minute_become_one_row_with_their_number() -> None:
    rows: list[AuditEvent] = []
    log = RefusalLog(rows.append)
    for number in range(5):
        log.note(replace(FIRST, id=f"id-{number}", time=600 + number))
    assert len(rows) == 1
    log.flush(659)
    assert len(rows) == 1
    log.flush(660)
    assert [row.count for row in rows] == [1, 4]


def test_a_refusal_that_differs_in_what_was_asked_is_its_own_row() -> None:
    rows: list[AuditEvent] = []
    log = RefusalLog(rows.append)
    log.note(FIRST)
    log.note(replace(FIRST, ask={"grant_type": "client_credentials", "scopes": ["y"]}))
    assert len(rows) == 2


def test_the_next_minute_begins_with_a_row_again() -> None:
    rows: list[AuditEvent] = []
    log = RefusalLog(rows.append)
    log.note(FIRST)
    log.note(FIRST)
    log.note(replace(FIRST, time=660))
    assert [row.count for row in rows] == [1, 1, 1]


def test_a_shutdown_writes_what_was_counted() -> None:
    rows: list[AuditEvent] = []
    log = RefusalLog(rows.append)
    for _ in range(3):
        log.note(FIRST)
    log.flush(601, all_minutes=True)
    assert [row.count for row in rows] == [1, 2]


def test_an_identity_that_asks_for_ever_other_things_cannot_fill_the_log_T_41_T_49() -> None:
    rows: list[AuditEvent] = []
    log = RefusalLog(rows.append)
    for number in range(1000):
        log.note(replace(FIRST, ask={"grant_type": "client_credentials", "scopes": [f"s{number}"]}))
    log.note(replace(FIRST, subject="spiffe://example.org/b"))
    assert len(rows) == MAX_OPEN_OF_ONE + 2
    log.flush(660)
    assert sum(row.count for row in rows) == 1001
    assert rows[-1].ask == {}
