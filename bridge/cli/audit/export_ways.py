"""Where exported audit rows go: standard output, a file, or a syslog receiver. When `write` returns, the rows
need not come again."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import click

from bridge.cli.audit.rows import row_fields
from bridge.cli.audit.syslog_message import Origin, fault_message, row_message
from bridge.cli.audit.syslog_wire import MessageTooLong, Wire, WireBroken
from bridge.cli.options import Failure
from bridge.cli.output import json_line, note, printable, timestamp
from bridge.cli.stopping import Stop
from bridge.model.audit import AuditRow
from bridge.store.ports import ChainFault

_REST, _LONGEST_REST = 1.0, 60.0
# How every line begins; a line is looked for in steps of so many bytes.
_BEGINS, _LOOK_BACK = b'{"id":', 65_536
# So often a receiver is tried by an export that does not follow.
_TRIES = 5


class ToldToStop(Exception):
    """Somebody ended the export while it waited; what was under way is not done."""


class Way(Protocol):
    """One of them. Close it."""

    def write(self, rows: Sequence[AuditRow]) -> None:
        """Raises: OSError, Failure, ToldToStop: some of them may be there then, and will come again."""
        ...

    def warn(self, faults: Sequence[ChainFault]) -> None:
        """Tell whoever reads there that the chains do not hold, if there is a form for it."""
        ...

    def close(self) -> None: ...


class Printed:
    """A line of JSON for each row, on standard output."""

    def write(self, rows: Sequence[AuditRow]) -> None:
        """As the protocol says."""
        click.echo("".join(f"{json_line(row_fields(row))}\n" for row in rows), nl=False)

    def warn(self, faults: Sequence[ChainFault]) -> None:
        """Nothing: every line is a row of the log."""

    def close(self) -> None:
        """Nothing: it is not ours."""


class Appended:
    """A line of JSON for each row behind what a file holds, on the disk before it is done."""

    def __init__(self, path: Path, *, goes_on: bool) -> None:
        """The file is made, for its owner alone; one that is there is taken only where an export `goes_on`. Raises:
        OSError; FileExistsError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags if goes_on else flags | os.O_EXCL, 0o600)
        try:
            _drop_torn_line(self._descriptor)
        except BaseException:
            self.close()
            raise

    def write(self, rows: Sequence[AuditRow]) -> None:
        """As the protocol says."""
        text = "".join(f"{json_line(row_fields(row))}\n" for row in rows).encode()
        while text:
            text = text[os.write(self._descriptor, text) :]
        os.fsync(self._descriptor)

    def warn(self, faults: Sequence[ChainFault]) -> None:
        """Nothing: every line is a row of the log."""

    def close(self) -> None:
        """As the protocol says."""
        os.close(self._descriptor)


def _drop_torn_line(descriptor: int) -> None:
    """Take off what was written of a line whose writer was killed: the row comes again, and whole. A pipe has none."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return
    end = os.fstat(descriptor).st_size
    torn = b""
    while end:
        start = max(0, end - _LOOK_BACK)
        head, newline, tail = os.pread(descriptor, end - start, start).rpartition(b"\n")
        torn = tail + torn
        if newline:
            end = start + len(head) + 1
            break
        end = start
    if torn and not (torn.startswith(_BEGINS) or _BEGINS.startswith(torn)):
        raise OSError(errno.EINVAL, "does not end like a file of rows; it was left alone")
    if torn:
        os.ftruncate(descriptor, end)


class Syslog:
    """A message for each row. A receiver that is away is waited for: an export that follows waits for ever."""

    def __init__(
        self, wire: Wire, name: str, origin: Origin, stop: Stop, *, patient: bool, now: Callable[[], int]
    ) -> None:
        self._wire, self._name, self._origin, self._stop = wire, name, origin, stop
        self._patient, self._now = patient, now
        self._number, self._is_open = 0, False

    def write(self, rows: Sequence[AuditRow]) -> None:
        """As the protocol says."""
        self._send([row_message(row_fields(row), self._next(), self._origin) for row in rows])

    def warn(self, faults: Sequence[ChainFault]) -> None:
        """An alert for each."""
        time = timestamp(self._now()) or "-"
        said = ({"writer": f.writer, "sequence": f.sequence, "kind": f.kind, "message": f.message} for f in faults)
        self._send([fault_message(time, fault, self._next(), self._origin) for fault in said])

    def close(self) -> None:
        """As the protocol says."""
        self._wire.close()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _send(self, messages: Sequence[bytes]) -> None:
        failures, rest = 0, _REST
        while messages:
            try:
                if not self._is_open:
                    self._wire.open()
                    self._is_open = True
                self._wire.send(messages)
                return
            except MessageTooLong as error:
                raise Failure(f"{error}; choose a smaller --max-size") from error
            except WireBroken as error:
                self._wire.close()
                self._is_open = False
                messages = messages[error.sent :]
                failures = 1 if error.sent else failures + 1
                if not self._patient and failures >= _TRIES:
                    raise Failure(f"{self._name}: {printable(error)}; what was not sent was not sent") from error
                note(f"waiting: {self._name}: {printable(error)}; next try in {rest:.0f} s")
            if self._stop.wait(rest):
                raise ToldToStop
            rest = min(2 * rest, _LONGEST_REST)
