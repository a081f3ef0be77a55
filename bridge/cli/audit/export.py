"""`bridge audit export`: rows to a file, to standard output, or to syslog; once, or as they are written."""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.audit.choosing import events_option, since_option
from bridge.cli.options import Failure, Moment, config_option, moment_at, settings_of
from bridge.cli.output import Progress, note, paint, printable, timestamp
from bridge.cli.stopping import Stop
from bridge.model.audit import AuditEventKind, AuditRow
from bridge.model.errors import Unavailable

if TYPE_CHECKING:
    from bridge.cli.audit.export_cursor import Cursor
    from bridge.cli.audit.export_ways import Way
    from bridge.store.ports import AuditStore, ChainFault, ReadPlace

FOLLOW_SECONDS = 1.0
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which rows are to go. Times are epoch seconds; all rows where nothing is said."""

    since: int | None
    until: int | None
    events: frozenset[AuditEventKind]

    def has(self, row: AuditRow) -> bool:
        """The order of writing is almost, not exactly, the order of time: each row is looked at."""
        event = row.event
        return (
            (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
            and (not self.events or event.event in self.events)
        )


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@since_option
@click.option("--until", type=Moment(), metavar="TIME", help="Rows before this time.")
@click.option("--after", type=click.IntRange(min=0), metavar="ROW", help="Rows behind the one whose `row` this is.")
@events_option
@click.option("--follow", "-f", is_flag=True, help="Go on with new rows until Ctrl-C or SIGTERM.")
@click.option(
    "--cursor",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where this export notes how far it came, and goes on from.",
)
@click.option("--syslog", metavar="URL", help="unix:///dev/log, udp://HOST, tcp://HOST:601 or tls://HOST:6514.")
@click.option("--syslog-ca", type=click.Path(path_type=Path), metavar="PEM", help="tls: these CAs alone.")
@click.option("--syslog-cert", type=click.Path(path_type=Path), metavar="PEM", help="tls: who we are.")
@click.option("--syslog-key", type=click.Path(path_type=Path), metavar="PEM", help="tls: the key of it.")
@click.option("--facility", default="authpriv", metavar="NAME", help="A name, or a number.  [default: authpriv]")
@click.option("--app-name", default="bridge", show_default=True, metavar="NAME", help="APP-NAME of messages.")
@click.option("--hostname", metavar="NAME", help="HOSTNAME of messages.  [default: this machine's]")
@click.option("--sd-id", default="", metavar="NAME@NUMBER", help="Structured data too, under your enterprise number.")
@click.option(
    "--max-size",
    type=click.IntRange(2048, 65_000),
    metavar="BYTES",
    help="[default: 2048 for UDP, else 8192]",
)
@click.option("--json", is_flag=True, expose_value=False, help="JSON lines, which it writes anyway.")
@config_option
@click.pass_context
def export(
    context: click.Context,
    /,
    file: Path | None,
    since: int | None,
    until: int | None,
    after: int | None,
    events: tuple[str, ...],
    follow: bool,
    cursor: Path | None,
    config: Path,
    **syslog: object,
) -> int:
    """Write rows as JSON lines to FILE or standard output, or send them to syslog, in the order of writing.

    Each row is held to its chain on the way; exit 1 when one does not hold, or when rows are gone that were not
    exported yet. With --cursor an export goes on where the one before ended, and --since or --after say where the first
    one begins: nothing is left out, and after a crash at most the last thousand rows come twice (tell them by `row`).

    Syslog has no receipts. Over UDP anything may be lost; what a receiver had taken and not stored when it died is lost
    by every way. Rows beyond --max-size are cut and say so (`cut`).

    \b
    Example:
      bridge audit export --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z > january.jsonl
      bridge audit export --follow --cursor /var/lib/bridge/siem.cursor --syslog tls://siem.example.org
    """
    from bridge.ambient import now
    from bridge.opening import open_store

    at = now()
    wanted = _Wanted(moment_at(since, at), moment_at(until, at), frozenset(AuditEventKind(one) for one in events))
    _check(wanted, follow=follow, until=until, after=after, since=since, file=file, syslog=syslog["syslog"])
    settings = settings_of(config)
    with ExitStack() as stack:
        stop = Stop(signal.SIGINT, signal.SIGTERM) if follow else Stop()
        held = None if cursor is None else stack.enter_context(closing(_held(cursor)))
        way = stack.enter_context(closing(_way(context, file, syslog, stop, follow=follow, goes_on=held is not None)))
        store = stack.enter_context(closing(open_store(settings)))
        place = _beginning(store.audit, None if held is None else held.place, wanted, after)
        done = _Export(store.audit, way, held, wanted, stop).run(place, follow=follow)
    if stop.by is signal.SIGINT:
        raise KeyboardInterrupt
    return done


def _check(
    wanted: _Wanted,
    *,
    follow: bool,
    until: int | None,
    after: int | None,
    since: int | None,
    file: Path | None,
    syslog: object,
) -> None:
    """Raises: UsageError for options that say nothing together."""
    first, before = wanted.since, wanted.until
    if first is not None and before is not None and first >= before:
        raise click.UsageError(f"--since {timestamp(first)} is not before --until {timestamp(before)}")
    if follow and until is not None:
        raise click.UsageError("--follow has no end: leave out --until")
    if after is not None and since is not None:
        raise click.UsageError("--since and --after both say where to begin: leave one of them out")
    if file is not None and syslog is not None:
        raise click.UsageError("FILE and --syslog are two exports: run it twice, each with a cursor of its own")


def _held(path: Path) -> Cursor:
    from bridge.cli.audit.export_cursor import Cursor, UnfitCursor

    try:
        return Cursor(path)
    except UnfitCursor as error:
        raise click.BadParameter(printable(error), param_hint="--cursor") from error
    except OSError as error:
        raise click.BadParameter(f"{printable(path)}: {error.strerror}", param_hint="--cursor") from error


def _way(
    context: click.Context, file: Path | None, syslog: dict[str, object], stop: Stop, *, follow: bool, goes_on: bool
) -> Way:
    from bridge.cli.audit.export_ways import Appended, Printed

    if syslog["syslog"] is not None:
        return _syslog_way(syslog, stop, follow=follow)
    given = {name for name in syslog if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    if given:
        raise click.UsageError(f"--{min(given).replace('_', '-')} goes with --syslog only")
    if file is None:
        return Printed()
    try:
        return Appended(file, goes_on=goes_on)
    except OSError as error:
        hint = "; with --cursor it is written behind what is there" if isinstance(error, FileExistsError) else ""
        raise click.BadParameter(f"{printable(file)}: {error.strerror}{hint}", param_hint="FILE") from error


def _syslog_way(options: dict[str, object], stop: Stop, *, follow: bool) -> Way:
    from bridge.ambient import now
    from bridge.cli.audit.export_ways import Syslog
    from bridge.cli.audit.syslog_message import FACILITIES, LEAST_SIZE, SD_ID, STREAM_SIZE, Origin
    from bridge.cli.audit.syslog_wire import destination_of, tls_context, wire_to

    try:
        to = destination_of(str(options["syslog"]))
    except ValueError as error:
        raise click.BadParameter(printable(error), param_hint="--syslog") from error
    facility, sd_id = str(options["facility"]), str(options["sd_id"])
    number = FACILITIES.get(facility, int(facility) if facility.isascii() and facility.isdigit() else 24)
    if number > 23:
        raise click.BadParameter(f"one of {', '.join(FACILITIES)}, or a number up to 23", param_hint="--facility")
    if sd_id and SD_ID.fullmatch(sd_id) is None:
        raise click.BadParameter("write name@number, the number being your enterprise's", param_hint="--sd-id")
    files = [options[name] for name in ("syslog_ca", "syslog_cert", "syslog_key")]
    if any(files) and to.scheme != "tls":
        raise click.UsageError("--syslog-ca, --syslog-cert and --syslog-key go with tls:// only")
    if (files[1] is None) != (files[2] is None):
        raise click.UsageError("--syslog-cert and --syslog-key go together")
    try:
        paths = (None if one is None else Path(str(one)) for one in files)
        context = tls_context(*paths) if to.scheme == "tls" else None
    except OSError as error:
        raise click.BadParameter(f"certificates and key cannot be used: {error}", param_hint="--syslog-ca") from error
    most = options["max_size"] or (LEAST_SIZE if to.scheme == "udp" else STREAM_SIZE)
    hostname = str(options["hostname"] or socket.gethostname())
    origin = Origin(number, hostname, str(options["app_name"]), sd_id, int(str(most)))
    return Syslog(wire_to(to, context), str(to), origin, stop, patient=follow, now=now)


def _beginning(audit: AuditStore, held: ReadPlace | None, wanted: _Wanted, after: int | None) -> ReadPlace:
    """Where to begin: where the cursor says, and without one where the options do."""
    from bridge.store.ports import ReadPlace

    if held is not None:
        return held
    first, last = audit.span(since=wanted.since)
    if after is not None:
        if after > last:
            raise Failure(f"the log ends at row {last}: there is no row {after}")
        first = after
    return ReadPlace(row=first, is_whole=after in (None, 0) and wanted.since is None)


class _Export:
    """One export under way."""

    def __init__(self, audit: AuditStore, way: Way, held: Cursor | None, wanted: _Wanted, stop: Stop) -> None:
        self._audit, self._way, self._held, self._wanted, self._stop = audit, way, held, wanted, stop
        self._told: set[tuple[str, int, str]] = set()

    def run(self, place: ReadPlace, *, follow: bool) -> int:
        """From that place to the end of the log, and on. The exit code."""
        from bridge.cli.audit.export_ways import ToldToStop

        progress, written = Progress("rows written"), 0
        try:
            while True:
                rows, place, at_end = self._step(place, patient=follow)
                written += rows
                progress.at(written)
                if at_end and (not follow or self._stop.wait(FOLLOW_SECONDS)):
                    break
                if self._stop.by is not None:
                    break
        except ToldToStop:
            note("ended while waiting: what was not sent comes first next time")
        progress.end(written)
        if self._told:
            note(f"faults: {len(self._told)}; next: `bridge audit verify`")
        return 1 if self._told else 0

    def _step(self, place: ReadPlace, *, patient: bool) -> tuple[int, ReadPlace, bool]:
        """Some rows from there on: how many went, where to go on, and whether the log ends there for now."""
        try:
            read = self._audit.read_on(place, limit=_PAGE)
        except Unavailable as error:
            if not patient:
                raise
            # A store that is busy for a moment does not end an export of months.
            note(f"waiting: {printable(error)}")
            return 0, place, True
        if read.gone is not None:
            raise Failure(
                f"{printable(read.gone)}: this is another log, or one put back to an earlier state; compare "
                "`bridge audit verify` with what was exported, and move the cursor away to begin anew"
            )
        self._say(read.faults)
        wanted = [row for row in read.rows if self._wanted.has(row)]
        if wanted:
            self._way.write(wanted)
        if self._held is not None and read.place != place:
            self._held.keep(read.place)
        return len(wanted), read.place, read.at_end

    def _say(self, faults: Sequence[ChainFault]) -> None:
        news = [fault for fault in faults if (fault.writer, fault.sequence, fault.message) not in self._told]
        self._told |= {(fault.writer, fault.sequence, fault.message) for fault in news}
        for fault in news:
            note(f"{paint('fault')} {printable(fault.message)}")
        if news:
            self._way.warn(news)
