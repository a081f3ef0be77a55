"""How much is fetched at once, and which hosts are left alone (T-6, CIMD-16, F-10)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import pytest

from bridge.fetch.breaker import HostBreaker
from bridge.fetch.exchange import Fetched
from bridge.fetch.failures import DocumentFailure, DocumentFault, FetchDelayed, NetworkFailure, NetworkFault
from bridge.fetch.fetcher import Fetcher, Purpose
from bridge.fetch.resolving import SystemResolver
from bridge.fetch.slots import FetchSlots, ThreadShare
from tests.unit.fetch.tls_server import CA, HOST, Names, TlsServer, http, sends, trusting

GOOD = Fetched(200, b"{}", MappingProxyType({}))
CUT = NetworkFailure(NetworkFault.CUT, "cut")
GONE = DocumentFailure(DocumentFault.STATUS, "404")


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


class Traffic:
    """Fetches that are under way until they are told to end."""

    def __init__(self, slots: FetchSlots) -> None:
        self._slots = slots
        self._pool = ThreadPoolExecutor(16)
        self.ends: dict[str, threading.Event] = {}
        self.fetched: list[str] = []

    def begin(self, url: str, server: str = "a:443") -> Future[Fetched]:
        """Begin to fetch, and return when that is under way."""
        under_way, end = threading.Event(), threading.Event()
        self.ends[url] = end

        def fetch() -> Fetched:
            self.fetched.append(url)
            under_way.set()
            assert end.wait(20)
            return GOOD

        future = self._pool.submit(self.run, url, server, fetch)
        assert under_way.wait(20)
        return future

    def run(
        self, url: str, server: str = "a:443", fetch: Callable[[], Fetched] = lambda: GOOD, **options: Any
    ) -> Fetched:
        options = {"form": "json", "patience": 20.0, "threads": None, **options}
        return self._slots.run(fetch, url=url, server=server, **options)

    def close(self) -> None:
        for end in self.ends.values():
            end.set()
        self._pool.shutdown()


@contextmanager
def traffic(*, at_once: int = 20, per_host: int = 20, **options: Any) -> Iterator[Traffic]:
    running = Traffic(FetchSlots(at_once=at_once, per_host=per_host, **options))
    try:
        yield running
    finally:
        running.close()


def failing(failure: DocumentFailure | NetworkFailure) -> Callable[[], Fetched]:
    def fetch() -> Fetched:
        raise failure

    return fetch


def test_no_more_is_fetched_at_once_than_may_be_and_nobody_queues_T_6_CIMD_16() -> None:
    with traffic(at_once=2) as slots:
        first = slots.begin("https://a/1")
        slots.begin("https://b/1", "b:443")
        with pytest.raises(FetchDelayed) as delay:
            slots.run("https://c/1", "c:443")
        assert delay.value.retry_after > 0
        slots.ends["https://a/1"].set()
        assert first.result() is GOOD
        assert slots.run("https://c/1", "c:443") is GOOD


def test_one_host_cannot_have_all_slots_CIMD_16() -> None:
    with traffic(per_host=1) as slots:
        slots.begin("https://a/1")
        with pytest.raises(FetchDelayed):
            slots.run("https://a/2")
        assert slots.run("https://b/2", "b:443") is GOOD


def test_one_url_is_fetched_once_at_a_time_and_all_who_want_it_get_the_answer_CIMD_16() -> None:
    with traffic(at_once=1) as slots:
        first = slots.begin("https://a/1")
        with pytest.raises(NetworkFailure):
            slots.run("https://a/1", patience=0.01)
        second = slots._pool.submit(slots.run, "https://a/1")
        with pytest.raises(FetchDelayed):
            slots.run("https://a/1", form="another")
        slots.ends["https://a/1"].set()
        assert first.result() is second.result() is GOOD
        assert slots.fetched == ["https://a/1"]


@pytest.mark.parametrize("failure", [CUT, GONE], ids=["network", "document"])
def test_a_slot_comes_back_also_from_a_failure(failure: DocumentFailure | NetworkFailure) -> None:
    with traffic(at_once=1, per_host=1) as slots:
        with pytest.raises(type(failure)):
            slots.run("https://a/1", fetch=failing(failure))
        with pytest.raises(ZeroDivisionError):
            slots.run("https://a/1", fetch=lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        assert slots.run("https://a/1") is GOOD


def test_a_host_that_fails_again_and_again_is_left_alone_for_a_moment_CIMD_16() -> None:
    clock = Clock()
    with traffic(breaker=HostBreaker(failures=3, rest=10), clock=clock) as slots:
        for number in range(3):
            with pytest.raises(NetworkFailure):
                slots.run(f"https://a/{number}", fetch=failing(CUT))
        with pytest.raises(FetchDelayed) as delay:
            slots.run("https://a/new")
        assert delay.value.retry_after == 10
        assert slots.run("https://b/1", "b:443") is GOOD
        clock.time = 10
        slots.begin("https://a/probe")
        with pytest.raises(FetchDelayed):
            slots.run("https://a/new")
        slots.ends["https://a/probe"].set()
        clock.time = 20.5
        assert slots.run("https://a/new") is GOOD
        assert slots.run("https://a/newer") is GOOD


@pytest.mark.parametrize("between", [lambda: GOOD, failing(GONE)], ids=["an answer", "a bad document"])
def test_a_host_that_answers_is_not_left_alone_whatever_it_says_CIMD_14(between: Callable[[], Fetched]) -> None:
    with traffic(breaker=HostBreaker(failures=2), clock=Clock()) as slots:
        for fetch in (failing(CUT), between, failing(CUT), between):
            with contextlib.suppress(NetworkFailure, DocumentFailure):
                slots.run("https://a/1", fetch=fetch)
        assert slots.run("https://a/1") is GOOD


def test_a_breaker_remembers_so_many_hosts_and_no_more_T_42() -> None:
    breaker = HostBreaker(failures=1, max_hosts=2)
    for host in ("a", "b", "c"):
        breaker.failed(host, 0.0)
    breaker.admit("a", 1.0)
    for host in ("b", "c"):
        with pytest.raises(FetchDelayed):
            breaker.admit(host, 1.0)


@pytest.mark.parametrize(("threads", "known", "new"), [(1, 1, 1), (2, 1, 1), (8, 4, 2), (9, 4, 2)])
def test_half_of_the_threads_may_wait_and_half_of_those_for_new_urls_T_6(threads: int, known: int, new: int) -> None:
    def places(*, is_new: bool, taken: int = 0) -> int:
        share, stack = ThreadShare(threads), contextlib.ExitStack()
        with stack:
            for number in range(threads + 1):
                try:
                    stack.enter_context(share.waiting(is_new=is_new if number >= taken else not is_new))
                except FetchDelayed:
                    return number
        raise AssertionError("there is no bound")

    assert (places(is_new=False), places(is_new=True)) == (known, new)
    if known > new:
        assert places(is_new=False, taken=new) == known, "what is new leaves the rest to what is known"


def test_places_come_back_and_who_waits_stands_aside() -> None:
    aside: list[str] = []

    @contextmanager
    def stand_aside() -> Iterator[None]:
        aside.append("away")
        try:
            yield
        finally:
            aside.append("back")

    share = ThreadShare(2, aside=stand_aside)
    for is_new in (True, False, True):
        with contextlib.suppress(KeyError), share.waiting(is_new=is_new):
            assert aside[-1] == "away"
            raise KeyError
    with share.waiting():
        pass
    assert aside == ["away", "back"] * 4


# --- names ------------------------------------------------------------------------------------------


def test_names_are_resolved_by_the_system() -> None:
    assert SystemResolver()("127.0.0.1", 443, 20.0) == ("127.0.0.1",)


def test_a_resolver_that_hangs_is_left_in_time_and_only_so_many_hang_T_3_F_10(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        assert answers.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    resolver = SystemResolver(at_once=1)
    for words in ("the resolver does not answer", "other lookups hang"):
        with pytest.raises(TimeoutError, match=words):
            resolver("a.example", 443, 0.01)
    answers.set()
    assert resolver("a.example", 443, 20.0) == ("192.0.2.1",)


def test_a_name_without_addresses_is_an_error_of_the_caller_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(socket.gaierror):
        SystemResolver()("a.example", 443, 20.0)


# --- the one fetcher --------------------------------------------------------------------------------


def fetcher(seen: list[tuple[Purpose, str]], **options: Any) -> Fetcher:
    def note(purpose: Purpose, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        seen.append((purpose, outcome))

    names: Callable[[str, int, float], Sequence[str]] = Names(["127.0.0.1"])
    options = {"at_once": 2, "threads": ThreadShare(4), "context": trusting(CA), "resolve": names, **options}
    return Fetcher(observe=note, **options)


def test_only_what_the_operator_named_is_fetched_from_inside_T_4() -> None:
    seen: list[tuple[Purpose, str]] = []
    with TlsServer() as server:
        own = fetcher(seen)
        with pytest.raises(DocumentFailure):
            own.get(server.url(), purpose=Purpose.DOCUMENT)
        assert server.connections == 0
        assert own.get_configured(server.url(), purpose=Purpose.ISSUER_KEYS).status == 200
        exempt = fetcher(seen, allow_hosts=frozenset({f"{HOST}:{server.port}"}))
        assert exempt.get(server.url(), purpose=Purpose.CLIENT_KEYS).status == 200
        server.answer = sends(http(b"", "503 x"))
        with pytest.raises(NetworkFailure):
            exempt.get(server.url(), purpose=Purpose.DOCUMENT)
    assert seen == [
        (Purpose.DOCUMENT, "address"),
        (Purpose.ISSUER_KEYS, "200"),
        (Purpose.CLIENT_KEYS, "200"),
        (Purpose.DOCUMENT, "server_error"),
    ]


def test_what_is_no_url_takes_no_slot_and_is_not_counted() -> None:
    seen: list[tuple[Purpose, str]] = []
    with pytest.raises(DocumentFailure):
        fetcher(seen, at_once=0).get("https://u@a.example/", purpose=Purpose.DOCUMENT)
    with pytest.raises(FetchDelayed):
        fetcher(seen, at_once=0).get("https://a.example/", purpose=Purpose.DOCUMENT)
    assert seen == []
