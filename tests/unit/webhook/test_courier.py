"""Who delivers when: leases, retries, rests and giving up, over a real queue and by a clock that the test moves."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from itertools import count, pairwise
from pathlib import Path

import pytest

from bridge.fetch.delivering import Answered
from bridge.fetch.failures import NetworkFailure, NetworkFault
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.record_change import ChangeKind
from bridge.observe import metrics
from bridge.store.ports import Outbox, QueueStanding, Store
from bridge.webhook.courier import KEEP_DEAD_SECONDS, LEASE_SECONDS, LONGEST_REST, Courier
from bridge.webhook.messages import Composer
from bridge.webhook.signing import SecretFile
from tests.contract.places import SqlitePlace
from tests.contract.records import NOW, ensure, instance, spiffe
from tests.flows.receiving import write_secrets

GIVE_UP = 3 * 86400
Reply = int | Answered | NetworkFailure


class FakeWay:
    """Answers as it is told, 204 where it is told nothing, and keeps what came."""

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.bodies, self.ids = list(replies), list[bytes](), list[str]()

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answered:
        self.bodies.append(body)
        self.ids.append(headers["webhook-id"])
        reply = self.replies.pop(0) if self.replies else 204
        if isinstance(reply, NetworkFailure):
            raise reply.again()
        return Answered(reply, "") if isinstance(reply, int) else reply


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SqlitePlace]:
    place = SqlitePlace(tmp_path)
    place.create()
    write_secrets(tmp_path / "webhook.secret", 1)
    yield place
    place.close()


def telling(place: SqlitePlace) -> Store:
    """A store whose every registration is queued, as msg_1, msg_2 and so on."""
    numbers = count(1)
    composer = Composer(
        kinds=list(ChangeKind), trust_domains=None, approvals_url=None, new_id=lambda: str(next(numbers))
    )
    return place.open(outbox=Outbox(composer.notice))


def courier(
    store: Store, way: FakeWay, folder: Path, holder: str = "a", clock: Callable[[], int] = lambda: NOW
) -> Courier:
    secrets = SecretFile(folder / "webhook.secret")
    return Courier(
        store.notices, store.leases, way, secrets, give_up_after=GIVE_UP, holder=holder,
        new_id=lambda: "given-up", chance=lambda: 1.0, clock=clock,
    )  # fmt: skip


def drain(one: Courier, now: int) -> None:
    """Turn until there is nothing to do at once."""
    while one.turn(now) is not None:
        pass


Make = Callable[..., tuple[Store, FakeWay, Courier]]


@pytest.fixture
def make(place: SqlitePlace) -> Make:
    """A store with `number` notices, of different clients, and one courier."""

    def build(*replies: Reply, number: int = 1) -> tuple[Store, FakeWay, Courier]:
        store, way = telling(place), FakeWay(*replies)
        for each in range(number):
            ensure(store.clients, instance(each))
        return store, way, courier(store, way, place.folder)

    return build


def given_up(store: Store) -> list[AuditEvent]:
    return [row.event for row in store.audit.rows(events=(AuditEventKind.WEBHOOK_FAILED,))]


def test_everything_is_delivered_once_in_its_order_and_leaves_the_queue(make: Make) -> None:
    store, way, one = make(number=3)
    drain(one, NOW)
    assert way.ids == ["msg_1", "msg_2", "msg_3"]
    assert json.loads(way.bodies[0])["data"]["client_id"] == "instance-0"
    assert store.notices.standing() == QueueStanding(0, 0, None, 0)
    assert one.turn(NOW + 1000) is None


def test_of_two_processes_one_delivers(make: Make, place: SqlitePlace) -> None:
    store, way, one = make(number=2)
    other_way = FakeWay()
    other = courier(place.open(), other_way, place.folder, holder="b")
    assert one.turn(NOW) == 0.0
    assert other.turn(NOW) is None
    drain(one, NOW + LEASE_SECONDS - 1)
    assert (way.ids, other_way.ids) == (["msg_1", "msg_2"], [])
    ensure(store.clients, instance(7), now=NOW)
    # The lease ended by itself: its holder prolonged it a moment ago, and then was no more.
    drain(other, NOW + 2 * LEASE_SECONDS)
    assert other_way.ids == ["msg_3"]


def test_a_process_that_ends_lets_another_go_on_at_once(make: Make, place: SqlitePlace) -> None:
    _, way, one = make(number=2)
    other_way = FakeWay()
    other = courier(place.open(), other_way, place.folder, holder="b")
    assert one.turn(NOW) == 0.0
    other.release(NOW)
    assert other.turn(NOW) is None
    one.release(NOW)
    assert other.turn(NOW) == 0.0
    assert (way.ids, other_way.ids) == (["msg_1"], ["msg_2"])


def test_what_fails_is_sent_again_later_the_same_under_the_same_id(make: Make) -> None:
    store, way, one = make(500, NetworkFailure(NetworkFault.TIMEOUT, "no answer"), 204)
    drain(one, NOW)
    (queued,) = store.notices.rows(after=None, limit=1)
    assert (queued.tries, queued.error, queued.next_at) == (1, "the receiver says 500", NOW + 5)
    drain(one, NOW + 4)
    assert len(way.ids) == 1
    drain(one, NOW + 5)
    (queued,) = store.notices.rows(after=None, limit=1)
    assert (queued.tries, queued.error, queued.next_at) == (2, "timeout: no answer", NOW + 15)
    drain(one, NOW + 15)
    assert way.ids == ["msg_1"] * 3
    assert len(set(way.bodies)) == 1
    assert store.notices.standing().waiting == 0


@pytest.mark.parametrize("reply", [500, 429, 302, NetworkFailure(NetworkFault.CONNECT, "refused")], ids=str)
def test_a_receiver_that_fails_is_asked_once_in_a_while_whatever_waits(make: Make, reply: Reply) -> None:
    """A thousand messages are not a thousand tries (T-42)."""
    _, way, one = make(*[reply] * 100, number=5)
    asked_at = []
    for second in range(400):
        before = len(way.ids)
        drain(one, NOW + second)
        asked_at += [second] * (len(way.ids) - before)
    pauses = [after - before for before, after in pairwise(asked_at)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert max(pauses) == LONGEST_REST


def test_once_it_answers_again_all_the_rest_goes_out_at_once(make: Make) -> None:
    store, way, one = make(*[503] * 4, number=20)
    for second in range(0, 200, 5):
        drain(one, NOW + second)
    assert store.notices.standing().waiting == 0
    assert set(way.ids) == {f"msg_{number}" for number in range(1, 21)}
    assert len(way.ids) == 24


def test_one_message_that_is_refused_holds_up_no_other_client(make: Make) -> None:
    store, way, one = make(422, number=3)
    store.clients.revoke(
        "instance-0", event=AuditEvent("i", NOW, AuditEventKind.REVOKED, client_id="instance-0"), now=NOW
    )
    drain(one, NOW)
    # Its own second change waits behind it.
    assert way.ids == ["msg_1", "msg_2", "msg_3"]
    drain(one, NOW + 5)
    assert way.ids[3:] == ["msg_1", "msg_4"]


def test_a_receiver_that_says_how_long_is_left_alone_for_so_long(make: Make) -> None:
    _, way, one = make(Answered(429, "300"), number=2)
    drain(one, NOW)
    drain(one, NOW + 299)
    assert len(way.ids) == 1
    drain(one, NOW + 300)
    assert way.ids == ["msg_1", "msg_2", "msg_1"]


def test_a_rest_is_kept_by_all_processes(make: Make, place: SqlitePlace) -> None:
    """The one that met it keeps the lease, as long as it lives."""
    _, way, one = make(Answered(429, "300"), number=2)
    other_way = FakeWay()
    other = courier(place.open(), other_way, place.folder, holder="b")
    for second in range(300):
        drain(one, NOW + second)
        drain(other, NOW + second)
    assert (way.ids, other_way.ids) == (["msg_1"], [])
    drain(other, NOW + 300)
    drain(one, NOW + 300)
    assert (len(way.ids), other_way.ids) == (3, [])


def test_a_rest_begins_when_the_try_is_over(make: Make, place: SqlitePlace) -> None:
    store, _, _ = make()
    way = FakeWay(NetworkFailure(NetworkFault.TIMEOUT, "no answer"))
    one = courier(store, way, place.folder, clock=lambda: NOW + 10)
    drain(one, NOW)
    (queued,) = store.notices.rows(after=None, limit=1)
    assert queued.next_at == NOW + 15
    drain(one, NOW + 14)
    assert way.ids == ["msg_1"]
    drain(one, NOW + 15)
    assert way.ids == ["msg_1"] * 2


def test_who_wants_no_more_gets_no_more_of_this_one(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    store, way, one = make(410)
    before = metrics.webhook_given_up._value.get()
    drain(one, NOW)
    drain(one, NOW + 1000)
    assert way.ids == ["msg_1"]
    assert store.notices.standing() == QueueStanding(0, 1, None, 0)
    (event,) = given_up(store)
    assert (event.client_id, event.reason, event.ask) == (
        "instance-0", "410: the receiver wants no more of them", {"messages": ["msg_1"]},
    )  # fmt: skip
    assert metrics.webhook_given_up._value.get() == before + 1
    assert [r.levelno for r in caplog.records if "given up" in r.getMessage()] == [logging.ERROR]


def test_what_nobody_took_for_too_long_is_given_up_together_with_one_row(make: Make) -> None:
    store, _, one = make(500, number=3)
    drain(one, NOW)
    one.tidy(NOW + GIVE_UP - 1)
    assert store.notices.standing().waiting == 3
    one.tidy(NOW + GIVE_UP + LEASE_SECONDS)
    assert store.notices.standing() == QueueStanding(0, 3, None, 0)
    (event,) = given_up(store)
    assert (event.count, event.client_id, event.reason) == (3, "", "the receiver says 500")
    assert list(store.audit.verify()) == []


def test_what_was_given_up_can_be_sent_again_and_is_forgotten_in_the_end(make: Make) -> None:
    store, way, one = make(410, 410, number=2)
    drain(one, NOW)
    drain(one, NOW + LONGEST_REST)
    assert store.notices.standing().dead == 2
    assert store.notices.retry("msg_1", now=NOW + GIVE_UP) == 1
    one.tidy(NOW + GIVE_UP)
    drain(one, NOW + GIVE_UP)
    assert way.ids == ["msg_1", "msg_2", "msg_1"]
    one.tidy(NOW + 2 * GIVE_UP + KEEP_DEAD_SECONDS)
    assert store.notices.standing() == QueueStanding(0, 0, None, 0)


def test_a_clock_that_was_set_back_neither_rests_nor_leases_for_ever_f_5(make: Make) -> None:
    _, way, one = make(500, number=2)
    drain(one, NOW + 10**6)
    drain(one, NOW)
    assert way.ids == ["msg_1", "msg_2"]
    one.tidy(NOW)
    drain(one, NOW + 1)
    assert way.ids == ["msg_1", "msg_2", "msg_1"]


def test_the_queue_is_measured(make: Make) -> None:
    store, _, one = make(410, number=3)
    drain(one, NOW)
    one.measure(NOW + 50)
    assert metrics.webhook_queue.labels("waiting")._value.get() == 2
    assert metrics.webhook_queue.labels("dead")._value.get() == 1
    assert metrics.webhook_oldest._value.get() == 50
    drain(one, NOW + LONGEST_REST)
    one.measure(NOW + LONGEST_REST)
    assert metrics.webhook_oldest._value.get() == 0
    assert store.notices.standing().dead == 1


def test_a_rotated_secret_signs_the_very_next_message(make: Make, place: SqlitePlace) -> None:
    """Two secrets in the file: a receiver may know either."""
    signatures: list[str] = []

    class Listening(FakeWay):
        def post(self, body: bytes, headers: Mapping[str, str]) -> Answered:
            signatures.append(headers["webhook-signature"])
            return super().post(body, headers)

    store, _, _ = make(number=2)
    one = courier(store, Listening(), place.folder)
    one.turn(NOW)
    write_secrets(place.folder / "webhook.secret", 2, 1)
    one.turn(NOW)
    assert [len(signature.split(" ")) for signature in signatures] == [1, 2]


class DiesAfterwards(FakeWay):
    """The receiver says yes, and its sender is killed before it can note that."""

    def __init__(self, note: Path) -> None:
        super().__init__()
        self._note = note

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answered:
        self._note.write_text(headers["webhook-id"])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed before")


def die_within_a_delivery(place: SqlitePlace) -> None:
    """What the process does that is killed."""
    store = place.open()
    courier(store, DiesAfterwards(place.folder / "sent"), place.folder, holder="killed").turn(NOW)


def test_a_process_killed_between_the_yes_and_its_note_sends_it_once_more_under_the_same_id(
    make: Make, place: SqlitePlace
) -> None:
    store, way, one = make(number=2)
    process = multiprocessing.get_context("spawn").Process(target=die_within_a_delivery, args=(place,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (place.folder / "sent").read_text() == "msg_1"
    # Nobody else sends as long as the lease of the dead one runs.
    drain(one, NOW + LEASE_SECONDS - 1)
    assert way.ids == []
    drain(one, NOW + LEASE_SECONDS)
    assert way.ids == ["msg_1", "msg_2"]
    assert ensure(store.clients, spiffe()).created
