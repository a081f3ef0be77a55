"""Small things done now and then by every worker, each at its own pace, all in one thread.

A chore that fails is tried again at its next turn and never stops the others. Chores that only one
process should do take a lease in the store first; no process is special, so none can be lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bridge.model.errors import BridgeError

_log = logging.getLogger("bridge.chores")


@dataclass(frozen=True, slots=True)
class Chore:
    """`run` is called every `every` seconds with the epoch time; the first time at once. Where it says a number
    of seconds, its next turn comes after these: it had more to do than should be done in one turn."""

    name: str
    every: float
    run: Callable[[int], float | None]


class Chores:
    """The thread that does them."""

    def __init__(self, chores: tuple[Chore, ...], *, clock: Callable[[], int]) -> None:
        self._chores, self._clock = chores, clock
        self._wake = threading.Event()
        self._ended = False
        self._hurried: deque[threading.Event] = deque()
        self._turned_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)

    def start(self) -> None:
        """Start the thread; after the worker process has come into being, never before."""
        self._thread.start()

    def hurry(self) -> threading.Event:
        """Do everything at once, whatever its turn (SIGHUP). The event is set when that is done, or the end is."""
        done = threading.Event()
        self._hurried.append(done)
        self._wake.set()
        if self._ended:
            done.set()
        return done

    @property
    def silent_seconds(self) -> float:
        """How long ago the thread last came round. Large: it hangs in a chore, or is gone."""
        return time.monotonic() - self._turned_at

    def close(self, patience: float | None = None) -> bool:
        """End the thread after the chore it is at; that is waited for, `patience` seconds at most where it is given.
        Whether it has ended."""
        self._ended = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        due = {chore.name: 0.0 for chore in self._chores}
        while not self._closing():
            hurried = [self._hurried.popleft() for _ in range(len(self._hurried))]
            self._turned_at = time.monotonic()
            self._round(due, everything=bool(hurried))
            for done in hurried:
                done.set()
            if not self._closing():
                self._wake.wait(max(0.0, min(due.values()) - time.monotonic()))
                self._wake.clear()
        while self._hurried:
            # Nobody will come to it any more, and nobody should wait for it.
            self._hurried.popleft().set()

    def _round(self, due: dict[str, float], *, everything: bool) -> None:
        started = time.monotonic()
        for chore in self._chores:
            if self._closing():
                return
            if everything or due[chore.name] <= started:
                rest = self._do(chore)
                due[chore.name] = time.monotonic() + (chore.every if rest is None else rest)

    def _closing(self) -> bool:
        return self._ended

    def _do(self, chore: Chore) -> float | None:
        try:
            return chore.run(self._clock())
        except (BridgeError, OSError) as error:
            _log.warning("chore failed", extra={"chore": chore.name, "detail": str(error)})
        except Exception:  # noqa: BLE001 - the boundary of this thread, as the web layer has one for requests
            # A defect in one chore must not end the others: without them policies and keys would stand still.
            _log.exception("chore failed by a defect", extra={"chore": chore.name})
        return None
