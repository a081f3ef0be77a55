"""Group commit: all writes that wait at the same time share one durable transaction.

One thread per process writes. It waits for its turn among the processes (`gate`), takes everything that
waits by then, runs it, commits, and only then tells each caller how its write ended.

A caller waits for its write (`submit`), or has itself told when it is done and does something else
meanwhile (`begin`): a thread that waits costs two more turns of the interpreter per write.

A caller waits for a bounded time. When that ends before the commit began, its write is withdrawn (a
transaction that already holds it is undone and done again without it), so that `Unavailable` means that
nothing was written. When the disk stalls inside the commit itself, nobody can know: the caller gets
`Unavailable` all the same, never a late success, and the write may turn out to be there. That is the
safe side for every verb: an audit row of a token that nobody got, a marker of a proof that is refused
when it comes again, a revocation that holds.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from _thread import LockType, allocate_lock
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import Empty, SimpleQueue

from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason
from bridge.store.connections import is_busy, unavailable
from bridge.store.outcome import Outcome
from bridge.store.session import Work, WriterSession

# Together below the two seconds within which a caller must have its answer.
PATIENCE = 1.5
COMMIT_PATIENCE = 0.3
MAX_BATCH = 256

# What a thread that waits for a write does so in.
Aside = Callable[[], AbstractContextManager[None]]


class Submitted:
    """A write on its way to the disk. See `model.pending`."""

    __slots__ = ("_aside", "_calls", "_give_up", "_until", "committing", "done", "outcome", "withdrawn", "work")

    def __init__(self, work: Work, until: float, give_up: Callable[[Submitted], None], aside: Aside) -> None:
        """`until`: when its caller's patience ends, on the monotonic clock."""
        self._aside = aside
        self.work = work
        self.outcome: Outcome | None = None
        self.withdrawn = False
        self.committing = False
        self.done: LockType = allocate_lock()
        self.done.acquire()
        self._until, self._give_up = until, give_up
        self._calls: list[Callable[[], None]] = []

    @property
    def is_durable(self) -> bool:
        """Whether it has been done, so that `result` neither waits nor raises."""
        return self.outcome is not None and self.outcome.error is None

    def then(self, call: Callable[[], None]) -> None:
        """Have `call` called once it is known how the write ended: in the writer's thread, or here and now.

        It must be quick and not raise. Never called for a write that is withdrawn."""
        self._calls.append(call)
        if self.outcome is not None:
            self._tell()

    def result(self) -> object:
        """Wait, and give the write's value. To be asked once.

        Raises: Unavailable when patience ends; whatever the write itself raises.
        """
        if self.outcome is None:
            with self._aside():
                if not self.done.acquire(timeout=max(0.0, self._until - time.monotonic())):
                    self._give_up(self)
        if self.outcome is None:
            raise AssertionError("a write was reported without its outcome")
        return self.outcome.get()

    def settle(self) -> None:
        """Tell whoever waits, after `outcome` was set. Called by the writer."""
        self.done.release()
        self._tell()

    def _tell(self) -> None:
        # Both the writer and a late `then` may be here at once; taking out of a list is atomic.
        while self._calls:
            try:
                call = self._calls.pop()
            except IndexError:
                return
            call()


class GroupCommit:
    """The one way to write. Start it after a fork, in the process that uses it."""

    def __init__(
        self,
        session: WriterSession,
        gate: AbstractContextManager[None],
        *,
        patience: float = PATIENCE,
        commit_patience: float = COMMIT_PATIENCE,
        aside: Aside = nullcontext,
    ) -> None:
        """`patience`: seconds a caller waits before its write is withdrawn; `commit_patience`: how much
        longer once the commit has begun. `aside` is what a calling thread waits in."""
        self._session, self._gate, self._aside = session, gate, aside
        self._patience, self._commit_patience = patience, commit_patience
        self._queue: SimpleQueue[Submitted | None] = SimpleQueue()
        # Guards `withdrawn` and `committing` of every waiting write, and `_closing`.
        self._lock = threading.Lock()
        self._closing = False
        self.failed = False
        """Whether a transaction failed since whoever reads this last set it to False."""
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> object:
        """Do this write and return its value once it is durable.

        Raises: Unavailable within `patience`; whatever the write itself raises.
        """
        return self.begin(work).result()

    def begin(self, work: Work) -> Submitted:
        """Have this write done, and do not wait for it. Raises: Unavailable when the store is closed."""
        if os.getpid() != self._pid:
            raise AssertionError("a store must be opened after the fork, by the process that uses it")
        waiting = Submitted(work, time.monotonic() + self._patience, self._give_up, self._aside)
        with self._lock:
            if self._closing:
                raise Unavailable(Reason.STORE_UNAVAILABLE, "the store is closed")
            self._queue.put(waiting)
        return waiting

    def close(self, timeout: float = 5.0) -> bool:
        """Finish what waits, then end. False when the database did not let go within `timeout` seconds."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _give_up(self, waiting: Submitted) -> None:
        """Withdraw the write, or wait a little longer when its commit has begun. Raises: Unavailable."""
        with self._lock:
            if not waiting.committing:
                waiting.withdrawn = True
                raise Unavailable(Reason.STORE_UNAVAILABLE, "the database is locked or slow; nothing was written")
        if not waiting.done.acquire(timeout=self._commit_patience):
            raise Unavailable(Reason.STORE_UNAVAILABLE, "the disk does not confirm the commit")

    # --- from here on: the writer's thread

    def _serve(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                # `begin` puts nothing behind this mark.
                break
            batch = [first]
            with Outcome() as failure:
                with self._gate:
                    self._write(batch)
            if failure.error is not None:
                self._abandon(batch, failure.error)
            for waiting in batch:
                if waiting.outcome is not None:
                    waiting.settle()
            # Nothing of this turn may live on while the thread waits for the next.
            del first, batch, failure
        self._session.discard()

    def _write(self, batch: list[Submitted]) -> None:
        """One turn: take the lock, take who waits, commit. `batch` grows in place."""
        while not self._begin(batch):
            if not self._still_wanted(batch):
                return
        self._gather(batch)
        while True:
            wanted = self._still_wanted(batch)
            outcomes = self._session.run([waiting.work for waiting in wanted])
            if self._claim(wanted):
                break
            self._session.rollback()
            self._session.begin()
        self._session.commit()
        for waiting, outcome in zip(wanted, outcomes, strict=True):
            waiting.outcome = outcome

    def _begin(self, batch: list[Submitted]) -> bool:
        """Whether the lock was free. While it is not, those who come later join the batch."""
        try:
            self._session.begin()
        except sqlite3.Error as error:
            if not is_busy(error):
                raise
            self._gather(batch)
            return False
        return True

    def _gather(self, batch: list[Submitted]) -> None:
        while len(batch) < MAX_BATCH:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return
            if waiting is None:
                self._queue.put(None)
                return
            batch.append(waiting)

    def _still_wanted(self, batch: Sequence[Submitted]) -> list[Submitted]:
        with self._lock:
            return [waiting for waiting in batch if not waiting.withdrawn]

    def _claim(self, wanted: Sequence[Submitted]) -> bool:
        """From here on nobody can withdraw; False when somebody just has."""
        with self._lock:
            if any(waiting.withdrawn for waiting in wanted):
                return False
            for waiting in wanted:
                waiting.committing = True
            return True

    def _abandon(self, batch: Sequence[Submitted], error: Exception) -> None:
        """The transaction failed as a whole: everybody in it gets the same answer."""
        self.failed = True
        with Outcome() as undone:
            self._session.rollback()
        if undone.error is not None or not isinstance(error, sqlite3.Error):
            with Outcome():
                # The session has let go of the connection before it closes it; how that ends is all one.
                self._session.discard()
        for waiting in batch:
            waiting.outcome = Outcome(error=_answer(error))


def _answer(error: Exception) -> Exception:
    """What a caller is told; a new one for each, because every thread adds its own traceback."""
    if isinstance(error, sqlite3.Error):
        return unavailable(error)
    if isinstance(error, OSError):
        return Unavailable(Reason.STORE_UNAVAILABLE, f"the writer's gate: {error}")
    return error
