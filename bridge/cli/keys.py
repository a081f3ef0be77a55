"""`bridge keys`: the keys that sign tokens. Private parts are never shown."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from bridge.cli.options import Failure, config_option, json_option, settings_of
from bridge.cli.output import emit_json, emit_table, say, timestamp
from bridge.model.signing_key import SigningKeyRow


@click.group()
def keys() -> None:
    """List and rotate the keys that sign tokens.

    \b
    Example:
      bridge keys list
    """


@keys.command("list")
@config_option
@json_option
def list_keys(config: Path, as_json: bool) -> int:
    """List the signing keys, oldest first.

    `waiting` keys are published and not yet used; `retiring` ones no longer sign and stay published
    until the last token under them has died.

    \b
    Example:
      bridge keys list --json
    """
    from bridge.ambient import now
    from bridge.opening import open_store
    from bridge.tokens.key_ring import signing_row, state_of

    with closing(open_store(settings_of(config))) as store:
        rows = store.keys.keys()
    at = now()
    signing = signing_row(rows, at)
    shown = [_fields(row, state_of(row, signing, at)) for row in rows]
    if as_json:
        emit_json(shown)
    elif shown:
        emit_table(list(shown[0]), (list(fields.values()) for fields in shown))
    else:
        say("there is no signing key yet; `bridge serve` makes the first ones")
    return 0


@keys.command()
@config_option
@json_option
def rotate(config: Path, as_json: bool) -> int:
    """Let the waiting key sign, and publish a new one that waits.

    The key that signed until now stays published until its last token has died: nothing is refused.
    Running services change over by themselves within seconds.

    \b
    Example:
      bridge keys rotate
    """
    from bridge.ambient import now
    from bridge.opening import open_ring, open_store

    settings = settings_of(config)
    with closing(open_store(settings)) as store:
        ring = open_ring(settings, store)
        promoted = ring.rotate(now())
        rows = {row.kid: row for row in ring.rows()}
    if promoted is None:
        raise Failure("another process rotated the keys at the same moment; see `bridge keys list`")
    signs_from = timestamp(rows[promoted].signs_from)
    if as_json:
        emit_json({"kid": promoted, "signs_from": signs_from})
    else:
        say(f"key {promoted} signs from {signs_from}; the one before stays published until its last token has died")
    return 0


def _fields(row: SigningKeyRow, state: str) -> dict[str, object]:
    return {
        "kid": row.kid,
        "alg": row.alg,
        "state": state,
        "created_at": timestamp(row.created_at),
        "signs_from": timestamp(row.signs_from),
        "retires_at": timestamp(row.retires_at),
    }
