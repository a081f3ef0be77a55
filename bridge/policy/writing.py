"""Rules and cases as TOML text, to be pasted into a policy file."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.model.inert import shows


def entry_text(header: str, values: Mapping[str, object]) -> str:
    """One `[[rule]]` or `[[case]]`. Values that are None are left out."""
    lines = (f"{key} = {value_text(value)}\n" for key, value in values.items() if value is not None)
    return f"[[{header}]]\n" + "".join(lines)


def file_text(values: Mapping[str, object], entries: str) -> str:
    """A whole file: its own keys, then its list of entries."""
    lines = (f"{key} = {value_text(value)}\n" for key, value in values.items() if key != entries)
    listed = values.get(entries)
    rules = [entry_text(entries, one) for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return "".join(lines) + "".join(f"\n{rule}" for rule in rules)


def value_text(value: object) -> str:
    """A value on one line. Raises: TypeError for what no policy file holds."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return string_text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(one) for one in value) + "]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(str(key))} = {value_text(one)}" for key, one in value.items() if one is not None)
        return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"no policy file holds a {type(value).__name__}")


def string_text(text: str) -> str:
    """A basic string. What could move a terminal is escaped, for people look at it before they paste it."""
    return '"' + "".join(_sign(sign) for sign in text) + '"'


def _sign(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if shows(sign):
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) <= 0xFFFF else f"\\U{ord(sign):08x}"


def _key(key: str) -> str:
    is_bare = key.isascii() and key != "" and all(sign.isalnum() or sign in "-_" for sign in key)
    return key if is_bare else string_text(key)
