"""Which policies were in force when that was last audited: one row for each change, whoever saw it."""

from __future__ import annotations

from collections.abc import Callable

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.store.ports import Store
from tests.contract.places import Place
from tests.contract.records import event


def row_for(version: str) -> Callable[[str], AuditEvent | None]:
    def made(before: str) -> AuditEvent | None:
        return event(AuditEventKind.POLICY_CHANGED, policy_version=version, ask={"before": before}) if before else None

    return made


def changes(store: Store) -> list[tuple[object, str]]:
    rows = store.audit.rows(events=[AuditEventKind.POLICY_CHANGED])
    return [(row.event.ask["before"], row.event.policy_version) for row in rows]


def test_each_change_is_one_row_and_none_comes_of_the_same_version(store: Store, place: Place) -> None:
    other = place.open()
    assert not store.audit.note_policies("v1", row_for("v1")), "of a log that knows none there is nothing to say"
    for one in (store, other, store):
        assert not one.audit.note_policies("v1", row_for("v1"))
    assert store.audit.note_policies("v2", row_for("v2"))
    assert not other.audit.note_policies("v2", row_for("v2"))
    assert other.audit.note_policies("v1", row_for("v1"))
    assert changes(store) == [("v1", "v2"), ("v2", "v1")]


def test_a_log_of_an_earlier_release_says_it_by_its_late_rows(store: Store) -> None:
    for version in ("v1", "v2", ""):
        store.audit.append(event(AuditEventKind.REFUSED, policy_version=version))
    assert store.audit.note_policies("v3", row_for("v3"))
    assert changes(store) == [("v2", "v3")]


def test_a_log_of_an_earlier_release_with_the_same_policies_gets_no_row(store: Store) -> None:
    store.audit.append(event(AuditEventKind.REFUSED, policy_version="v2"))
    assert not store.audit.note_policies("v2", row_for("v2"))
    assert store.audit.note_policies("v3", row_for("v3"))
