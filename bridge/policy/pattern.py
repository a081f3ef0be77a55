"""Patterns over whole segments, and the addresses they are matched against (T-24).

Every source is brought to one form: a *space* in which things can be compared at all, and a tuple of
tokens. A SPIFFE ID's space is its trust domain and its tokens are the path's segments; a document URL's
space is its port and number of host labels, its tokens are the labels (from the top level down) and the
path's segments; a statement's tokens are issuer and subject. So one matcher, one index and one check
for ambiguity serve them all, and nothing ever matches across a segment's border.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import MAX_ID_BYTES, SCHEME, InvalidSpiffeId, SpiffeId, TrustDomain

Space = str | tuple[str, int]
Token = str | None  # None is `*`

STATEMENTS: Space = "statement"
PUSHED: Space = "pushed"

_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PCHARS = re.compile(r"(?:[A-Za-z0-9._~!$&'()+,;=:@-]|%[0-9A-Fa-f]{2})*")
_DOTS = re.compile(r"(?:\.|%2[eE]){1,2}")
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]@]+)(?::(.*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class InvalidPattern(ValueError):
    """The text is not a pattern of the grammar. The message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a subject stands: what patterns are compared with."""

    space: Space
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern. `tail`: it ends in `**`, which stands for one token or more.

    `weight` is the number of literal segments and host labels (interface section 3), except where the
    source sets its own: 1 for a statement's `subject`, 0 for everything that names no one.
    """

    text: str
    space: Space
    tokens: tuple[Token, ...]
    tail: bool
    weight: int

    def matches(self, address: Address) -> bool:
        """Whether the address is one of those this pattern stands for."""
        if address.space != self.space:
            return False
        size = len(self.tokens)
        there = len(address.tokens)
        if there <= size if self.tail else there != size:
            return False
        # A wildcard never stands for an empty segment, which only a URL can have (a trailing slash).
        if self.tail and "" in address.tokens[size:]:
            return False
        return all(
            token == mine if mine is not None else token != ""
            for mine, token in zip(self.tokens, address.tokens, strict=False)
        )

    @property
    def stars(self) -> int:
        """How many `*` there are; `{1}` to `{n}` of a redirect URI template stand for them in order."""
        return self.tokens.count(None)

    def captures(self, address: Address) -> tuple[str, ...]:
        """What the `*` stand for in an address that matches."""
        return tuple(token for mine, token in zip(self.tokens, address.tokens, strict=False) if mine is None)


def overlap(one: Pattern, other: Pattern) -> Pattern | None:
    """The pattern of everything that both stand for; None when there is no such thing."""
    if one.space != other.space:
        return None
    long, short = (one, other) if len(one.tokens) >= len(other.tokens) else (other, one)
    same_length = len(long.tokens) == len(short.tokens)
    if not short.tail and (long.tail or not same_length):
        return None
    if short.tail and not long.tail and same_length:
        return None
    tokens: list[Token] = []
    for index, token in enumerate(long.tokens):
        against = short.tokens[index] if index < len(short.tokens) else None
        if token is not None and against is not None and token != against:
            return None
        tokens.append(token if token is not None else against)
    return Pattern("", one.space, tuple(tokens), long.tail, 0)


def subsumes(general: Pattern, special: Pattern) -> bool:
    """Whether everything that `special` stands for, `general` stands for too."""
    if general.space != special.space:
        return False
    size = len(general.tokens)
    if general.tail:
        if len(special.tokens) < size or (len(special.tokens) == size and not special.tail):
            return False
    elif special.tail or len(special.tokens) != size:
        return False
    return all(
        mine is None or mine == token for mine, token in zip(general.tokens, special.tokens[:size], strict=False)
    )


def _segments(path: str, literal: re.Pattern[str], what: str) -> tuple[tuple[Token, ...], bool]:
    """The tokens of `/a/*/b` or `/a/**`, and whether it ends in `**`."""
    if not path.startswith("/"):
        raise InvalidPattern(f"{what} starts with '/'")
    parts = path.split("/")[1:]
    tail = parts[-1] == "**"
    if tail:
        parts.pop()
    tokens: list[Token] = []
    for part in parts:
        if part == "*":
            tokens.append(None)
        elif part == "**":
            raise InvalidPattern("'**' stands only at the end")
        elif "*" in part:
            raise InvalidPattern(f"'{part}': a wildcard is a whole segment, never a part of one")
        elif _DOTS.fullmatch(part) or literal.fullmatch(part) is None:
            raise InvalidPattern(f"'{part}' is no segment that any identity can have")
        else:
            tokens.append(part)
    return tuple(tokens), tail


def _literals(tokens: tuple[Token, ...]) -> int:
    return len(tokens) - tokens.count(None)


def path_pattern(text: str, trust_domain: str) -> Pattern:
    """A `path` of a trust domain's file.

    Raises: InvalidPattern. Not checked: that a first segment which is a wildcard was meant (`is_broad`).
    """
    if len(SCHEME) + len(trust_domain) + len(text) > MAX_ID_BYTES:
        raise InvalidPattern(f"no SPIFFE ID is that long ({MAX_ID_BYTES} bytes at most)")
    if text.startswith(SCHEME):
        raise InvalidPattern(_whole_id_words(text, trust_domain))
    tokens, tail = _segments(text, _SEGMENT, "a path")
    return Pattern(text, trust_domain, tokens, tail, _literals(tokens))


def _whole_id_words(text: str, trust_domain: str) -> str:
    named = text[len(SCHEME) :].partition("/")[0]
    if named == trust_domain:
        return f"a path starts with '/': leave out {SCHEME}{trust_domain}"
    return f"a path starts with '/', and this file is about {trust_domain}, not about {named or 'no trust domain'}"


ANY_PATH = "any path"


def any_path_pattern(trust_domain: str) -> Pattern:
    """`any_path = true`: every workload of the trust domain, with weight 0."""
    return Pattern(ANY_PATH, trust_domain, (), True, 0)


def spiffe_id_pattern(text: str) -> Pattern:
    """A pattern of whole SPIFFE IDs. The trust domain is always literal. Raises: InvalidPattern."""
    if not text.startswith(SCHEME):
        raise InvalidPattern("a pattern of SPIFFE IDs starts with spiffe://")
    name, slash, path = text[len(SCHEME) :].partition("/")
    try:
        TrustDomain.parse(name)
    except InvalidSpiffeId as error:
        raise InvalidPattern(str(error)) from error
    pattern = path_pattern(slash + path, name)
    return Pattern(text, pattern.space, pattern.tokens, pattern.tail, pattern.weight)


def url_pattern(text: str) -> Pattern:
    """A `url` of metadata documents: https, `*` for one host label or one path segment.

    Raises: InvalidPattern. A port that is the default one, a user part, a query and a fragment are
    refused: no document's `client_id` that policy lets through has them.
    """
    scheme, separator, rest = text.partition("://")
    if scheme != "https" or not separator:
        raise InvalidPattern("a url pattern starts with https://")
    authority, slash, path = rest.partition("/")
    if not slash:
        raise InvalidPattern("a url pattern has a path (a document's URL has one)")
    labels, port = _authority(authority, wildcard=True)
    tokens, tail = _segments(slash + path, _PCHARS, "the path")
    return Pattern(text, (port, len(labels)), labels + tokens, tail, _literals(labels + tokens))


def _authority(authority: str, *, wildcard: bool) -> tuple[tuple[Token, ...], str]:
    """Host labels from the top level down, and the port. An IP literal is one label."""
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise InvalidPattern(f"'{authority}' is no host with an optional port")
    host, port = parts[1], parts[2]
    if port is not None and (_PORT.fullmatch(port) is None or int(port) > 65535):
        raise InvalidPattern("the port is no number from 1 to 65535")
    if port == "443":
        raise InvalidPattern("the default port is left out")
    labels = (_ip(host[1:-1], host),) if host.startswith("[") else _labels(host, wildcard=wildcard)
    return labels, port or "443"


def _ip(address: str, host: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise InvalidPattern(f"'{host}' is no IP address") from error
    if str(parsed) != address:
        raise InvalidPattern(f"write the address as {parsed}")
    return host


def _labels(host: str, *, wildcard: bool) -> tuple[Token, ...]:
    parts = host.split(".")
    if parts[-1].isdigit():
        # Labels of an IPv4 address mean nothing: a wildcard among them would match by accident.
        return (_ip(host, host),)
    tokens: list[Token] = []
    for part in reversed(parts):
        if part == "*" and wildcard:
            tokens.append(None)
        elif _LABEL.fullmatch(part) is None:
            raise InvalidPattern(f"'{part}' is no host label: a-z, 0-9, '-' and '_', or '*' as a whole label")
        else:
            tokens.append(part)
    return tuple(tokens)


def statement_patterns(issuers: list[str], subjects: list[str] | None) -> list[Pattern]:
    """Issuers, and the subjects they vouch for. Both are compared whole; there is no wildcard."""
    if subjects is None:
        return [Pattern(issuer, STATEMENTS, (issuer, None), False, 0) for issuer in issuers]
    return [Pattern(f"{i} {s}", STATEMENTS, (i, s), False, 1) for i in issuers for s in subjects]


PUSHED_PATTERN = Pattern("pushed", PUSHED, (), False, 0)


def is_broad(pattern: Pattern, source: Source) -> bool:
    """Whether a pattern reaches so far that the rule must say `broad = true`.

    SPIFFE: the first segment is a wildcard. URL: one of the two highest host labels is.
    """
    if source is Source.SPIFFE:
        return not pattern.tokens or pattern.tokens[0] is None
    if source is Source.METADATA_DOCUMENT and isinstance(pattern.space, tuple):
        return None in pattern.tokens[: min(2, pattern.space[1])]
    return False


def spiffe_address(spiffe_id: SpiffeId) -> Address:
    """The address of a SPIFFE ID."""
    return Address(spiffe_id.trust_domain.name, spiffe_id.segments)


# Asked several times for each request, and the same URLs come again and again.
@lru_cache(maxsize=1024)
def url_address(url: str) -> Address | None:
    """The address of a document's URL; None when no pattern could mean it (a query, another scheme,
    a default port written out, upper case in the host, dot segments)."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if scheme != "https" or not separator or not slash:
        return None
    segments = path.split("/")
    if any(_PCHARS.fullmatch(s.replace("*", "")) is None or _DOTS.fullmatch(s) for s in segments):
        return None
    try:
        labels, port = _authority(authority, wildcard=False)
    except InvalidPattern:
        return None
    return Address((port, len(labels)), (*(label for label in labels if label is not None), *segments))


def address_of(subject: PolicySubject) -> Address | None:
    """Where the subject stands among the patterns of its source; None: no pattern can match it."""
    if subject.source is Source.SPIFFE:
        return spiffe_address(subject.spiffe_id) if subject.spiffe_id is not None else None
    if subject.source is Source.METADATA_DOCUMENT:
        return url_address(subject.url) if subject.url is not None else None
    if subject.source is Source.SOFTWARE_STATEMENT:
        if not subject.issuer or not subject.subject:
            return None
        return Address(STATEMENTS, (subject.issuer, subject.subject))
    return Address(PUSHED, ())
