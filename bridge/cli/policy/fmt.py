"""`bridge policy fmt`: policy files in one layout, so that a difference between two is never one of spaces."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from bridge.cli.options import config_option, json_option
from bridge.cli.output import emit_json, note, paint, printable, say
from bridge.cli.policy.folder import folder_of, policies_option


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one file. `fault` says why it was left as it is."""

    file: str
    changed: bool
    fault: str = ""


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path, exists=True, allow_dash=True))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file would be changed.")
@policies_option
@config_option
@json_option
def fmt(files: tuple[Path, ...], check: bool, policies: Path | None, config: Path, as_json: bool) -> int:
    """Lay out policy files in one way: spaces, blank lines, line ends. Without FILE, all files of the policy folder.

    Comments, the order of keys and rules, quotes and line breaks within a value stay. A file is written only when it
    means exactly what it meant. FILE - reads standard input and writes standard output.

    \b
    Example:
      bridge policy fmt --policies policies
      bridge policy fmt --check
    """
    if Path("-") in files:
        if len(files) > 1 or check or as_json:
            raise click.UsageError("- goes alone: it reads standard input and writes standard output")
        return _standard_streams()
    chosen = files or tuple(_all_files(folder_of(policies, config)[0]))
    outcomes = [_format(path, write=not check) for path in chosen]
    if as_json:
        emit_json([{"file": one.file, "changed": one.changed, "fault": one.fault or None} for one in outcomes])
    for one in outcomes if not as_json else ():
        if one.changed:
            say(f"{'would change' if check else 'changed'}  {printable(one.file)}")
    for one in outcomes:
        if one.fault:
            note(f"{paint('fault', stream=sys.stderr)}  {printable(one.file)}: {printable(one.fault)}")
    faults = any(one.fault for one in outcomes)
    if not as_json and not faults and not any(one.changed for one in outcomes):
        say(f"{paint('ok')}  {len(outcomes)} files, nothing to change")
    return 1 if faults or (check and any(one.changed for one in outcomes)) else 0


def _all_files(folder: Path) -> Iterator[Path]:
    """What a service and `policy test` read of a folder."""
    from bridge.policy.unread import CASES_FOLDER, CASES_PATTERN

    yield from sorted(path for path in folder.glob("*.toml") if not path.name.startswith("."))
    yield from sorted((folder / CASES_FOLDER).glob(CASES_PATTERN))


def _format(path: Path, *, write: bool) -> _Outcome:
    from bridge.files.paths import TooLarge, read_bounded
    from bridge.files.replacing import ChangedMeanwhile, replace_file
    from bridge.policy.fmt import LayoutLost, NotToml, formatted
    from bridge.policy.reading import MAX_FILE_BYTES

    try:
        content = read_bounded(path, MAX_FILE_BYTES)
        laid_out = formatted(content.decode("utf-8")).encode()
        if laid_out == content:
            return _Outcome(str(path), changed=False)
        if write:
            replace_file(path, laid_out, was=content)
        return _Outcome(str(path), changed=True)
    except UnicodeDecodeError:
        return _Outcome(str(path), changed=False, fault="the file is not UTF-8")
    except (NotToml, LayoutLost, ChangedMeanwhile, TooLarge) as error:
        return _Outcome(str(path), changed=False, fault=str(error))
    except OSError as error:
        return _Outcome(str(path), changed=False, fault=f"cannot be read or written ({error.strerror})")


def _standard_streams() -> int:
    from bridge.policy.fmt import LayoutLost, NotToml, formatted

    try:
        laid_out = formatted(sys.stdin.buffer.read().decode("utf-8"))
    except UnicodeDecodeError:
        note("standard input is not UTF-8")
        return 1
    except (NotToml, LayoutLost) as error:
        note(printable(error))
        return 1
    click.echo(laid_out, nl=False)
    return 0
