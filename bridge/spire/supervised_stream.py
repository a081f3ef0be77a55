"""One Workload API stream, kept open under our own supervision.

py-spiffe's sources cannot be left alone: a stream may go silent without an error, an agent may be gone
without a word, and one unparsable federated set closes a source for good. So only py-spiffe's generated
stubs are used. A stream here never lives longer than `life` seconds: it is opened anew, and since its first
message is the complete state, each reopening confirms what is known or finds out that nobody answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from spiffe._proto import workload_pb2_grpc

from bridge.spire.endpoint import METADATA, WorkloadEndpoint, describe, open_channel
from bridge.spire.source import Turns

# How long a stream lives before it is opened anew, which is how often an agent confirms what it said.
STREAM_SECONDS = 10
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
# An agent without a profile says UNIMPLEMENTED; so does one that is still starting. Ask again, rarely.
_NOT_OFFERED_PAUSE = 60.0


class SupervisedStream:
    """Receives the messages of one call, each the complete state of what it is about.

    `call` is the name of the method, `request` what it is asked with, `what` what people call the stream. `received`
    gets each message; `failed` gets the reason when the agent cannot be asked, `not_offered` when it has no such
    call. All are called in the stream's own thread. Units: `life` in seconds, by `clock`, which has any beginning.
    """

    def __init__(
        self,
        call: str,
        request: Any,
        endpoint: WorkloadEndpoint,
        *,
        what: str,
        life: float,
        received: Callable[[Any], None],
        failed: Callable[[str], None],
        not_offered: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._method, self._request, self._what = call, request, what
        self._endpoint = endpoint
        self._life, self._clock = life, clock
        self._received = received
        self._failed = failed
        self._not_offered = not_offered
        self._pause = _FIRST_PAUSE
        self._lock = threading.Lock()
        self._call: Any = None
        self._reopen = False
        self._turns = Turns(f"workload-api {what}", self._connect)

    def start(self) -> None:
        """Connect, in a thread. Raises: RuntimeError when it was started before."""
        self._turns.start()

    def refresh_now(self) -> None:
        """Open the stream anew at once, or cut the wait for the next attempt short."""
        with self._lock:
            self._reopen = True
            if self._call is not None:
                self._call.cancel()
        self._turns.hurry()

    def close(self) -> None:
        """End stream, connection and thread. Idempotent."""
        self._turns.stop()
        with self._lock:
            if self._call is not None:
                self._call.cancel()
        self._turns.close()

    def _connect(self) -> float:
        """One connection, with one stream after the other until something is wrong. The answer is how long
        to wait before the next: each failure gets a new connection, so that none can stay wedged."""
        with open_channel(self._endpoint) as channel:
            stub = workload_pb2_grpc.SpiffeWorkloadAPIStub(channel)
            while not self._turns.closed:
                pause = self._stream(stub)
                if pause is not None:
                    return pause
        return 0.0

    def _stream(self, stub: Any) -> float | None:
        """One stream from first message to end. None: open the next one at once, on the same connection."""
        answered, opened_at = False, self._clock()
        call = self._open(stub)
        try:
            for message in call:
                answered = True
                self._pause = _FIRST_PAUSE
                self._received(message)
        except grpc.RpcError as error:
            return self._ended(error, answered)
        finally:
            with self._lock:
                self._call = None
        if answered and self._clock() - opened_at >= self._life / 2:
            # The agent knows how long the call may last and times it too. When it comes first it ends the stream
            # as if all were said, which is no fault; whether it is still there, the next stream shows.
            return None
        return self._wait_longer(f"the agent ended the {self._what} stream")

    def _open(self, stub: Any) -> Any:
        with self._lock:
            self._reopen = False
            call = getattr(stub, self._method)(self._request, timeout=self._life, metadata=METADATA)
            if self._turns.closed:
                call.cancel()
            self._call = call
        return call

    def _ended(self, error: Any, answered: bool) -> float | None:
        code = error.code()
        with self._lock:
            wanted = self._turns.closed or self._reopen
        if wanted and code is grpc.StatusCode.CANCELLED:
            return None
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and answered:
            return None
        if code is grpc.StatusCode.UNIMPLEMENTED:
            self._not_offered(describe(error))
            return _NOT_OFFERED_PAUSE
        return self._wait_longer(describe(error))

    def _wait_longer(self, reason: str) -> float:
        self._failed(reason)
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return pause
