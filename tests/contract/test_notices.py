"""The queue of what a webhook's receiver is told: it fills with the changes themselves, and outlives every process."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState
from bridge.model.errors import LimitReached
from bridge.model.record_change import ChangeKind, RecordChange
from bridge.store.ports import Notice, NoticeState, Outbox, QueueStanding, Stale, Store
from tests.contract.places import Place
from tests.contract.records import API, NOW, OTHER, WIDE, ensure, event, instance, shared, spiffe

REVOKED = AuditEventKind.REVOKED


class Recording:
    """Everything that it is told of becomes a notice, which says what it was told."""

    def __init__(self, *wanted: ChangeKind) -> None:
        self._wanted, self._numbers = wanted or tuple(ChangeKind), count(1)

    def __call__(self, change: RecordChange) -> Notice | None:
        if change.kind not in self._wanted:
            return None
        said = f"{change.kind} {change.client_id} {change.subject} {change.state}"
        return Notice(f"msg_{next(self._numbers)}", change.kind.value, change.client_id, said)


@pytest.fixture
def open_with(place: Place) -> Callable[..., Store]:
    def make(*wanted: ChangeKind, limit: int = 100) -> Store:
        return place.open(outbox=Outbox(Recording(*wanted), limit))

    return make


def bodies(store: Store) -> list[str]:
    return [queued.notice.body for queued in store.notices.rows(after=None, limit=100)]


def ids(store: Store, state: NoticeState | None = None) -> list[str]:
    return [queued.notice.id for queued in store.notices.rows(after=None, limit=100, state=state)]


def revoke(store: Store, target: str = API, now: int = NOW) -> None:
    store.clients.revoke(target, event=event(REVOKED, subject=target, time=now), now=now)


def test_every_change_of_a_record_is_told_of_in_its_order(open_with: Callable[..., Store]) -> None:
    store = open_with()
    ensure(store.clients, spiffe(state=ClientState.PENDING))
    store.clients.await_approval(API, rule="asks", digest="1", now=NOW)
    store.clients.approve(API, note="", event=event(AuditEventKind.APPROVED, subject=API), now=NOW)
    revoke(store)
    denied = event(AuditEventKind.DENIED, subject=API)
    store.clients.deny(API, absent=None, event=denied, now=NOW, once=False)
    store.clients.undeny(API, event=event(AuditEventKind.UPDATED, subject=API), now=NOW)
    assert bodies(store) == [
        f"client.registered {API} {API} pending",
        f"client.pending {API} {API} pending",
        f"client.approved {API} {API} active",
        f"client.revoked {API} {API} revoked",
        f"client.denied {API} {API} denied",
        f"client.updated {API} {API} revoked",
    ]


def test_what_ends_by_itself_or_by_a_program_is_told_of_too(open_with: Callable[..., Store]) -> None:
    store = open_with(ChangeKind.REVOKED, ChangeKind.EXPIRED)
    seen = ensure(store.clients, instance(1))
    unfit = Stale("instance-1", seen.record.epoch, event(REVOKED, subject=API, client_id="instance-1"))
    store.clients.end_as_seen([unfit], now=NOW)
    ensure(store.clients, spiffe(OTHER), idle=10)
    expired = lambda record: event(AuditEventKind.EXPIRED, client_id=record.client_id, subject=record.subject)  # noqa: E731
    store.clients.sweep(now=NOW + 60, keep_ended=1000, pending_expiry=1000, batch=10, event=expired)
    assert bodies(store) == [f"client.revoked instance-1 {API} revoked", f"client.expired {OTHER} {OTHER} expired"]


def test_an_identity_under_a_shared_client_is_told_of_by_its_own_name(open_with: Callable[..., Store]) -> None:
    store = open_with()
    ensure(store.clients, shared(API))
    ensure(store.clients, shared(OTHER))
    ensure(store.clients, shared(OTHER))
    assert bodies(store) == [
        f"client.registered payments-batch {API} active",
        f"client.registered payments-batch {OTHER} active",
    ]


def test_a_change_that_nobody_asked_for_and_one_that_failed_are_not_told_of(open_with: Callable[..., Store]) -> None:
    store = open_with(ChangeKind.REGISTERED)
    full = type(WIDE)(records=1, per_second=1000, burst=1000)
    ensure(store.clients, limits=full)
    with pytest.raises(LimitReached):
        ensure(store.clients, spiffe(OTHER), limits=full)
    revoke(store)
    revoke(store, "spiffe://example.org/nobody")
    assert bodies(store) == [f"client.registered {API} {API} active"]


def test_terms_that_wait_already_are_told_of_once(open_with: Callable[..., Store]) -> None:
    store = open_with(ChangeKind.PENDING)
    ensure(store.clients)
    for digest in ("1", "1", "2"):
        store.clients.await_approval(API, rule="asks", digest=digest, now=NOW)
    assert bodies(store) == [f"client.pending {API} {API} active"] * 2


def test_without_a_listener_nothing_is_queued(store: Store) -> None:
    ensure(store.clients)
    revoke(store)
    assert store.notices.standing() == QueueStanding(0, 0, None, 0)


def test_another_process_finds_what_was_queued(place: Place, open_with: Callable[..., Store]) -> None:
    open_with().clients.ensure(
        spiffe(), limits=WIDE, idle_expiry=60, event=event(client_id=API, subject=API), now=NOW, lease_until=None
    )
    found = place.open().notices.next_due(NOW)
    assert found is not None
    assert (found.notice.id, found.tries, found.queued_at) == ("msg_1", 0, NOW)


def test_changes_of_one_client_wait_for_each_other_and_nobody_elses_do(open_with: Callable[..., Store]) -> None:
    store = open_with()
    ensure(store.clients)
    revoke(store)
    ensure(store.clients, spiffe(OTHER))
    store.notices.postpone("msg_1", next_at=NOW + 50, error="500")
    assert [due.notice.id for due in [store.notices.next_due(NOW)] if due] == ["msg_3"]
    store.notices.delivered("msg_3")
    assert store.notices.next_due(NOW + 49) is None
    first = store.notices.next_due(NOW + 50)
    assert first is not None
    assert (first.notice.id, first.tries, first.error) == ("msg_1", 1, "500")
    store.notices.delivered("msg_1")
    second = store.notices.next_due(NOW + 50)
    assert second is not None
    assert second.notice.id == "msg_2"


def test_what_is_given_up_is_kept_with_one_audit_row_and_can_be_sent_again(open_with: Callable[..., Store]) -> None:
    store = open_with()
    ensure(store.clients)
    revoke(store)
    store.notices.postpone("msg_1", next_at=NOW + 5, error="timeout")
    assert [late.notice.id for late in store.notices.overdue(queued_before=NOW, limit=10)] == ["msg_1", "msg_2"]
    assert store.notices.overdue(queued_before=NOW - 1, limit=10) == []
    failed = event(AuditEventKind.WEBHOOK_FAILED, count=2)
    assert store.notices.give_up(["msg_1", "msg_2"], error="", event=failed) == 2
    assert store.notices.give_up(["msg_1", "msg_2"], error="", event=failed) == 0
    assert len(store.audit.rows(events=(AuditEventKind.WEBHOOK_FAILED,))) == 1
    assert store.notices.standing() == QueueStanding(0, 2, None, 0)
    assert store.notices.next_due(NOW + 100) is None
    assert [row.error for row in store.notices.rows(after=None, limit=1)] == ["timeout"]
    assert store.notices.retry("msg_2", now=NOW + 9) == 1
    assert store.notices.retry("msg_3", now=NOW + 9) == 0
    assert store.notices.standing() == QueueStanding(1, 1, NOW + 9, 0)
    assert store.notices.retry(None, now=NOW + 9) == 1
    again = store.notices.next_due(NOW + 9)
    assert again is not None
    assert (again.notice.id, again.tries) == ("msg_1", 0)


def test_a_full_queue_lets_dead_ones_go_and_then_drops_and_counts_t_42(open_with: Callable[..., Store]) -> None:
    """The change itself never fails."""
    store = open_with(limit=3)
    for number in range(3):
        ensure(store.clients, instance(number))
    store.notices.give_up(["msg_1"], error="410", event=event(AuditEventKind.WEBHOOK_FAILED))
    ensure(store.clients, instance(3))
    assert ids(store) == ["msg_2", "msg_3", "msg_4"]
    assert ensure(store.clients, instance(4)).created
    assert ids(store) == ["msg_2", "msg_3", "msg_4"]
    assert store.notices.standing() == QueueStanding(3, 0, NOW, 1)


def test_the_queue_is_read_in_parts_and_by_state(open_with: Callable[..., Store]) -> None:
    store = open_with()
    for number in range(3):
        ensure(store.clients, instance(number))
    store.notices.give_up(["msg_2"], error="410", event=event(AuditEventKind.WEBHOOK_FAILED))
    assert ids(store, NoticeState.WAITING) == ["msg_1", "msg_3"]
    assert ids(store, NoticeState.DEAD) == ["msg_2"]
    assert [queued.notice.id for queued in store.notices.rows(after="msg_1", limit=1)] == ["msg_2"]


def test_dead_ones_go_in_the_end_and_a_clock_set_back_holds_nothing_up_f_5(open_with: Callable[..., Store]) -> None:
    store = open_with()
    for number in range(3):
        ensure(store.clients, instance(number))
    store.notices.give_up(["msg_1"], error="410", event=event(AuditEventKind.WEBHOOK_FAILED))
    store.notices.postpone("msg_2", next_at=NOW + 10**6, error="500")
    store.notices.postpone("msg_3", next_at=NOW + 100, error="500")
    assert store.notices.tidy(dead_before=NOW - 1, now=NOW, due_until=NOW + 7200) == 0
    assert store.notices.tidy(dead_before=NOW, now=NOW, due_until=NOW + 7200) == 1
    due = store.notices.next_due(NOW)
    assert due is not None
    assert (due.notice.id, ids(store)) == ("msg_2", ["msg_2", "msg_3"])
