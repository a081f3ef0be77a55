"""How long a fetched document holds: RFC 9111 as a cache of one user has it, within bounds of our own (CIMD-15).

What is malformed or contradicts itself is read as the shortest life, never as an error: a document is not the
worse for a careless header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

MIN_SECONDS = 60
MAX_SECONDS = 24 * 3600

# One directive: a name, and perhaps a value as token or quoted string (RFC 9111 section 5.2).
_DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"([^"\\]*)"|([!#$%&\'*+.^_`|~0-9A-Za-z-]*)))?')
_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)+|[ \t]*\Z")
_SECONDS = re.compile(r"[0-9]{1,10}")
_MAX_DATE_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Freshness:
    """Until when a copy may be used without asking again, epoch seconds.

    `must_revalidate`: once stale it may not be used when nobody answers either. `may_store` False: it is for the
    one request that fetched it, and `fresh_until` is now.
    """

    fresh_until: int
    must_revalidate: bool
    may_store: bool


def freshness(headers: Mapping[str, str], *, now: int) -> Freshness:
    """Read `cache-control`, `age`, `expires` and `date`, names in lower case, of an answer that came at `now`.

    The life is within 60 s and 24 h, also where `no-cache` or `max-age=0` want none. Without a word of the server
    it is 60 s: nothing is guessed from other dates. `s-maxage` and `private` are for caches that several users
    share; this one asks for itself. After a 304 give the stored headers with the new ones laid over them.
    Spec: RFC 9111 sections 4.2, 5.2.2, 5.3.
    """
    directives = _directives(headers.get("cache-control", ""))
    must_revalidate = not directives.keys().isdisjoint({"must-revalidate", "no-cache"})
    if "no-store" in directives:
        return Freshness(now, must_revalidate, False)
    if "no-cache" in directives:
        life = 0
    elif "max-age" in directives:
        life = _seconds(directives["max-age"]) - _seconds(headers.get("age", "0"))
    else:
        life = _until_expiry(headers, now)
    return Freshness(now + min(max(life, MIN_SECONDS), MAX_SECONDS), must_revalidate, True)


def _directives(text: str) -> dict[str, str]:
    """The directives by lower-case name; one that is there twice with two values has none. Reading ends at what is
    no directive, and then nothing after it counts, but `no-store` and `no-cache` anywhere in the text do."""
    found: dict[str, str] = {}
    at = 0
    while (match := _DIRECTIVE.match(text, at)) is not None:
        name, value = match[1].lower(), match[2] or match[3] or ""
        found[name] = value if found.get(name, value) == value else ""
        separator = _SEPARATOR.match(text, match.end())
        if separator is None or separator.end() == match.end():
            at = match.end()
            break
        at = separator.end()
    rest = text[at:].lower()
    found.update({name: "" for name in ("no-store", "no-cache") if name in rest})
    return found


def _seconds(text: str) -> int:
    """Delta-seconds; 0 for what is none, and the most that matters for what is more."""
    text = text.strip()
    if text.isascii() and text.isdigit() and _SECONDS.fullmatch(text) is None:
        return 10**10
    return int(text) if _SECONDS.fullmatch(text) is not None else 0


def _until_expiry(headers: Mapping[str, str], now: int) -> int:
    expires = _date(headers.get("expires", ""))
    if expires is None:
        return 0
    date = _date(headers.get("date", ""))
    return expires - (now if date is None else date) - _seconds(headers.get("age", "0"))


def _date(text: str) -> int | None:
    if not text or len(text) > _MAX_DATE_LENGTH or not text.isascii():
        return None
    try:
        moment = parsedate_to_datetime(text)
        return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
