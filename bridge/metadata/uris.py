"""URIs in metadata, read strictly from the raw string: what a browser, `urllib` and we all read alike, or nothing.

Parsers repair what they get, each in its own way: one drops tabs, one takes `\\` for `/`, one reads `0x7f.1` as
127.0.0.1. A URI that needs any repair is refused here, so that the host that was judged is the host that is
visited, and two strings that differ are never one address by somebody's kindness (T-7, T-30).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

MAX_URI_LENGTH = 2048
MAX_HOST_LENGTH = 253
# RFC 8252 section 7.3 has the two addresses, section 8.3 would rather not have the name; yet the clients that
# people run on their own machines use all three.
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})

# fullmatch only, and no two ways to match one string, so that time is linear in its length (T-50).
_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_WEB = re.compile(r"(https?)://([^/?]*)([^?]*)(?:\?(.*))?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# RFC 5892: letters without upper case, marks, digits, and the few signs that some scripts write words with.
_NAME_CATEGORIES = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
_NAME_SIGNS = frozenset("-\u00b7\u0375\u05f3\u05f4\u30fb")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)", re.IGNORECASE)


class UnfitUri(ValueError):
    """The string is no URI that metadata may hold. The message completes "the URI ..." and quotes nothing."""


@dataclass(frozen=True, slots=True)
class WebUri:
    """Where an http or https URI points. `host` is as written, IPv6 in its brackets; `port` is None when the
    URI names none."""

    scheme: str
    host: str
    port: int | None

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by one of the three spellings that count as that."""
        return self.host in LOOPBACK_HOSTS


def check_characters(uri: str) -> None:
    """Refuse what no URI may have (RFC 3986 section 2) and, in words of its own, what is an attack most often.

    Raises: UnfitUri. Not checked: the form of any part.
    """
    if not uri or len(uri) > MAX_URI_LENGTH:
        raise UnfitUri(f"is empty or longer than {MAX_URI_LENGTH} characters")
    if not uri.isascii():
        raise UnfitUri("has a character outside ASCII")
    if not uri.isprintable() or " " in uri:
        raise UnfitUri("has a space or a control character")
    if "#" in uri:
        raise UnfitUri("has a fragment")
    if "\\" in uri:
        raise UnfitUri("has a backslash")
    if _CHARACTERS.fullmatch(uri) is None:
        raise UnfitUri("has a character that has to be percent-encoded, or a '%' without two digits")
    if _ENCODED_CONTROL.search(uri) is not None:
        raise UnfitUri("has an encoded control character")


def check_path(path: str, query: str = "") -> None:
    """Refuse a path that a client would rewrite before it asks. Raises: UnfitUri. Spec: RFC 3986 sections 3.3, 5.2.4.

    The characters were checked before.
    """
    if "[" in path + query or "]" in path + query:
        raise UnfitUri("has a bracket outside its host")
    if any(segment.lower().replace("%2e", ".") in (".", "..") for segment in path.split("/")):
        raise UnfitUri("has '.' or '..' as a path segment")


def check_host(host: str) -> None:
    """Take a host name, an IPv4 or a bracketed IPv6 address in the one spelling that every reader agrees on.

    Raises: UnfitUri for upper case, a dot at the end, an address in another spelling, a label that is no
    letters, digits and inner hyphens, and for an `xn--` label that stands for no name or for another one.
    Not checked: that the host exists, or where it is.
    """
    if host.startswith("["):
        _check_ipv6(host)
        return
    labels = host.split(".")
    if len(host) > MAX_HOST_LENGTH or any(_LABEL.fullmatch(label) is None for label in labels):
        raise UnfitUri("has a host that is no name in lower case and no address")
    if _NUMBER.fullmatch(labels[-1]) is not None:
        # Browsers take any host that ends in a number for an IPv4 address, however it is written.
        try:
            IPv4Address(host)
        except AddressValueError:
            raise UnfitUri("has an IPv4 address that is not four decimal numbers") from None
    for label in labels:
        if label.startswith("xn--"):
            _check_a_label(label)


def _check_ipv6(host: str) -> None:
    try:
        address = IPv6Address(host.removeprefix("[").removesuffix("]"))
    except AddressValueError:
        raise UnfitUri("has a host that is no IPv6 address") from None
    # A mapped address is an IPv4 address in disguise, and readers print it in two ways.
    if address.ipv4_mapped is not None or address.scope_id is not None or f"[{address.compressed}]" != host:
        raise UnfitUri("has an IPv6 address that is not in its shortest lower-case form")


def _check_a_label(label: str) -> None:
    # The tables of IDNA are not in the standard library. Its rules come down to categories of characters that
    # are the same under NFKC and in lower case; a browser reads no label of those as another name.
    try:
        name = label[4:].encode("ascii").decode("punycode")
        again = name.encode("punycode").decode("ascii")
    except (UnicodeError, OverflowError):
        raise UnfitUri("has an 'xn--' label that stands for no name") from None
    fit = again == label[4:] and not name.isascii() and unicodedata.normalize("NFKC", name.lower()) == name
    letters = all(unicodedata.category(sign) in _NAME_CATEGORIES or sign in _NAME_SIGNS for sign in name)
    if not fit or not letters or unicodedata.category(name[0]).startswith("M"):
        raise UnfitUri("has an 'xn--' label that stands for no name")


def _port(text: str) -> int | None:
    if not text:
        return None
    if text[0] != ":" or _PORT.fullmatch(text[1:]) is None or int(text[1:]) > 65535:
        raise UnfitUri("has a port that is no number from 1 to 65535, written plainly")
    return int(text[1:])


def read_web(uri: str) -> WebUri:
    """Read an http or https URI, with or without path and query.

    Raises: UnfitUri for another scheme or one in upper case, a user part, a fragment, a backslash, whatever
    is not printable ASCII of RFC 3986, a host or port that could be read in two ways, dot segments, also
    encoded ones, and above 2048 characters. Spec: RFC 3986; RFC 9110 section 4.2.
    Not checked: that http is for loopback only (`require_secure`), and what is there.
    """
    check_characters(uri)
    match = _WEB.fullmatch(uri)
    if match is None:
        raise UnfitUri("is not https://, or http:// to a loopback host")
    scheme, authority, path, query = match.groups()
    if "@" in authority:
        raise UnfitUri("has a user part")
    host, bracket, rest = authority.partition("]")
    if bracket:
        host, port = host + bracket, _port(rest)
    else:
        host, colon, rest = authority.partition(":")
        port = _port(colon + rest)
    check_host(host)
    check_path(path, query or "")
    return WebUri(scheme, host, port)


def require_secure(uri: str, *, loopback: bool = True) -> WebUri:
    """Read a URI that is https, or http to a loopback host unless `loopback` is False. Raises: UnfitUri."""
    web = read_web(uri)
    if web.scheme == "http" and not (loopback and web.is_loopback):
        raise UnfitUri("is http, which only a loopback host may have" if loopback else "is not https")
    return web
