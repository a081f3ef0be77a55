"""How values stand in a diagnosis: bounded, on one line, and nothing in them that a terminal would obey."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from bridge.model.inert import inert

MAX_CHARACTERS = 256
MAX_NAMES = 8
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
# What remedies name of SPIRE and of `bridge.toml`, as it is spelled there.
_SETTINGS = (
    "workload_x509_svid_key_type",
    "default_jwt_svid_ttl",
    "max_assertion_life",
    "-federatesWith",
    "-jwtSVIDTTL",
    "jwt_issuers",
    "ca_key_type",
    "jwt_issuer",
    "-spiffeID",
    "-audience",
    '"use"',
)
# From here on RFC 3339 has no years (9999-12-31T23:59:59Z).
_END_OF_TIME = 253_402_300_799


def shown(value: object) -> str:
    """`value` as people may see it, whoever wrote it: each character that is not printable is spelled out, and what is
    beyond 256 of them is left out and counted."""
    text = value if isinstance(value, str) else _other(value)
    cut = text[:MAX_CHARACTERS]
    spelled = inert(cut)
    return spelled if len(text) <= MAX_CHARACTERS else f"{spelled}... ({len(text)} characters)"


def _other(value: object) -> str:
    """What is no string. A number of thousands of digits cannot be turned into text cheaply, or at all."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "a number of more than 256 bits"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def listed(values: Iterable[object]) -> str:
    """Several values, the first eight of them, each in quotes."""
    found = list(values)
    text = ", ".join(f'"{shown(value)}"' for value in found[:MAX_NAMES])
    more = len(found) - MAX_NAMES
    return (f"{text} and {more} more" if more > 0 else text) or "none"


def span(seconds: float) -> str:
    """A length of time in its two largest units, without a sign."""
    if abs(seconds) > _END_OF_TIME:
        return "thousands of years"
    left, parts = abs(int(seconds)), []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2]) or "0s"


def relative(moment: float, now: int) -> str:
    """A time beside now: `in 5m`, `5m ago`."""
    return f"{span(moment - now)} ago" if moment <= now else f"in {span(moment - now)}"


def when(moment: object, now: int) -> str:
    """A claimed time, whatever it is: RFC 3339 and beside now, or as it stands."""
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        return shown(moment)
    if not 0 <= moment <= _END_OF_TIME:
        return f"{shown(moment)} (no time of this age)"
    return f"{datetime.fromtimestamp(int(moment), UTC):%Y-%m-%dT%H:%M:%SZ} ({relative(moment, now)})"


def moment_of(claims: Mapping[str, object], name: str) -> float | None:
    """A claimed time that can be reckoned with; None for one that is absent, no number, or of no age of ours."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _END_OF_TIME:
        return None
    return value


def named_setting(remedy: str) -> str:
    """The setting that a remedy names first; empty where it names none."""
    named = [setting for setting in _SETTINGS if setting in remedy]
    return min(named, key=remedy.index, default="").strip('"')
