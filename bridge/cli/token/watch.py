"""`bridge token --watch FILE`: a token that is always fresh, in a file that a workload reads.

Whatever fails, the file keeps what it holds: an old token may still be good, and no token never is.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType

import click

from bridge.cli.failures import EXPECTED, describe
from bridge.cli.output import printable
from bridge.cli.token.endpoint import NotNow
from bridge.cli.token.request import Granted
from bridge.files.kept_secret import replace_secret

# A token is renewed after this part of its life: never at the same moment in all processes that began together.
_EARLIEST, _LATEST = 0.6, 0.8
_SHORTEST_WAIT = 1.0
# Pauses after failures: twice as long each time, and each by chance down to half of that.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# A server that asks for more patience than this is asked again all the same.
_LONGEST_PATIENCE = 3600.0
# So often the clocks are looked at: one that stood still while the machine slept does not wake anybody.
_SLICE, _FOLLOWING = 15.0, 1.0
INFO, WARNING = 6, 4


class Stopped(BaseException):
    """SIGTERM or SIGINT came. Not an `Exception`: nothing that handles a failure may take it for one."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a keeper is given instead of the world. `monotonic` and `wall` in seconds; `chance` gives a number between
    two; `wait` returns after so many seconds, or True as soon as it is over; `say` takes a syslog priority and a line;
    `told` is called after each attempt with what to show as the state and whether there is a token."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    chance: Callable[[float, float], float]
    wait: Callable[[float], bool]
    say: Callable[[int, str], None]
    told: Callable[[str, bool], None] = lambda state, good: None


class TokenKeeper:
    """Renews the token in one file, until `wait` says that it is over."""

    def __init__(self, file: Path, fetch: Callable[[], Granted], around: Surroundings) -> None:
        """`fetch` raises one of `EXPECTED` or a ClickException."""
        self._file, self._fetch, self._around = file, fetch, around
        self._outdated: Callable[[Granted], bool] | None = None
        self._held: Granted | None = None
        self._ends_at = 0.0
        self._failures = 0

    def follow(self, outdated: Callable[[Granted], bool]) -> None:
        """Ask each second whether the token has to be renewed before its time, because the certificate that it is bound
        to has been replaced."""
        self._outdated = outdated

    def run(self) -> None:
        """Renew, wait, and again."""
        while not self._pause(self._renew()):
            continue

    def _renew(self) -> float:
        """One attempt. Gives the seconds until the next."""
        began = self._around.wall()
        try:
            granted = self._fetch()
            if not granted.lifetime:
                raise click.ClickException("the server did not say how long the token lives (expires_in)")
            replace_secret(self._file, f"{granted.token}\n".encode())
        except (click.ClickException, *EXPECTED) as error:
            return self._failed(error)
        self._held, self._failures = granted, 0
        self._ends_at = began + granted.lifetime
        pause = max(_SHORTEST_WAIT, granted.lifetime * self._around.chance(_EARLIEST, _LATEST))
        state = f"a token for {granted.lifetime} s in {printable(self._file)}, the next in {pause:.0f} s"
        self._around.say(INFO, state)
        self._around.told(state, True)
        return pause

    def _failed(self, error: BaseException) -> float:
        self._failures += 1
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures - 1, 30))
        pause = self._around.chance(longest / 2, longest)
        if isinstance(error, NotNow) and error.after is not None:
            # A little later than told, each by chance: all of them were told the same.
            asked = min(_LONGEST_PATIENCE, float(error.after))
            pause = max(pause, asked + self._around.chance(0.0, _FIRST_PAUSE))
        words = error.format_message() if isinstance(error, click.ClickException) else "; ".join(describe(error)[1])
        state = f"no new token: {words}\n{self._what_is_there()}; the next attempt in {pause:.0f} s"
        self._around.say(WARNING, state)
        self._around.told(state, False)
        return pause

    def _what_is_there(self) -> str:
        file = printable(self._file)
        if self._held is None:
            return f"{file} is as it was"
        left = self._ends_at - self._around.wall()
        if left <= 0:
            return f"the token in {file} has ended"
        return f"the token in {file} stays, good for {left:.0f} s more"

    def _pause(self, seconds: float) -> bool:
        """Whether it is over. By both clocks: one goes on evenly, the other also while the machine sleeps. A token that
        is bound to a certificate of before is renewed at once, unless an attempt to do that has just failed."""
        around = self._around
        until, until_wall = around.monotonic() + seconds, around.wall() + seconds
        while (left := min(until - around.monotonic(), until_wall - around.wall())) > 0:
            if around.wait(min(left, _SLICE if self._outdated is None else _FOLLOWING)):
                return True
            if self._outdated is not None and self._held is not None and not self._failures:
                if self._outdated(self._held):
                    return False
        return around.wait(0.0)


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """An event that SIGTERM and SIGINT set; what is under way then ends by `Stopped`, which the block's end swallows.

    Both, because an exception out of a signal's handler is lost where the interpreter happens to be in a destructor.
    """
    over = Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if not over.is_set():
            over.set()
            raise Stopped

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield over
    except Stopped:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_on_stderr(priority: int, text: str) -> None:
    """Each line for the journal with its priority (sd-daemon(3)), where standard error is the journal's; for others
    as it is, since whoever keeps it adds the time."""
    mark = f"<{priority}>" if _is_journal() else ""
    for line in text.splitlines():
        click.echo(f"{mark}bridge token: {printable(line)}", err=True)


def _is_journal() -> bool:
    """Whether standard error is the stream that systemd said it would be (`JOURNAL_STREAM`: device and inode)."""
    try:
        there = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
