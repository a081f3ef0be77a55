"""The audit log as its readers see it. What tampering looks like: `tests/unit/store/test_tampering.py`."""

from __future__ import annotations

import json

from bridge.model.audit import AuditEventKind
from bridge.store.ports import Store
from tests.contract.places import Place
from tests.contract.records import NOW, event

ISSUED, REFUSED = AuditEventKind.TOKEN_ISSUED, AuditEventKind.REFUSED


def fill(store: Store, number: int = 6) -> list[str]:
    """Rows a minute apart, every third a refusal."""
    ids = [f"id-{place}" for place in range(number)]
    for place, id_ in enumerate(ids):
        store.audit.append(event(REFUSED if place % 3 == 2 else ISSUED, id=id_, time=NOW + 60 * place))
    return ids


def ids(rows: list) -> list[str]:  # type: ignore[type-arg]
    return [row.event.id for row in rows]


def test_rows_come_in_the_order_of_writing_or_the_other_way_round(store: Store) -> None:
    written = fill(store)
    assert ids(store.audit.rows()) == written
    assert ids(store.audit.rows(limit=2)) == written[:2]
    assert ids(store.audit.rows(newest_first=True, limit=2)) == [written[-1], written[-2]]


def test_a_reader_goes_on_behind_the_last_row_it_saw(store: Store) -> None:
    """`audit tail --follow`."""
    written = fill(store)
    seen = store.audit.rows(limit=4)
    assert ids(store.audit.rows(after=seen[-1].rowid)) == written[4:]
    assert store.audit.rows(after=store.audit.rows()[-1].rowid) == []


def test_rows_are_found_by_id_by_kind_and_by_time(store: Store) -> None:
    written = fill(store)
    assert ids(store.audit.rows(correlation_id="id-3")) == ["id-3"]
    assert store.audit.rows(correlation_id="id-33") == []
    assert ids(store.audit.rows(events=[REFUSED])) == [written[2], written[5]]
    assert ids(store.audit.rows(events=[REFUSED, ISSUED])) == written
    assert ids(store.audit.rows(since=NOW + 180)) == written[3:]
    assert ids(store.audit.rows(since=NOW + 180, events=[REFUSED])) == [written[5]]
    assert store.audit.rows(since=NOW + 10**6) == []


def test_odd_text_is_kept_as_it_is_and_verifies(store: Store) -> None:
    """T-49: nothing in a row can pass for another row."""
    odd = 'a"b\\c\nd\x00e\u2028\U0001f600, "outcome": "allow"'
    store.audit.append(event(REFUSED, id="odd", subject=odd, reason=odd, ask={"scopes": [odd]}))
    stored = store.audit.rows(correlation_id="odd")[0].event
    assert (stored.subject, stored.reason, stored.ask) == (odd, odd, {"scopes": [odd]})
    assert list(store.audit.verify()) == []


def test_text_that_is_not_unicode_and_numbers_beyond_64_bits_stop_nobody(store: Store) -> None:
    store.audit.append(event(REFUSED, id="odd", subject="a\ud800b", bundle_sequence=2**64))
    stored = store.audit.rows(correlation_id="odd")[0].event
    assert (stored.subject, stored.bundle_sequence) == ("a\ufffdb", 2**63 - 1)
    assert list(store.audit.verify()) == []


def test_every_process_has_a_chain_and_a_head(store: Store, place: Place) -> None:
    other = place.open()
    fill(store, 2)
    fill(other, 3)
    fill(store, 1)
    assert [head.sequence for head in store.audit.heads()] == [3, 3]
    last = {row.writer: row for row in store.audit.rows()}
    assert {head.writer: head.mac for head in store.audit.heads()} == {writer: row.mac for writer, row in last.items()}
    seen: list[int] = []
    assert list(store.audit.verify(progress=seen.append)) == []
    assert seen[-1] == 6


def test_a_process_that_writes_nothing_leaves_no_trace(store: Store, place: Place) -> None:
    place.open().ping()
    assert store.audit.heads() == []
    assert list(store.audit.verify()) == []


def test_pruning_takes_the_oldest_rows_first_and_no_more_at_once_than_it_may_T_41(store: Store, place: Place) -> None:
    written = fill(store, 3)
    other = place.open()
    written += fill(other, 4)
    for left in (5, 3, 1):
        assert store.audit.prune(before=NOW + 10**6, now=NOW + 1000, batch=2) == 2
        assert ids(store.audit.rows()) == written[-left:]
        assert list(store.audit.verify()) == []
        assert list(place.open().audit.verify()) == []
    assert store.audit.prune(before=NOW + 10**6, now=NOW + 1000, batch=2) == 0
    assert ids(store.audit.rows()) == written[-1:], "the last row stays"


def test_pruning_removes_old_rows_and_the_chain_still_holds(store: Store, place: Place) -> None:
    written = fill(store)
    other = place.open()
    fill(other, 3)
    assert store.audit.prune(before=NOW + 120, now=NOW + 1000, batch=100) == 2
    assert ids(store.audit.rows())[:4] == written[2:]
    assert list(store.audit.verify()) == []
    fill(store, 1)
    assert store.audit.prune(before=NOW + 10**6, now=NOW + 2000, batch=100) == 7
    assert len(store.audit.rows()) == 1, "the last row stays, so that row ids never start over"
    assert list(store.audit.verify()) == []
    fill(other, 2)
    assert list(store.audit.verify()) == []
    assert store.audit.prune(before=NOW, now=NOW + 3000, batch=100) == 0


def test_what_was_asked_is_read_by_spans_of_rows(store: Store) -> None:
    """`policy replay`: in pieces, so that no piece holds up those who prune; other events are no requests."""
    written = fill(store)
    store.audit.append(event(AuditEventKind.KEYS_ROTATED, id="keys", time=NOW + 600))
    after, until = store.audit.span()
    rows = store.audit.rows()
    assert (after, until) == (rows[0].rowid - 1, rows[-1].rowid)
    middle = rows[2].rowid
    read = [*store.audit.asks(after, middle), *store.audit.asks(middle, until)]
    assert [row.id for row in read] == written
    whole = rows[2].event
    assert (read[2].event, read[2].times, json.loads(read[2].ask)) == ("refused", whole.count, dict(whole.ask))
    assert (read[2].subject, read[2].policy_version, read[2].time) == (whole.subject, whole.policy_version, whole.time)


def test_a_span_begins_with_the_first_row_of_its_time(store: Store) -> None:
    """Rows written up to an hour late are within it."""
    for place, hours in enumerate((0, 1, 5, 6)):
        store.audit.append(event(ISSUED, id=f"id-{place}", time=NOW + 3600 * hours))
    first = store.audit.rows()[0].rowid
    assert store.audit.span(since=NOW + 5 * 3600) == (first + 1, first + 3)
    assert store.audit.span(since=NOW + 9 * 3600) == (first + 3, first + 3)
    assert store.audit.asks(*store.audit.span(since=NOW + 9 * 3600)) == []
