"""Requests without a pause while something changes: what "no request is lost" is measured with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from tests.live.client import Answer
from tests.live.processes import wait_until

STAGE_SECONDS = 60.0
# A client's second answer after a stage was reached is to a request that it began afterwards.
_OWN_SHARE = 2


class Traffic:
    """Clients that ask again as soon as they were answered, from the `with` line to its end.

    Nothing but a granted token counts as an answer; whatever else happened is kept in `lost`.
    """

    def __init__(self, ask: Callable[[], Answer], *, clients: int = 1) -> None:
        self._ask = ask
        self._stopped = threading.Event()
        self._granted = [0] * clients
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name="traffic", daemon=True) for number in range(clients)
        ]
        self.lost: list[str] = []

    @property
    def granted(self) -> int:
        """How many tokens came so far."""
        return sum(self._granted)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        self.flows()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(STAGE_SECONDS)
        if error is None:
            assert not any(thread.is_alive() for thread in self._threads), "a request was never answered"
            assert self.lost == [], f"{self.granted} granted"

    def flows(self, requests: int = 10) -> None:
        """Wait until so many more requests were granted, some to each client, so that the stage just reached has
        been used by all."""
        all_flow([self], requests)

    def goal(self, requests: int) -> Callable[[], bool]:
        """Whether so many more than now were granted, some to each client; or one was lost."""
        before = list(self._granted)
        share = max(_OWN_SHARE, -(-requests // len(before)))
        return lambda: bool(
            self.lost or all(now >= then + share for now, then in zip(self._granted, before, strict=True))
        )

    def _run(self, number: int) -> None:
        while not self._stopped.is_set() and not self.lost:
            try:
                answer = self._ask()
            except Exception as error:  # noqa: BLE001 - the boundary of the thread; whatever it is, it is a lost request
                self.lost.append(repr(error))
                return
            if answer.granted:
                self._granted[number] += 1
            else:
                self.lost.append(f"{answer.status} {dict(answer.body)}")


def all_flow(streams: Sequence[Traffic], requests: int = 10) -> None:
    """`flows` of several at the same time."""
    goals = [each.goal(requests) for each in streams]
    for each, goal in zip(streams, goals, strict=True):
        wait_until(goal, seconds=STAGE_SECONDS, what=f"{requests} more requests are granted")
        assert each.lost == [], f"{each.granted} granted"
