"""Programs the live tests start: each ends with the test run, and each wait has a condition and a deadline."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class NotInTime(AssertionError):
    """A condition that should have come true did not, within its deadline."""


def wait_until(condition: Callable[[], T], *, seconds: float, what: str, every: float = 0.05) -> T:
    """Ask again and again until `condition()` is truthy; return its value.

    Raises: NotInTime after `seconds`. An exception of the condition is the caller's: it ends the wait.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise NotInTime(f"not within {seconds:g} s: {what}")
        time.sleep(every)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free, and different, a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Program:
    """One started program with its log file.

    It is killed by the kernel when the process that started it dies, so that a killed test run leaves
    nothing behind; `outlives=True` is for a lab that a person keeps up.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        outlives: bool = False,
        death_signal: str = "KILL",
        rights: Sequence[str] = (),
    ) -> int:
        """Start it with these `setpriv` options; returns the process id. Says nothing about whether it is ready."""
        # One setpriv for both: a change of the uid afterwards would take the death signal back.
        ties = [] if outlives else ["--pdeathsig", death_signal]
        prefix = ["setpriv", *rights, *ties, "--"] if rights or ties else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=directory,
                start_new_session=True,
            )
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ready_when(self, condition: Callable[[], bool], *, seconds: float) -> None:
        """Wait for the condition. Raises: AssertionError with the end of the log when the program ended first."""

        def ready_or_dead() -> bool:
            if not self.running:
                raise AssertionError(f"{self.name} ended while it started:\n{self.tail()}")
            return condition()

        try:
            wait_until(ready_or_dead, seconds=seconds, what=f"{self.name} is ready")
        except NotInTime as error:
            raise NotInTime(f"{error}\n{self.tail()}") from None

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self, *, number: signal.Signals = signal.SIGTERM, seconds: float = 15) -> int | None:
        """End it and reap it; returns its exit status, or None when it was not running. SIGKILL after the deadline."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._end_group(process.pid)
            process.wait(seconds)
            raise NotInTime(f"{self.name} did not end within {seconds:g} s of {number.name}\n{self.tail()}") from None

    @staticmethod
    def _end_group(leader: int) -> None:
        """Kill what the program itself started too: it leads its own process group."""
        try:
            os.killpg(leader, signal.SIGKILL)
        except ProcessLookupError:
            return


def run(command: Sequence[str], *, seconds: float = 30) -> str:
    """Run a command that ends by itself; returns what it printed. Raises: AssertionError with its stderr."""
    done = subprocess.run(
        list(command), capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise CommandFailed(command, done.returncode, done.stdout + done.stderr)
    return done.stdout


class CommandFailed(AssertionError):
    """A command said no. `output` is what it printed."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"`{' '.join(command)}` ended with {status}: {output.strip()}")
        self.status = status
        self.output = output
