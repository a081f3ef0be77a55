"""What every bundle source can do, and the thread that most of them are."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Protocol

Clock = Callable[[], int]

_log = logging.getLogger("bridge.spire")
_AFTER_DEFECT_SECONDS = 1.0


class BundleSource(Protocol):
    """Keeps the bundles of some trust domains in a `BundleBook`. Files, the Workload API and, later,
    polled endpoints are sources."""

    def start(self) -> None:
        """Begin, in threads of this process. After a fork, never before it: gRPC's streams and all other
        threads stay behind in the parent."""
        ...

    def refresh_now(self) -> None:
        """Look again soon, without waiting for the next turn. Returns at once."""
        ...

    def close(self) -> None:
        """End all threads and connections. Idempotent."""
        ...


class ForkGuard:
    """Remembers the process in which something was started."""

    def __init__(self) -> None:
        self._pid: int | None = None

    def enter(self, what: str) -> None:
        """Note the start. Raises: RuntimeError on a second one, in this process or in a child of it."""
        if self._pid is not None:
            where = "in this process" if self._pid == os.getpid() else "before a fork; make a new one in each worker"
            raise RuntimeError(f"{what} was already started {where}")
        self._pid = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether it was started in another process, whose threads are not here."""
        return self._pid is not None and self._pid != os.getpid()


class Turns:
    """A thread that does one thing again and again, with a pause that can be cut short."""

    def __init__(self, name: str, turn: Callable[[], float]) -> None:
        """`turn` does the work and returns how many seconds to pause before the next."""
        self._turn = turn
        self._condition = threading.Condition()
        self._hurry = False
        self._closed = False
        self._guard = ForkGuard()
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. Raises: RuntimeError when it was started before."""
        self._guard.enter(self._name)
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Cut the present pause short."""
        with self._condition:
            self._hurry = True
            self._condition.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `stop` or `close` was called."""
        return self._closed

    def stop(self) -> None:
        """Ask for the end: no further turn begins. Returns at once."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def close(self) -> None:
        """End after the turn that is running, and wait for that. Idempotent."""
        self.stop()
        if self._thread is not None and not self._guard.inherited:
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            try:
                pause = self._turn()
            except Exception:  # noqa: BLE001 - the boundary of this thread
                # A defect must not end it for good: the bundles would stand still, and grow stale.
                _log.exception("%s failed by a defect", self._name)
                pause = _AFTER_DEFECT_SECONDS
            with self._condition:
                self._condition.wait_for(lambda: self._hurry or self._closed, pause)
                self._hurry = False
