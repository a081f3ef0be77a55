"""From the event loop to a WSGI application in threads, and back: at most so many at once, or 503.

A lane is a group of threads with a bounded queue before it. When more arrives than the threads can
do, waiting longer helps nobody: what does not fit is refused at once, and what waited too long is
refused without being begun, so that the work that is done is work somebody still waits for (L-8).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from wsgiref.types import WSGIApplication

from bridge.serving.answers import FAILED, WAITED_TOO_LONG, Answer, Refusal

LOG = logging.getLogger("bridge.serving")

Outcome = Answer | Refusal


class BrokenApplication(RuntimeError):
    """The application does not keep to PEP 3333."""


def call_wsgi(app: WSGIApplication, environ: dict[str, Any]) -> Answer:
    """Call a WSGI application and collect its whole answer. Raises: whatever it raises, BrokenApplication."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        # Nothing has been sent before the end, so an answer can always be replaced by an error page.
        if started and exc_info is None:
            raise BrokenApplication("start_response was called twice")
        started[:] = [(status, headers)]
        return written.append

    chunks: Iterable[bytes] = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    if not started:
        raise BrokenApplication("start_response was not called")
    status, headers = started[0]
    return Answer(status, headers, b"".join((*written, body)) if written else body)


class Job:
    """One request on its way through a lane. Belongs to the loop but for `abandoned`, which threads read."""

    __slots__ = ("abandoned", "deliver", "environ", "queued_at")

    def __init__(self, environ: dict[str, Any], deliver: Callable[[Outcome], None], queued_at: float) -> None:
        self.environ = environ
        self.deliver = deliver
        self.queued_at = queued_at
        self.abandoned = False


class Lane:
    """Threads for one WSGI application, and the bounded queue before them.

    `submit` and all callbacks happen on the loop. `patience` (seconds) is how long a request may wait
    for a thread.
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
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = threads + waiting
        self._patience = patience
        self._clock = clock
        self.open_jobs = 0

    def submit(self, environ: dict[str, Any], deliver: Callable[[Outcome], None]) -> Job | None:
        """Queue a request; `deliver` gets its outcome, on the loop. None: there is no room, nothing will come."""
        if self.open_jobs >= self._room:
            return None
        self.open_jobs += 1
        job = Job(environ, deliver, self._clock())
        future = self._executor.submit(self._work, job)
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._finish, job, done))
        return job

    def close(self) -> bool:
        """End the threads. False when some are still at work: they are left to themselves."""
        busy = self.open_jobs > 0
        self._executor.shutdown(wait=not busy, cancel_futures=True)
        return not busy

    def _work(self, job: Job) -> Outcome:
        if job.abandoned or self._clock() - job.queued_at > self._patience:
            return WAITED_TOO_LONG
        return call_wsgi(self._app, job.environ)

    def _finish(self, job: Job, done: Future[Outcome]) -> None:
        self.open_jobs -= 1
        if done.cancelled():
            job.deliver(WAITED_TOO_LONG)
            return
        error = done.exception()
        if error is None:
            job.deliver(done.result())
            return
        LOG.error(
            "the application failed", exc_info=error, extra={"request_id": job.environ.get("bridge.request_id", "")}
        )
        job.deliver(FAILED)
