"""Options that many commands share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from bridge.cli.output import note
from bridge.model.errors import StartRefused
from bridge.model.inert import inert

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.files.as_read import FileAsRead

    _ParamType = click.ParamType[int]
else:
    # Not generic at run time in every version of click that will do.
    _ParamType = click.ParamType

_Command = TypeVar("_Command", bound=Callable[..., Any])
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DEFAULT_LIMIT = 100


class Failure(click.ClickException):
    """The answer is no (exit 1). The message says why, and what to do next."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it like every other error. A message may have several lines; in each may stand what came from outside."""
        note("\n".join(map(inert, f"error: {self.format_message()}".split("\n"))))


class ConfigurationRefused(StartRefused):
    """The configuration cannot be used (exit 2), as opposed to what it leads to (exit 1)."""


def config_option(command: _Command) -> _Command:
    """`--config FILE`, given to the command as `config: Path`."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="BRIDGE_CONFIG",
        default=Path("bridge.toml"),
        metavar="FILE",
        help="Configuration file.  [default: $BRIDGE_CONFIG, else ./bridge.toml]",
    )(command)


def json_option(command: _Command) -> _Command:
    """`--json`, given to the command as `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="JSON for programs.")(command)


def timeout_option(command: _Command) -> _Command:
    """`--timeout SECONDS`, given to the command as `timeout: float`."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0.1, max=300),
        default=15.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for agents and endpoints.",
    )(command)


def request_options(proved: str) -> Callable[[_Command], _Command]:
    """What a token request asks for, given to the command as `scopes`, `resources` and `proved` (tuples of str).
    `proved` says what the last one means to this command."""
    several = "May be given several times."

    def take(command: _Command) -> _Command:
        command = click.option("--proved", multiple=True, type=click.Choice(["x5t#S256", "jkt"]), help=proved)(command)
        command = click.option("--resource", "resources", multiple=True, metavar="URI", help=several)(command)
        return click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help=several)(command)

    return take


def list_options(command: _Command) -> _Command:
    """`--limit N` and `--all`, given to the command as `limit: int | None` (None: all)."""

    def take_all(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.params["limit"] = None

    limit = click.option(
        "--limit",
        type=click.IntRange(min=1),
        default=DEFAULT_LIMIT,
        metavar="N",
        is_eager=True,
        help=f"At most so many.  [default: {DEFAULT_LIMIT}]",
    )
    everything = click.option("--all", is_flag=True, expose_value=False, callback=take_all, help="All of them.")
    return limit(everything(command))


def settings_of(config: Path, *, serving: bool = False) -> Settings:
    """The settings of a configuration file; with `serving` also what only a start needs must be there.

    Raises: ConfigurationRefused with all faults.
    """
    return configuration_of(config, serving=serving)[0]


def configuration_of(config: Path, *, serving: bool = False) -> tuple[Settings, FileAsRead]:
    """The settings, and the file that they came from as it was read. Raises: as `settings_of`."""
    # pydantic takes a while to import, and `--help` should not wait for it.
    from bridge.config import read_configuration, settings_from

    try:
        as_read = read_configuration(config)
        return settings_from(as_read, serving=serving), as_read
    except StartRefused as error:
        raise ConfigurationRefused(error.faults) from error


class Moment(_ParamType):
    """A time in the past: how long ago (`90s`, `15m`, `1h`, `7d`), or RFC 3339 (`2026-01-31T12:00:00Z`).

    Converts to epoch seconds, given `now` by the command: durations become negative numbers until
    `moment_at` resolves them, so that only the composition root reads the clock.
    """

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)
        if match is not None:
            return -int(match[1]) * _UNITS[match[2]]
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f'{value!r} is neither a duration ("1h", "7d") nor a time ("2026-01-31T12:00:00Z")', param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, int(moment.timestamp()))


def moment_at(moment: int | None, now: int) -> int | None:
    """The epoch seconds of what `Moment` read."""
    return None if moment is None else now + moment if moment < 0 else moment
