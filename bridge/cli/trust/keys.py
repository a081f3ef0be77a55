"""The keys of a bundle for people: a block each at a terminal, where a line each would not fit, else a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bridge.cli.output import aligned, emit_table, printable, say

_NAMES = ("use", "id", "key_id", "thumbprint", "type", "from", "until", "subject")
_HEADERS = ("use", "key", "key id", "thumbprint", "type", "from", "until", "subject")


def emit_keys(keys: Iterable[Mapping[str, str | None]]) -> None:
    """Such entries as `describe_keys` makes them."""
    if not aligned():
        emit_table(_HEADERS, (tuple(key[name] for name in _NAMES) for key in keys))
        return
    for key in keys:
        first, *more = _lines({name: printable(key[name]) for name in _NAMES if key[name] is not None})
        say(f"{key['use']:<9}  {first}")
        for line in more:
            say(f"{'':<11}{line}")


def _lines(key: Mapping[str, str]) -> list[str]:
    """By which names it goes, what it is, and when it holds."""
    lines = [key["id"]]
    lines += [
        f"{word} {key[name]}" for name, word in (("key_id", "key id"), ("thumbprint", "thumbprint")) if name in key
    ]
    lines.append(", ".join(key[name] for name in ("type", "subject") if name in key))
    if "from" in key and "until" in key:
        lines.append(f"from {key['from']} until {key['until']}")
    return lines
