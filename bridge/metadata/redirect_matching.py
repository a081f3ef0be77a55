"""Whether the redirect URI of one request is one that somebody vouched for (RFC 6749 section 3.1.2.3; OAS-30,
CIMD-17, ROFU-15, T-30)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from bridge.metadata import redirect_uris
from bridge.metadata.uris import UnfitUri, read_web
from bridge.model.errors import InvalidRedirectUri


def is_listed(asked: str, listed: Iterable[str]) -> bool:
    """Whether `asked` is one of `listed`: the same string, but for the port of a loopback one.

    It came from outside, so it is judged by itself before it is compared: what no client may register, no client
    may ask for either. Never raises. Not checked: who vouches for the list.
    """
    try:
        redirect_uris.check(asked, application_type=None)
    except InvalidRedirectUri:
        return False
    return any(redirect_uris.same(one, asked) for one in listed)


def narrowed(listed: Collection[str], by: Collection[str]) -> tuple[str, ...]:
    """Those of `listed` that `by` lists too; all of them where `by` lists none."""
    return tuple(one for one in listed if not by or any(redirect_uris.same(other, one) for other in by))


def is_narrowed_to(uri: str, by: Collection[str]) -> bool:
    """Whether a URI that was trusted is still one of those that `by` leaves: all are where `by` lists none. Not
    checked: who else vouches for it."""
    return bool(narrowed((uri,), by))


def is_remembered(uri: str) -> bool:
    """Whether only one party can receive what is sent to this URI, so that a consent may be remembered: https.

    On a loopback port or a scheme of its own any program of the machine may listen (RFC 8252 sections 8.3, 8.6).
    """
    return uri.startswith("https://") and not is_loopback(uri)


def is_loopback(uri: str) -> bool:
    """Whether what is sent to this URI stays on the user's own machine."""
    try:
        return read_web(uri).is_loopback
    except UnfitUri:
        return False


def host_of(uri: str) -> str:
    """Where a redirect URI that was checked leads, for the user to read: its host, and the port unless it is the
    default; the scheme, where that is all there is."""
    parts = urlsplit(uri)
    return parts.netloc or f"{parts.scheme}:"
