"""One thread gets what several want; and what one process holds of copies is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.fetch.failures import DocumentFailure, DocumentFault, FetchDelayed, NetworkFailure, NetworkFault, again
from bridge.fetch.flights import Flights
from bridge.fetch.held_copies import Held, HeldCopies
from bridge.model.document import DocumentCopy, DocumentKind, StoredDocument
from bridge.model.errors import BridgeError, EvidenceRejected, LimitReached, Unavailable
from bridge.model.reasons import Reason

DELAYED = FetchDelayed("busy", retry_after=3)
SHARED = [
    DocumentFailure(DocumentFault.STATUS, "the answer is 404"),
    NetworkFailure(NetworkFault.CUT, "cut", retry_after=7),
    DELAYED,
    EvidenceRejected(Reason.DOCUMENT_REFUSED, "no JSON"),
    Unavailable(Reason.STORE_UNAVAILABLE, "no answer", retry_after=2),
]


class Leader:
    """Leads when it is let, once somebody waits."""

    def __init__(self, *outcomes: str | Exception) -> None:
        self.outcomes = list(outcomes)
        self.led, self.go = 0, threading.Event()

    def at_once(self) -> str:
        self.go.set()
        return self()

    def __call__(self) -> str:
        self.led += 1
        assert self.go.wait(20)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Noticing(threading.Event):
    """Lets the leader go once `number` of others wait."""

    def __init__(self, leader: Leader, number: int) -> None:
        super().__init__()
        self._leader, self._waiting = leader, threading.Barrier(number, action=leader.go.set)

    def wait(self, timeout: float | None = None) -> bool:
        self._waiting.wait(20)
        return super().wait(timeout)


def until_led(flights: Flights[str], leader: Leader, *, waiting: int = 0) -> None:
    """Until a flight is under way. It ends when so many others wait for it, or the leader is let go."""
    for _ in range(2000):
        if (flight := flights._flights.get("it")) is not None:
            if waiting:
                flight.done = Noticing(leader, waiting)
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody leads")


def together(leader: Leader, number: int = 3) -> list[object]:
    """What each of so many threads gets that want the same thing, the second as soon as the first leads."""
    flights: Flights[str] = Flights()

    def get() -> object:
        try:
            return flights.run("it", leader, patience=20)
        except BridgeError as error:
            return error

    with ThreadPoolExecutor(number) as threads:
        first = threads.submit(get)
        until_led(flights, leader, waiting=number - 1)
        rest = [threads.submit(get) for _ in range(number - 1)]
        return [future.result() for future in (first, *rest)]


def test_all_get_what_one_got_CIMD_16() -> None:
    leader = Leader("a")
    assert together(leader) == ["a", "a", "a"]
    assert leader.led == 1
    flights: Flights[str] = Flights()
    for answer in ("b", "c"):
        assert flights.run("it", Leader(answer).at_once, patience=0) == answer, "nothing is remembered"


def test_different_things_do_not_wait_for_each_other() -> None:
    flights: Flights[str] = Flights()
    leader = Leader("slow")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(flights.run, "it", leader, patience=20)
        until_led(flights, leader)
        assert flights.run("other", lambda: "quick", patience=0) == "quick"
        leader.go.set()
        assert slow.result() == "slow"


@pytest.mark.parametrize("failure", SHARED, ids=lambda failure: type(failure).__name__)
def test_a_failure_of_the_thing_is_everybodys_and_each_has_its_own(failure: BridgeError) -> None:
    first, *rest = together(Leader(failure))
    assert first is failure
    for waited in rest:
        assert isinstance(waited, type(failure))
        assert waited is not failure
        assert (str(waited), waited.reason) == (str(failure), failure.reason)
        assert getattr(waited, "retry_after", None) == getattr(failure, "retry_after", None)
        assert getattr(waited, "fault", None) == getattr(failure, "fault", None)


def test_a_failure_of_one_request_alone_lets_another_lead_T_41() -> None:
    first, *rest = together(Leader(LimitReached("anonymous_per_minute", 9), "a", "b"))
    assert isinstance(first, LimitReached)
    assert set(rest) <= {"a", "b"}


def test_nobody_waits_longer_than_its_patience() -> None:
    flights: Flights[str] = Flights()
    leader = Leader("a")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(flights.run, "it", leader, patience=20)
        until_led(flights, leader)
        with pytest.raises(FetchDelayed):
            flights.run("it", lambda: "b", patience=0.01)
        leader.go.set()
        assert slow.result() == "a"
    assert flights.run("it", lambda: "b", patience=0) == "b"


@pytest.mark.parametrize("failure", SHARED, ids=lambda failure: type(failure).__name__)
def test_a_failure_can_say_where_it_was(failure: EvidenceRejected | Unavailable) -> None:
    assert str(again(failure)) == str(failure)
    assert "at jwks_uri, " in str(again(failure, "at jwks_uri, "))
    assert again(failure, "at jwks_uri, ").public == failure.public


def test_no_more_is_held_than_there_is_room_for_and_the_least_used_goes_first() -> None:
    held: HeldCopies[str] = HeldCopies(capacity=2)
    made = {url: _held(url) for url in ("a", "b", "c")}
    held.put("a", made["a"])
    held.put("b", made["b"])
    assert held.get("a") is made["a"]
    held.put("c", made["c"])
    assert (held.get("a"), held.get("b"), held.get("c")) == (made["a"], None, made["c"])
    held.drop("a")
    held.drop("a")
    assert len(held) == 1


def _held(url: str) -> Held[str]:
    copy = DocumentCopy(DocumentKind.DOCUMENT, url, b"{}", "d", "", 0, 60, must_revalidate=False)
    return Held(copy, StoredDocument(url, b"{}", "d", 0, "value"), 0)
