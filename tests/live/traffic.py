"""Requests without a pause while something changes: what "no request is lost" is measured with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from tests.live.client import Answer
from tests.live.processes import wait_until

STAGE_SECONDS = 60.0


class Traffic:
    """A client that asks again as soon as it was answered, from the `with` line to its end.

    Nothing but a granted token counts as an answer; whatever else happened is kept in `lost`.
    """

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._ask = ask
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.granted = 0
        self.lost: list[str] = []

    def __enter__(self) -> Traffic:
        self._thread.start()
        self.flows()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(STAGE_SECONDS)
        if error is None:
            assert not self._thread.is_alive(), "a request was never answered"
            assert self.lost == []

    def flows(self, requests: int = 10) -> None:
        """Wait until so many more requests were granted, so that the stage just reached has been used."""
        before = self.granted
        wait_until(
            lambda: self.lost or self.granted >= before + requests,
            seconds=STAGE_SECONDS,
            what=f"{requests} more requests are granted",
        )
        assert self.lost == []

    def _run(self) -> None:
        while not self._stopped.is_set() and not self.lost:
            try:
                answer = self._ask()
            except Exception as error:  # noqa: BLE001 - the boundary of the thread; whatever it is, it is a lost request
                self.lost.append(repr(error))
                return
            if answer.granted:
                self.granted += 1
            else:
                self.lost.append(f"{answer.status} {dict(answer.body)}")
