"""Of all threads that need the same thing at the same time one gets it, and the others wait for what it gets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bridge.fetch.deadline import Clock
from bridge.fetch.failures import FetchDelayed, again
from bridge.model.errors import EvidenceRejected, Unavailable

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    """`result` has one element once there is a result. Without it and without `failure` there was nothing to share."""

    done: threading.Event = field(default_factory=threading.Event)
    result: tuple[()] | tuple[T] = ()
    failure: EvidenceRejected | Unavailable | None = None


class Flights(Generic[T]):
    """What is being got, by key. Remembers nothing of what has ended. Thread-safe."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._lock = threading.Lock()

    def run(self, key: Hashable, lead: Callable[[], T], *, patience: float) -> T:
        """Call `lead`, or wait up to `patience` seconds for whoever already does.

        What is wrong with the thing itself, and what passes, is raised to all. Any other failure concerns its own
        request alone, such as a limit of its source address: then one of those that waited leads.
        Raises: what `lead` raises; FetchDelayed.
        """
        until = self._clock() + patience
        while True:
            with self._lock:
                flight = self._flights.get(key)
                leads = flight is None
                if flight is None:
                    flight = self._flights[key] = _Flight()
            if leads:
                return self._lead(key, flight, lead)
            if not flight.done.wait(until - self._clock()):
                raise FetchDelayed("the fetch that was waited for did not end in time", retry_after=1)
            if flight.result:
                return flight.result[0]
            if flight.failure is not None:
                raise again(flight.failure)

    def _lead(self, key: Hashable, flight: _Flight[T], lead: Callable[[], T]) -> T:
        try:
            result = lead()
            flight.result = (result,)
            return result
        except (EvidenceRejected, Unavailable) as failure:
            flight.failure = failure
            raise
        finally:
            with self._lock:
                del self._flights[key]
            flight.done.set()
