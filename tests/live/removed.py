"""Whoever goes on with a credential whose authority was removed: what "none is granted later" is measured with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from tests.live.client import Answer, RefusedInHandshake
from tests.live.processes import wait_until
from tests.live.service import is_invalid_client
from tests.live.traffic import STAGE_SECONDS

# The second time the same worker is shown the same credential it need not verify it again.
_REMEMBERED = 2
_PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class _Presented:
    """What came of one client's requests. `late` and `wrong` are those begun after the time that was allowed: refused
    and granted."""

    granted: int = 0
    late: int = 0
    wrong: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tally:
    """`granted` before the time that was allowed was over, `refused` and `wrong` of requests begun afterwards;
    `last` is when the last granted one began, in seconds after the removal."""

    granted: int
    refused: int
    wrong: int
    last: float

    def __str__(self) -> str:
        last = f", the last one begun {self.last:.1f} s after the removal" if self.last > 0 else ""
        return f"{self.granted} granted{last}; after the time allowed {self.refused} refused, {self.wrong} accepted"


class Removed:
    """Clients by name, each with one way to present the credential, who ask from the `with` line to its end.

    Until the removal begins nothing but a granted token will do; from the time that it is allowed to take, nothing
    but `invalid_client` or a handshake that is refused. In between either is right, and nothing else.
    """

    def __init__(self, asks: Mapping[str, Callable[[], Answer]]) -> None:
        self._asks = asks
        self._presented = {name: _Presented() for name in asks}
        self._stopped = threading.Event()
        self._begun = False
        self._removed_at = self._deadline = float("inf")
        self._last = 0.0
        self._threads = [
            threading.Thread(target=self._run, args=(name,), name=f"removed {name}", daemon=True) for name in asks
        ]

    def __enter__(self) -> Removed:
        for thread in self._threads:
            thread.start()
        self._until("each client was granted a token twice", lambda one: one.granted >= _REMEMBERED)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(STAGE_SECONDS)
        if error is None:
            assert not any(thread.is_alive() for thread in self._threads), "a request was never answered"
            assert self.faults == [], str(self.tally)

    @contextmanager
    def removal(self, *, within: float) -> Iterator[None]:
        """The removal happens inside the `with`; from its end on it may take `within` seconds to be in force."""
        self._begun = True
        yield
        self._removed_at = time.monotonic()
        self._deadline = self._removed_at + within

    def is_over(self, requests: int = 5) -> None:
        """Wait until each client asked so many more times after the time allowed. What came of it is in `tally`."""
        self._until(f"{requests} more requests after the removal", lambda one: one.late + one.wrong >= requests)

    @property
    def tally(self) -> Tally:
        """All clients together."""
        every = self._presented.values()
        last = self._last - self._removed_at
        return Tally(sum(x.granted for x in every), sum(x.late for x in every), sum(x.wrong for x in every), last)

    @property
    def faults(self) -> list[str]:
        """Answers that should not have come, by client."""
        return [f"{name}: {fault}" for name, one in self._presented.items() for fault in one.faults]

    def _until(self, what: str, reached: Callable[[_Presented], bool]) -> None:
        wait_until(lambda: self.faults or all(map(reached, self._presented.values())), seconds=STAGE_SECONDS, what=what)
        assert self.faults == [], str(self.tally)

    def _run(self, name: str) -> None:
        presented = self._presented[name]
        while not self._stopped.is_set() and not presented.faults:
            try:
                self._present(self._asks[name], presented)
            except Exception as error:  # noqa: BLE001 - the boundary of the thread; whatever it is, it is a fault
                presented.faults.append(repr(error))
            # Valid credentials are the load; these are for seeing when it ends.
            self._stopped.wait(_PAUSE_SECONDS)

    def _present(self, ask: Callable[[], Answer], presented: _Presented) -> None:
        begun = time.monotonic()
        try:
            answer = ask()
        except RefusedInHandshake as refusal:
            granted, refused, said = False, True, repr(refusal)
        else:
            granted, refused, said = answer.granted, is_invalid_client(answer), f"{answer.status} {dict(answer.body)}"
        if granted:
            presented.wrong += begun >= self._deadline
            presented.granted += begun < self._deadline
            self._last = max(self._last, begun)
        elif refused and self._begun:
            presented.late += begun >= self._deadline
        else:
            presented.faults.append(said)
