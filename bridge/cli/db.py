"""`bridge db`: where the schema stands, and bringing it up to this release."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from bridge.cli.options import config_option, json_option, settings_of
from bridge.cli.output import emit_fields, emit_json, note, say

_NO_STORE = "there is no store yet; run `bridge db migrate`, or start `bridge serve`"


@click.group()
def db() -> None:
    """Show the state of the schema, and migrate it.

    \b
    Example:
      bridge db status
    """


@db.command()
@config_option
@json_option
def status(config: Path, as_json: bool) -> int:
    """Show which steps of the schema are applied. Exit 1 when some are pending.

    \b
    Example:
      bridge db status --json
    """
    from bridge.store.migrations import status as schema_status

    settings = settings_of(config)
    found = schema_status(settings.database)
    fields = {"store": str(settings.database), **asdict(found), "pending": list(found.pending)}
    if as_json:
        emit_json(fields)
    else:
        emit_fields(fields)
    if found.pending:
        note("next: " + ("make a backup, then run `bridge db migrate`" if found.current else _NO_STORE))
        return 1
    return 0


@db.command()
@config_option
@json_option
def migrate(config: Path, as_json: bool) -> int:
    """Apply the pending steps, each wholly or not at all. Make a backup first.

    Running services of the release before wait a moment and go on.

    \b
    Example:
      sqlite3 bridge.db ".backup bridge.backup" && bridge db migrate
    """
    from bridge.store.migrations import migrate as apply_pending

    settings = settings_of(config)
    applied: list[str] = []

    def progress(name: str) -> None:
        applied.append(name)
        note(f"applying {name}")

    found = apply_pending(settings.database, progress)
    if as_json:
        emit_json(
            {"store": str(settings.database), "applied": applied, **asdict(found), "pending": list(found.pending)}
        )
    else:
        say(f"{settings.database}: the schema is at step {found.current} of {found.latest}, {len(applied)} applied now")
    return 0
