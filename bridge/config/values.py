"""The kinds of values that keys of `bridge.toml` hold, each with what may be wrong about it."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from bridge.metadata.uris import UnfitUri, require_secure

UNIX = "unix:"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> int:
    """Seconds from `"90s"`, `"5m"`, `"1h"` or `"30d"`. Raises ValueError for all else, zero included."""
    if not isinstance(value, str) or (match := re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)) is None:
        raise ValueError('a duration is a string such as "90s", "5m", "1h" or "30d"')
    return int(match[1]) * _UNITS[match[2]]


def _listen_address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError('a listen address is "host:port", an IPv6 host in brackets')
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError("the host of a listen address is an IP address") from None
    return value


def is_loopback(address: str) -> bool:
    """Whether a checked `host:port` can be reached from this machine alone."""
    return ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback


def _base_url(value: str) -> str:
    if re.fullmatch(r"[!-~]+", value) is None:
        raise ValueError("a URL is printable ASCII")
    url = urlsplit(value)
    if url.scheme not in ("https", "http") or not url.hostname or "@" in url.netloc:
        raise ValueError("must be an https URL without user information")
    if url.query or url.fragment or value.endswith(("/", "?", "#")):
        raise ValueError("must have no query, no fragment and no trailing slash")
    if value != value.lower() and url.netloc != url.netloc.lower():
        raise ValueError("the host must be in lower case: the string is compared byte by byte")
    if url.scheme == "http":
        try:
            local = ipaddress.ip_address(url.hostname).is_loopback
        except ValueError:
            local = False
        if not local:
            raise ValueError("http is for development on a loopback address; everything else is https")
    return value


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        words = 'must be an IP address or network such as "10.0.0.7/32", without bits beyond its length'
        raise ValueError(words) from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError("is an IPv4 address in IPv6 clothes: write the IPv4 address")
    return str(network)


def _host_and_port(value: str) -> str:
    try:
        web = require_secure(f"https://{value}", loopback=False)
    except UnfitUri as fault:
        raise ValueError(f'is no "host:port" in lower case, an IPv6 host in brackets: it {fault}') from None
    if value != f"{web.host}:{web.port}":
        raise ValueError('must be "host:port" and nothing more')
    return value


def _https_url(value: str) -> str:
    try:
        require_secure(value, loopback=False)
    except UnfitUri as fault:
        raise ValueError(f"the URL {fault}") from None
    return value


def _console_listen(value: str) -> str:
    if value.startswith(UNIX):
        if len(value) == len(UNIX):
            raise ValueError('a Unix socket is "unix:" and a path')
        return value
    try:
        return _listen_address(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "unix:" and a path') from None


def _collector_url(value: str) -> str:
    try:
        require_secure(value)
    except UnfitUri as fault:
        raise ValueError(f"the URL {fault}") from None
    return value


Duration = Annotated[int, BeforeValidator(parse_duration)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Positive = Annotated[int, Field(gt=0)]
HttpsUrl = Annotated[str, AfterValidator(_https_url)]
CollectorUrl = Annotated[str, AfterValidator(_collector_url)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
Network = Annotated[str, AfterValidator(_network)]
ConsoleAddress = Annotated[str, AfterValidator(_console_listen)]
NonEmpty = Annotated[str, Field(min_length=1)]
