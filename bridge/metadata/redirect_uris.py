"""Which redirect URIs a client may have at all (DCR-21, PCR-26; RFC 6749 section 3.1.2, RFC 8252, RFC 9700 2.1).

Redirect URIs are compared as strings, so nothing is normalised here: what would need it is refused, and
what is accepted names one place only, whoever reads it.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from bridge.metadata.uris import LOOPBACK_HOSTS, UnfitUri, check_characters, check_host, check_path, require_secure
from bridge.model.errors import InvalidRedirectUri
from bridge.model.reasons import Reason

NATIVE = "native"
WEB = "web"

# The answer adds these to the query, and no parameter may come twice (RFC 6749 section 3.1, RFC 9207): a client
# that takes the first of two would take the one that was registered.
ANSWER_PARAMETERS = frozenset({"code", "state", "iss", "error", "error_description", "error_uri", "response"})

# RFC 8252 section 7.1: a scheme of one's own is a domain name in reverse, so it has a dot. Neither
# `javascript` nor `data` nor any other scheme that a browser acts on has one.
_PRIVATE = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:(?://([^/?]+))?(/[^?]*)?(?:\?(.*))?")
_WEB_SCHEME = re.compile(r"https?:", re.IGNORECASE)
_LOOPBACK = re.compile(
    "(http://(?:" + "|".join(re.escape(host) for host in sorted(LOOPBACK_HOSTS)) + r"))(?::[0-9]+)?([/?].*)?"
)


def check(uri: str, *, application_type: str | None) -> None:
    """Refuse a redirect URI that no client may have.

    Taken: https; http to `127.0.0.1`, `[::1]` or `localhost`; a private-use scheme with a dot, unless the
    client says that it is a `web` application.
    Raises: InvalidRedirectUri for everything else, for a fragment (an empty one too), a wildcard, a user part,
    a backslash, a host or port that is not in its plain spelling, dot segments, and for a query that holds a
    parameter of the authorization response. Its `public` text says what is wrong and quotes nothing.
    Not checked: that anybody vouches for the URI, or that policy allows it.
    """
    try:
        _check(uri, application_type)
    except UnfitUri as fault:
        words = f"a redirect URI {fault}"
        raise InvalidRedirectUri(Reason.REDIRECT_URI_INVALID, words, public=words) from None


def _check(uri: str, application_type: str | None) -> None:
    check_characters(uri)
    if "*" in uri:
        raise UnfitUri("has a wildcard")
    if _WEB_SCHEME.match(uri) is not None:
        require_secure(uri)
    elif application_type == WEB:
        raise UnfitUri("has a scheme of its own, which a web application may not have")
    else:
        _check_private(uri)
    query = uri.partition("?")[2]
    if any(name in ANSWER_PARAMETERS for name, _ in parse_qsl(query, keep_blank_values=True)):
        raise UnfitUri("has a query parameter that belongs to the answer")


def _check_private(uri: str) -> None:
    match = _PRIVATE.fullmatch(uri)
    # Three slashes in a row are an empty host to some readers and a part of the path to others.
    if match is None or (match[1] is None and (match[2] or "//").startswith("//")):
        raise UnfitUri("is neither https:// nor loopback http:// nor of a scheme with a dot, 'com.example.app:/...'")
    if match[1] is not None:
        check_host(match[1])
    check_path(match[2] or "", match[3] or "")


def same(registered: str, asked: str) -> bool:
    """Whether the URI of a request is the registered one: the same string, but for the port of a loopback one.

    A native application learns its port only when it listens (RFC 8252 section 7.3; OAS-30, CIMD-17).
    Not checked: `asked` by itself; it came from outside and has to pass `check` too.
    """
    if registered == asked:
        return True
    ours, theirs = _LOOPBACK.fullmatch(registered), _LOOPBACK.fullmatch(asked)
    return ours is not None and theirs is not None and ours.groups() == theirs.groups()
