"""Threads that work off one queue, as few at a time as keep the interpreter busy.

Python runs one thread at a time. When many have something to compute they only take it from each other,
and a request costs a quarter more for it. So few threads are kept at work. One that says that it waits for something
(`standing_aside`) lets another take its place meanwhile; and when requests wait while the process does not even
use one core, those few must be waiting for something that nobody spoke of, and more are called in.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# How many are at work before anybody looks: one computes while the other is in a call that lets the interpreter go.
AT_WORK = 2
# The share of one core below which a process with waiting work is itself waiting.
_BUSY = 0.7

# Which crew this thread belongs to.
_own = threading.local()


@contextmanager
def standing_aside() -> Iterator[None]:
    """For a wait that lets the interpreter go and may take long: another thread of the same crew works meanwhile.
    Without effect in a thread of no crew, and within another such wait: a thread has one place to give up."""
    crew: Crew[Any] | None = getattr(_own, "crew", None)
    if crew is None:
        yield
        return
    _own.crew = None
    crew.leave()
    try:
        yield
    finally:
        crew.come_back()
        _own.crew = crew


class Crew(Generic[T]):
    """`threads` threads that call `work` with each item, in order of their coming."""

    def __init__(
        self,
        name: str,
        threads: int,
        work: Callable[[T], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """`work` must not raise. `clock` and `cpu` (of the process) give seconds."""
        self._work, self._clock, self._cpu = work, clock, cpu
        self._items: deque[T] = deque()
        self._calls: SimpleQueue[bool] = SimpleQueue()
        # Guards `_awake` and `_limit`.
        self._lock = threading.Lock()
        self._awake = 0
        self._limit = self._least = min(threads, AT_WORK)
        self._looked_at, self._cpu_then = clock(), cpu()
        self._threads = [threading.Thread(target=self._serve, name=f"{name}_{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def put(self, item: T) -> None:
        """Have it worked on."""
        self._items.append(item)
        self._call_one()

    def look(self) -> None:
        """See whether more or fewer should be at work. To be called every few hundredths of a second while
        there is work."""
        now, cpu = self._clock(), self._cpu()
        is_waiting = cpu - self._cpu_then < _BUSY * (now - self._looked_at)
        self._looked_at, self._cpu_then = now, cpu
        with self._lock:
            if self._items and is_waiting:
                self._limit = min(self._limit + 1, len(self._threads))
            else:
                self._limit = max(self._limit - 1, self._least)
        if self._items:
            self._call_one()

    def leave(self) -> None:
        """The calling thread, which is at work, is about to wait for something."""
        with self._lock:
            self._awake -= 1
        if self._items:
            self._call_one()

    def come_back(self) -> None:
        """It goes on, be there one too many for a moment: it rests after what it is at."""
        with self._lock:
            self._awake += 1

    def close(self, *, wait: bool) -> None:
        """End the threads after what they are at; `wait` for that."""
        for _ in self._threads:
            self._calls.put(False)
        if wait:
            for thread in self._threads:
                thread.join()

    def _call_one(self) -> None:
        with self._lock:
            if self._awake >= self._limit:
                return
            self._awake += 1
        self._calls.put(True)

    def _serve(self) -> None:
        _own.crew = self
        while self._calls.get():
            while self._may_go_on():
                try:
                    item = self._items.popleft()
                except IndexError:
                    # Another thread was quicker.
                    continue
                self._work(item)
                # Nothing of it may live on while the thread waits for the next.
                del item

    def _may_go_on(self) -> bool:
        """Whether there is work for this thread. False puts it to rest, under the same lock under which
        `put` looks whether somebody is awake, so that nothing is left lying."""
        with self._lock:
            if self._items and self._awake <= self._limit:
                return True
            self._awake -= 1
            return False
