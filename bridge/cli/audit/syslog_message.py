"""An audit row as a syslog message (RFC 5424): one row, one message, whatever stands in the row.

The message itself is the row's JSON in ASCII, so that nothing in it can end a message, begin another one, or be obeyed
by a terminal. Structured data says the number of the message, and with an enterprise number of one's own the row in
short.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from bridge.model.audit import AuditEventKind
from bridge.model.inert import inert

# Those of RFC 5424 section 6.2.1 that people configure by name; any other goes by its number.
FACILITIES: Mapping[str, int] = {
    "user": 1,
    "daemon": 3,
    "auth": 4,
    "authpriv": 10,
    **{f"local{number}": 16 + number for number in range(8)},
}
# RFC 5424 section 6.1: receivers should take 2,048 bytes. What is kept of the largest row fits into that.
LEAST_SIZE, STREAM_SIZE, MOST_SIZE = 2048, 8192, 65_000
_LAST_NUMBER = 2**31 - 1
_SHORT = ("row", "id", "time", "event", "outcome", "reason", "rule", "writer", "sequence", "mac")
_STRUCTURED = ("row", "id", "event", "outcome", "reason", "rule", "count")
_MOST_SHORT = 96
SD_ID = re.compile(r"[A-Za-z0-9_.-]{1,20}@[0-9]{1,10}")
# What ends a value, or begins an escape, and what stands there instead.
_ESCAPED, _BACKSLASHED = re.compile(r"([\"\\\]])"), r"\\\1"


class Severity(IntEnum):
    """Of RFC 5424 section 6.2.1, as far as we use them."""

    ALERT = 1
    WARNING = 4
    NOTICE = 5
    INFORMATIONAL = 6


_SEVERITY: Mapping[str, Severity] = {
    AuditEventKind.REFUSED.value: Severity.WARNING,
    **dict.fromkeys(
        (
            AuditEventKind.REVOKED.value,
            AuditEventKind.DENIED.value,
            AuditEventKind.APPROVED.value,
            AuditEventKind.BUNDLE_CHANGED.value,
            AuditEventKind.POLICY_CHANGED.value,
            AuditEventKind.KEYS_ROTATED.value,
        ),
        Severity.NOTICE,
    ),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who says it: the facility's number, the host, the application, and the SD-ID of the row's structured data (RFC
    5424 section 6.3.2, `name@enterprise number`), empty for none. `most`: bytes of one message at most."""

    facility: int
    hostname: str
    app_name: str
    sd_id: str
    most: int


def row_message(fields: Mapping[str, object], number: int, origin: Origin) -> bytes:
    """The message of an audit row, given as `audit_rows.row_fields`. `number`: the how many-th message this is.

    A row that is too large is sent without what was asked, then with little more than its name; `cut` says so.
    """
    severity = _SEVERITY.get(str(fields["event"]), Severity.INFORMATIONAL)
    for kept, structured in _smaller(fields):
        message = _message(kept, structured, severity, number, origin)
        if len(message) <= origin.most:
            break
    return message


def fault_message(time: str, fault: Mapping[str, object], number: int, origin: Origin) -> bytes:
    """The message that a chain does not hold. `fault`: `writer`, `sequence`, `kind` and `message` of it."""
    fields = {"time": time, "event": "chain_fault", **{name: _cut(value) for name, value in fault.items()}}
    return _message(fields, {}, Severity.ALERT, number, origin)


def _smaller(fields: Mapping[str, object]) -> Iterator[tuple[Mapping[str, object], Mapping[str, object]]]:
    """The row, and what is left of it when it is too large, with its structured data."""
    structured = {name: fields[name] for name in _STRUCTURED if fields[name] not in ("", None)}
    yield fields, structured
    yield {**{name: value for name, value in fields.items() if name != "ask"}, "cut": ["ask"]}, structured
    # In ASCII, so that no character takes twelve bytes of JSON.
    kept = {name: _cut(ascii(text)[1:-1] if isinstance(text := fields[name], str) else text) for name in _SHORT}
    yield {**kept, "cut": sorted(fields.keys() - kept.keys())}, {}


def _message(
    fields: Mapping[str, object], structured: Mapping[str, object], severity: Severity, number: int, origin: Origin
) -> bytes:
    header = (
        f"<{origin.facility * 8 + severity}>1",
        str(fields["time"]),
        _name(origin.hostname, 255),
        _name(origin.app_name, 48),
        _name(str(fields.get("writer", "")), 128),
        _name(str(fields["event"]), 32),
    )
    data = f'[meta sequenceId="{(number - 1) % _LAST_NUMBER + 1}"]'
    if origin.sd_id and structured:
        data += f"[{origin.sd_id}{''.join(_parameter(name, value) for name, value in structured.items())}]"
    return " ".join((*header, data, json.dumps(fields, separators=(",", ":")))).encode()


def _name(text: str, most: int) -> str:
    """A part of the header: printable ASCII without a space (RFC 5424 section 6), `-` for nothing."""
    return "".join(sign if "!" <= sign <= "~" else "_" for sign in text[:most]) or "-"


def _parameter(name: str, value: object) -> str:
    """Section 6.3.3: `"`, `\\` and `]` are escaped, and nothing else is."""
    return f' {name}="{_ESCAPED.sub(_BACKSLASHED, inert(str(_cut(value))))}"'


def _cut(value: object) -> object:
    return value[:_MOST_SHORT] if isinstance(value, str) else value
