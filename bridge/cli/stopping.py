"""How a command that watches for hours is told to end: between two things that it does, and never within one."""

from __future__ import annotations

import signal
import threading


class Stop:
    """Set by Ctrl-C, and where wanted by SIGTERM. Python may lose an interrupt that comes while it clears something
    away, and then a watch would go on; a second signal ends at once whatever it is at."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._told = threading.Event()
        self.by: signal.Signals | None = None
        self._before = {number: signal.signal(number, self._tell) for number in signals}

    def wait(self, seconds: float) -> bool:
        """Rest for so long, or until told to stop; whether that was said."""
        return self._told.wait(seconds)

    def _tell(self, number: int, frame: object) -> None:
        self.by = signal.Signals(number)
        signal.signal(number, self._before[self.by])
        self._told.set()
