"""What commands print: tables and colour for people at a terminal, plain lines for pipes, JSON for programs.

Much of what is shown came from outside (subjects, scopes, notes). Every control character is spelled out, for people
and in JSON, so that no record can move a cursor, colour a line or turn its direction.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TextIO

import click

from bridge.model.inert import inert
from bridge.model.times import rfc3339

# State and outcome words that people should find at a glance.
_COLOURS = {
    **dict.fromkeys(("active", "allow", "ok", "fresh", "signing"), "green"),
    **dict.fromkeys(("pending", "ask", "late", "waiting", "expired", "retiring"), "yellow"),
    **dict.fromkeys(("denied", "deny", "revoked", "refused", "fault", "stale", "malformed", "unreachable"), "red"),
    **dict.fromkeys(("empty", "shared"), "red"),
}
_PROGRESS_SECONDS = 0.2
# What commands call it.
timestamp = rfc3339
ALIGNED = "aligned"


def wants_colour(stream: TextIO) -> bool:
    """Whether colour may be written: a terminal that can, and nobody said no (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str | None = None, *, stream: TextIO | None = None) -> str:
    """`text` in `colour`, or in the colour its word has; unchanged where colour is not wanted."""
    chosen = colour or _COLOURS.get(text.lower())
    if chosen is None or not wants_colour(stream or sys.stdout):
        return text
    return click.style(text, fg=chosen)


def printable(value: object) -> str:
    """A value as people read it, on one line and without anything that a terminal would obey."""
    if value is None or value == "":
        return "-"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list | tuple) else str(value)
    return inert(text)


# What the runners of GitHub and Azure take for commands to themselves, wherever it comes from: `::` at the beginning of
# a line, `##[` and `##vso[` anywhere in it. What a pull request's policies hold is shown there.
_COMMAND = re.compile(r"^\s*:(?=:)|##(?=\[|vso\[)", re.MULTILINE)


def _unobeyed(text: str) -> str:
    if os.environ.get("GITHUB_ACTIONS") != "true" and "TF_BUILD" not in os.environ:
        return text
    return _COMMAND.sub(lambda command: f"{command[0]} ", text)


def say(text: str = "") -> None:
    """One line of the answer. Its parts from outside must have been through `printable`."""
    click.echo(_unobeyed(text), color=wants_colour(sys.stdout))


def note(text: str) -> None:
    """One line beside the answer (standard error): progress, hints, what to do next."""
    click.echo(_unobeyed(text), err=True, color=wants_colour(sys.stderr))


def command(text: str) -> None:
    """One line that is a command to the runner of a job, escaped as it takes them."""
    click.echo(text)


# JSON itself wants only what is below U+0020 escaped; a terminal also obeys U+009B and the like.
_PERHAPS_OBEYED = re.compile(r"[^ -~\n]")


def _json_text(value: object, *, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    # In a string, for nowhere else is such a sign; see `_COMMAND`.
    text = text.replace("##", r"#\u0023")
    return _PERHAPS_OBEYED.sub(lambda sign: sign[0] if sign[0].isprintable() else json.dumps(sign[0])[1:-1], text)


def emit_json(value: object) -> None:
    """One JSON document."""
    click.echo(_json_text(value, indent=2))


def json_line(value: object) -> str:
    """One JSON document on one line, without the line's end."""
    return _json_text(value, separators=(",", ":"))


def emit_json_line(value: object) -> None:
    """One JSON document on a line of its own, written at once."""
    click.echo(json_line(value))


def emit_json_array(values: Iterable[object]) -> None:
    """A JSON array, one element a line, written as the elements come: the list may be long."""
    opened = False
    for value in values:
        click.echo(f"{',' if opened else '['}\n{_json_text(value)}", nl=False)
        opened = True
    click.echo("\n]" if opened else "[]")


def lay_out_for_people(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """The hidden option `--aligned` of the whole command: somebody shows the output to people, as the demo does."""
    context.meta[ALIGNED] = value


def aligned() -> bool:
    """Whether people look at the output: at a terminal, or because somebody shows it to them."""
    context = click.get_current_context(silent=True)
    return sys.stdout.isatty() or (context is not None and bool(context.meta.get(ALIGNED)))


def emit_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    below: Iterable[Sequence[str]] = (),
) -> int:
    """Rows for people: aligned at a terminal, else separated by tabs and written as they come. `below`: lines, already
    printable, that belong to each row and stand under it at a terminal. So many of the last columns stand there too,
    each by its name, that no line of the table is wider than the terminal: what is asked first comes first. Gives how
    many rows there were."""
    count = 0
    cells = ([printable(cell) for cell in row] for row in rows)
    if not aligned():
        say("\t".join(headers))
        for row in cells:
            say("\t".join(row))
            count += 1
        return count
    import tabulate

    # Else two more columns for each header than anything in it needs, and a terminal has eighty.
    tabulate.MIN_PADDING = 0
    under = iter(below)
    # Alignment needs all rows of a table; a long list is cut into tables so that the first one comes soon.
    while block := list(itertools.islice(cells, 1000)):
        count += len(block)
        kept = _fitting(headers, block)
        painted = [[paint(cell) for cell in row[:kept]] for row in block]
        shown = tabulate.tabulate(painted, headers=headers[:kept], tablefmt="simple", disable_numparse=True)
        lines = shown.splitlines()
        head = len(lines) - len(block)
        for number, line in enumerate(lines):
            say(line)
            if number >= head:
                for more in (*_named(headers[kept:], block[number - head][kept:]), *next(under, ())):
                    say(f"  {more}")
    return count


def columns() -> int:
    """How wide the terminal is; 100 where none says."""
    return shutil.get_terminal_size((100, 24)).columns


def _fitting(headers: Sequence[str], block: Sequence[Sequence[str]]) -> int:
    """How many columns from the first on fit into a line, at least one. They are two blanks apart."""
    widths = [max(map(len, (header, *(row[at] for row in block)))) for at, header in enumerate(headers)]
    ends = itertools.accumulate(widths, lambda end, width: end + 2 + width)
    return max(1, sum(end <= columns() for end in ends))


def _named(headers: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    """What did not fit into the table, without what is empty."""
    width = max(map(len, headers), default=0)
    return (f"{header:<{width}}  {cell}" for header, cell in zip(headers, cells, strict=True) if cell != "-")


def emit_fields(fields: Mapping[str, object]) -> None:
    """One thing, a field a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        say(f"{name:<{width}}  {paint(printable(value))}")


class Progress:
    """A count on standard error that moves while long work is done; silent unless that is a terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()
        self._last = 0.0

    def at(self, done: int) -> None:
        """Say how many are done."""
        if self._shown and time.monotonic() - self._last >= _PROGRESS_SECONDS:
            self._last = time.monotonic()
            click.echo(f"\r{done} {self._what}", nl=False, err=True)

    def end(self, done: int) -> None:
        """Say the final number and finish the line."""
        if self._shown:
            click.echo(f"\r{done} {self._what}", err=True)
