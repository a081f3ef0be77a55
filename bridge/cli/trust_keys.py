"""The keys of a bundle as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bridge.cli.output import emit_table


def emit_keys(keys: Iterable[Mapping[str, str | None]]) -> None:
    """Such entries as a table for people."""
    names = ("use", "id", "key_id", "thumbprint", "type", "from", "until", "subject")
    headers = ("use", "key", "key id", "thumbprint", "type", "from", "until", "subject")
    emit_table(headers, (tuple(key[name] for name in names) for key in keys))
