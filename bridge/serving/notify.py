"""Telling systemd how the service stands (sd_notify(3)): ready, reloading, stopping, and a sign of life.

The protocol is one datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names. Where there is none, all of
this does nothing.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import MutableMapping

_log = logging.getLogger("bridge.serving")

_NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
# A sign of life is given so many times in the time that systemd waits for one.
_SIGNS = 3
# So long a full socket is waited for. Whoever does not read must not hold up the service.
_SEND_SECONDS = 0.5


class Notifier:
    """Says how one process stands. Nothing here raises: a service does not end because nobody listens."""

    def __init__(self, address: str | None, *, watchdog: float | None = None) -> None:
        """`address`: a path, or `@name` for an abstract socket; None: nobody wants to know. `watchdog`: seconds after
        which systemd takes a silent service for dead; None: it does not look."""
        self._address = address
        self._every = None if watchdog is None else watchdog / _SIGNS
        self._next_sign = 0.0
        self._complained = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str], pid: int) -> Notifier:
        """What systemd asks of the process `pid`, which is this one. The names are taken out of `environment`, so that
        no process below speaks in its name."""
        address, microseconds, of = (environment.pop(name, "") for name in _NAMES)
        if address and address[0] not in "/@":
            _log.warning("NOTIFY_SOCKET is of a kind that is not known here: systemd is told nothing")
            address = ""
        watched = microseconds.isascii() and microseconds.isdigit() and of in ("", str(pid)) and int(microseconds) > 0
        return cls(address or None, watchdog=int(microseconds) / 1_000_000 if watched else None)

    @property
    def sign_seconds(self) -> float | None:
        """How often `alive` has to be called at least; None: never."""
        return self._every

    def ready(self, status: str) -> None:
        """It serves; also at the end of a reload."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self, microseconds: int) -> None:
        """It was told to reload, at this moment of CLOCK_MONOTONIC; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reloading")

    def stopping(self) -> None:
        """It was told to end and answers what was asked."""
        self._send("STOPPING=1\nSTATUS=ending")

    def status(self, status: str) -> None:
        """One line for people who look (`systemctl status`)."""
        self._send(f"STATUS={_line(status)}")

    def alive(self, now: float) -> None:
        """A sign of life, if one is due. `now` in seconds of any clock that goes on evenly."""
        if self._every is not None and now >= self._next_sign:
            self._next_sign = now + self._every
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.connect(address)
                sender.sendall(message.encode())
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("systemd cannot be told how the service stands: %s", error)


def _line(text: str) -> str:
    return " ".join(text.split())
