"""From the event loop to a WSGI application in threads, and back: at most so many at once, or 503.

A lane is a group of threads with a bounded queue before it. When more arrives than the threads can
do, waiting longer helps nobody: what does not fit is refused at once, and what waited too long is
refused without being begun, so that the work that is done is work somebody still waits for (L-8).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any
from wsgiref.types import WSGIApplication

from bridge.serving.answers import FAILED, WAITED_TOO_LONG, Answer, Refusal
from bridge.serving.crew import Crew

LOG = logging.getLogger("bridge.serving")

Outcome = Answer | Refusal

# How often crew and held answers are looked at, and how long one is held before a thread asks what is the matter
# (beyond the patience of whatever it waits for, which then says so), in seconds.
_LOOK = 0.025
_HELD_TOO_LONG = 1.5


class BrokenApplication(RuntimeError):
    """The application does not keep to PEP 3333."""


class WsgiCall:
    """One request to a WSGI application, and the collecting of its answer."""

    __slots__ = ("_started", "_written", "chunks")

    def __init__(self, app: WSGIApplication, environ: dict[str, Any]) -> None:
        """Call the application. Raises: whatever it raises, BrokenApplication."""
        self._started: list[tuple[str, list[tuple[str, str]]]] = []
        self._written: list[bytes] = []
        self.chunks: Iterable[bytes] = app(environ, self._start_response)

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        # Nothing has been sent before the end, so an answer can always be replaced by an error page.
        if self._started and exc_info is None:
            raise BrokenApplication("start_response was called twice")
        self._started[:] = [(status, headers)]
        return self._written.append

    def answer(self) -> Answer:
        """Collect the whole answer, which may wait. To be asked once. Raises: as above."""
        # They may refer back to this call, and each request would leave a circle to the collector.
        chunks, self.chunks = self.chunks, ()
        try:
            body = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        if not self._started:
            raise BrokenApplication("start_response was not called")
        status, headers = self._started[0]
        return Answer(status, headers, b"".join((*self._written, body)) if self._written else body)


def call_wsgi(app: WSGIApplication, environ: dict[str, Any]) -> Answer:
    """Call a WSGI application and collect its whole answer. Raises: whatever it raises, BrokenApplication."""
    return WsgiCall(app, environ).answer()


class _OneRequest:
    """Whatever an application raises ends one request: it is logged and answered, and stops no thread."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __enter__(self) -> None:
        """Nothing to begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        LOG.error("the application failed", exc_info=error, extra=_id_of(self._job))
        self._job.outcome = FAILED
        return True


class Job:
    """One request on its way through a lane. `abandoned`: nobody waits for it any more."""

    __slots__ = ("abandoned", "call", "deliver", "environ", "held_since", "outcome", "queued_at", "settled")

    def __init__(self, environ: dict[str, Any], deliver: Callable[[Outcome], None], queued_at: float) -> None:
        self.environ = environ
        self.deliver = deliver
        self.queued_at = queued_at
        self.abandoned = False
        self.call: WsgiCall | None = None
        self.outcome: Outcome | None = None
        self.held_since = 0.0
        self.settled = False


class Lane:
    """Threads for one WSGI application, and the bounded queue before them.

    `submit` and all callbacks happen on the loop. `patience` (seconds) is how long a request may wait
    for a thread.

    An answer (the iterable of PEP 3333) may be held by the application: it has `then(call)` and
    `is_ready` (see `ServedApp`). No thread waits for such an answer. When its time comes it is collected
    on the loop if it is ready, else by a thread; by a thread too when its time does not come.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        name: str,
        loop: asyncio.AbstractEventLoop,
        threads: int,
        waiting: int,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._loop = loop
        self._room = threads + waiting
        self._patience = patience
        self._clock = clock
        self._crew = Crew(name, threads, self._serve)
        # Jobs that the loop is to look at, and those that are held, oldest first. Filled by any thread,
        # emptied by the loop.
        self._returned: deque[Job] = deque()
        self._held: deque[Job] = deque()
        self._is_woken = self._is_watching = False
        self.open_jobs = 0

    @property
    def is_full(self) -> bool:
        """Whether `submit` would have no room."""
        return self.open_jobs >= self._room

    def submit(self, environ: dict[str, Any], deliver: Callable[[Outcome], None]) -> Job | None:
        """Queue a request; `deliver` gets its outcome, on the loop. None: there is no room, nothing will come."""
        if self.is_full:
            return None
        self.open_jobs += 1
        job = Job(environ, deliver, self._clock())
        self._crew.put(job)
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_later(_LOOK, self._look)
        return job

    def close(self) -> bool:
        """End the threads. False when some are still at work: they are left to themselves."""
        busy = self.open_jobs > 0
        self._crew.close(wait=not busy)
        return not busy

    # In the threads of the lane.

    def _serve(self, job: Job) -> None:
        with _OneRequest(job):
            self._work(job)
        if job.outcome is not None:
            self._return(job)

    def _work(self, job: Job) -> None:
        if job.call is None:
            if job.abandoned or self._clock() - job.queued_at > self._patience:
                job.outcome = WAITED_TOO_LONG
                return
            call = WsgiCall(self._app, job.environ)
            then = getattr(call.chunks, "then", None)
            if then is not None:
                job.call, job.held_since = call, self._clock()
                self._held.append(job)
                then(lambda: self._return(job))
                return
        else:
            call = job.call
        job.outcome = call.answer()

    # In any thread.

    def _return(self, job: Job) -> None:
        """Have the loop look at the job; it is woken once for all that come back before it does."""
        self._returned.append(job)
        if not self._is_woken:
            self._is_woken = True
            try:
                self._loop.call_soon_threadsafe(self._collect)
            except RuntimeError:
                # The loop is closed: the drain is over, and nobody waits for this any more.
                LOG.warning("an answer came after the end of the drain", extra=_id_of(job))

    # On the loop.

    def _collect(self) -> None:
        self._is_woken = False
        while self._returned:
            job = self._returned.popleft()
            if job.outcome is None:
                self._settle(job)
            else:
                self._finish(job, job.outcome)
        while self._held and self._held[0].settled:
            self._held.popleft()

    def _settle(self, job: Job) -> None:
        """A held answer can be collected: here if that takes no time, else by a thread."""
        if job.settled or job.call is None:
            return
        job.settled = True
        if not getattr(job.call.chunks, "is_ready", False):
            self._crew.put(job)
            return
        with _OneRequest(job):
            job.outcome = job.call.answer()
        if job.outcome is not None:
            self._finish(job, job.outcome)

    def _look(self) -> None:
        """Now and then, while there are jobs: those held for too long are asked by a thread how they stand."""
        self._crew.look()
        until = self._clock() - _HELD_TOO_LONG
        while self._held and (self._held[0].settled or self._held[0].held_since < until):
            job = self._held.popleft()
            if not job.settled:
                job.settled = True
                self._crew.put(job)
        self._is_watching = self.open_jobs > 0
        if self._is_watching:
            self._loop.call_later(_LOOK, self._look)

    def _finish(self, job: Job, outcome: Outcome) -> None:
        self.open_jobs -= 1
        job.settled = True
        job.deliver(outcome)


def _id_of(job: Job) -> dict[str, str]:
    return {"request_id": job.environ.get("bridge.request_id", "")}
