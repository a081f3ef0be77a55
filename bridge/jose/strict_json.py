"""JSON from outside, read strictly (RFC 8259, RFC 7493): the one loader for everything that came over a wire.

The standard library's reader takes NaN, turns 1e400 into infinity, lets the last of two equal names
win, recurses as deep as the text says and lets half a surrogate pair into a string that no database
will take. Each of these has broken a peer; here all are one `InvalidJson`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import NoReturn

MAX_DEPTH = 16
MAX_INTEGER_DIGITS = 4000

# One pass over brackets outside strings. A string without its end runs to the end of the text, so that
# no position is looked at twice.
_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class InvalidJson(ValueError):
    """The text is not JSON that this service reads. The message never quotes the text."""


def _no_constant(_: str) -> NoReturn:
    raise InvalidJson("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidJson("a number is too large")
    return value


def _bounded_integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise InvalidJson(f"an integer has more than {MAX_INTEGER_DIGITS} digits")
    return int(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidJson("an object has two members of one name")
    return members


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_no_constant,
    parse_float=_finite,
    parse_int=_bounded_integer,
)


def _check_depth(text: str, max_depth: int) -> None:
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        first = match.group()[0]
        if first in "[{":
            depth += 1
            if depth > max_depth:
                raise InvalidJson(f"nested deeper than {max_depth}")
        elif first in "]}":
            depth -= 1


def _text(raw: bytes | str, max_bytes: int) -> str:
    # The size comes first: nothing else looks at a text that is too long. A str has at least as many
    # bytes as characters, so a long one is refused before it is encoded to be measured.
    if len(raw) > max_bytes:
        raise InvalidJson(f"longer than {max_bytes} bytes")
    try:
        if isinstance(raw, bytes):
            return raw.decode("utf-8")
        if not raw.isascii() and len(raw.encode("utf-8")) > max_bytes:
            raise InvalidJson(f"longer than {max_bytes} bytes")
    except UnicodeError as error:
        raise InvalidJson("not UTF-8") from error
    return raw


def loads(raw: bytes | str, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> object:
    """Read one JSON value and nothing beside it.

    Units: `max_bytes` of UTF-8; `max_depth` counts nested arrays and objects, the outermost is 1.
    Raises: InvalidJson for anything else than JSON, and for duplicate names, NaN, Infinity, numbers
    beyond a double, integers of more than 4,000 digits, half surrogate pairs, a byte order mark.
    Spec: RFC 8259; RFC 7493 section 2. Not checked: what the value means.
    """
    text = _text(raw, max_bytes)
    _check_depth(text, max_depth)
    try:
        value: object = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except InvalidJson:
        raise
    except UnicodeEncodeError as error:
        raise InvalidJson("a string holds half a surrogate pair") from error
    except ValueError as error:
        raise InvalidJson("not JSON") from error
    return value


def loads_object(raw: bytes | str, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> dict[str, object]:
    """As `loads`, and the value must be an object. Raises: InvalidJson."""
    value = loads(raw, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(value, dict):
        raise InvalidJson("not an object")
    return value


# json.dumps makes a new encoder for each call whose options are not the default ones.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def dumps(value: Mapping[str, object]) -> bytes:
    """Compact JSON in ASCII, as tokens carry it. Raises: ValueError for NaN and infinity."""
    return _encode(value).encode("ascii")
