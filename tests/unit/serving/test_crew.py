"""The threads before an application: few at work at a time, and none of them missing because another one waits."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from bridge.serving.adapter import WsgiCall
from bridge.serving.crew import AT_WORK, Crew, standing_aside
from bridge.serving.options import Caps
from bridge.serving.reader import RequestReader

SECONDS = 10


class _Busy:
    """Seconds that pass with the process fully at work, so that no more threads are called in."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def _crew(work: Callable[[Callable[[], None]], None]) -> Crew[Callable[[], None]]:
    return Crew("crew", 4, work, clock=_Busy(), cpu=_Busy())


@pytest.mark.parametrize("says_so", [True, False], ids=["standing aside", "saying nothing"])
def test_whoever_waits_lets_another_work_if_it_says_so(says_so: bool) -> None:
    go_on, others = threading.Event(), threading.Event()
    waiting = threading.Semaphore(0)

    def wait() -> None:
        waiting.release()
        if says_so:
            with standing_aside():
                go_on.wait(SECONDS)
        else:
            go_on.wait(SECONDS)

    crew = _crew(lambda item: item())
    for _ in range(AT_WORK):
        crew.put(wait)
    for _ in range(AT_WORK):
        assert waiting.acquire(timeout=SECONDS)
    crew.put(others.set)
    if says_so:
        assert others.wait(SECONDS)
    else:
        # Nobody is there to take it up before one of them goes on.
        assert not others.is_set()
    go_on.set()
    assert others.wait(SECONDS)
    crew.close(wait=True)


def test_whoever_stands_aside_twice_gives_up_one_place() -> None:
    go_on, started = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        with standing_aside():
            with standing_aside():
                started.release()
                go_on.wait(SECONDS)
            started.release()

    def hold() -> None:
        started.release()
        go_on.wait(SECONDS)

    crew = _crew(lambda item: item())
    crew.put(wait)
    assert started.acquire(timeout=SECONDS)
    for _ in range(AT_WORK + 1):
        crew.put(hold)
    for _ in range(AT_WORK):
        assert started.acquire(timeout=SECONDS)
    assert len(crew._items) == 1, "the last finds all places taken"
    go_on.set()
    for _ in range(2):
        assert started.acquire(timeout=SECONDS)
    crew.close(wait=True)


def test_those_who_come_back_are_soon_no_more_than_before() -> None:
    at_once, most = 0, 0
    lock, done = threading.Lock(), threading.Semaphore(0)

    def compute() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        sum(range(2000))
        with lock:
            at_once -= 1
        done.release()

    def wait() -> None:
        with standing_aside():
            pass
        done.release()

    crew = _crew(lambda item: item())
    for item in [wait] * 50 + [compute] * 200:
        crew.put(item)
    for _ in range(250):
        assert done.acquire(timeout=SECONDS)
    crew.close(wait=True)
    assert most <= AT_WORK + 1


def test_outside_a_crew_it_changes_nothing() -> None:
    with standing_aside():
        pass


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What is alive afterwards is held by somebody: nothing looks for circles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Answer:
    """An answer that refers back to the call it is of, as a held one does."""

    def __init__(self, start_response: Callable[..., Any]) -> None:
        self._start_response = start_response

    def __iter__(self) -> Iterator[bytes]:
        self._start_response("200 OK", [])
        return iter([b"done"])


def test_an_answered_request_leaves_no_circle(without_collector: None) -> None:
    seen: list[weakref.ref[_Answer]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = _Answer(start_response)
        seen.append(weakref.ref(answer))
        return answer

    call = WsgiCall(app, {})
    assert call.answer().body == b"done"
    del call
    assert seen[0]() is None


def test_a_lost_connection_leaves_no_circle(without_collector: None) -> None:
    class Connection:
        def __init__(self) -> None:
            self.reader = RequestReader(Caps(), take=self.take, go_on=self.go_on)

        def take(self, exchange: object) -> None:
            """Nothing."""

        def go_on(self) -> None:
            """Nothing."""

    connection = Connection()
    connection.reader.feed(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.reader.release()
    held = weakref.ref(connection)
    del connection
    assert held() is None
