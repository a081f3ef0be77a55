"""A bounded number of threads for questions to endpoints, so that those of ill ones never wait in front of others."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

_log = logging.getLogger("bridge.spire")
# A thread with nothing to do waits so long for something before it ends.
_IDLE_SECONDS = 5.0

Job = Callable[[], None]


class Lane:
    """Does jobs in the order in which they came, `threads` at once. Threads begin when they are needed and end when
    they are not."""

    def __init__(self, name: str, threads: int, *, most_waiting: int | None = None) -> None:
        """`most_waiting` jobs may wait for a thread; None for any number, where the caller bounds them."""
        self._name, self._most, self._most_waiting = name, threads, most_waiting
        self._jobs: deque[Job] = deque()
        self._condition = threading.Condition()
        self._threads = self._idle = 0
        self._closed = False

    def put(self, job: Job) -> bool:
        """Do it as soon as a thread is free. False: too many wait already, or the lane was closed."""
        with self._condition:
            if self._closed or (self._most_waiting is not None and len(self._jobs) >= self._most_waiting):
                return False
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._condition.notify()
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            return True

    def close(self, patience: float) -> None:
        """Begin no further job, and wait so many seconds at most for those that run."""
        with self._condition:
            self._closed = True
            self._jobs.clear()
            self._condition.notify_all()
            self._condition.wait_for(lambda: not self._threads, patience)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # noqa: BLE001 - the boundary of this thread
                # A defect met by one trust domain must not take a thread from the others.
                _log.exception("%s failed by a defect", self._name)

    def _next(self) -> Job | None:
        with self._condition:
            self._idle += 1
            self._condition.wait_for(lambda: self._jobs or self._closed, _IDLE_SECONDS)
            self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads -= 1
            self._condition.notify_all()
            return None
