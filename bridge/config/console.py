"""What `[console]` can be wrong about: where it listens, and whether it is known there who an operator is."""

from __future__ import annotations

import grp
import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from bridge.config.settings import ConsoleSettings, Settings

# Bytes of a Unix socket's address without its closing NUL (unix(7)).
LONGEST_SOCKET_PATH = 107
# The key that is wrong, and what is wrong with it.
Faults = list[tuple[tuple[str | int, ...], str]]


def console_faults(settings: Settings) -> Faults:
    """Every such fault, by key. Not checked here: that patterns of SPIFFE IDs are some (`operator_faults`)."""
    console = settings.console
    if console is None:
        return []
    found = _socket_faults(console, settings) if console.unix is not None else _address_faults(console, settings)
    return [(("console", key), words) for key, words in found]


def console_file_faults(settings: Settings) -> Faults:
    """What only matters where the service starts: the folder of the socket, and its group."""
    console = settings.console
    if console is None or console.unix is None:
        return []
    faults: Faults = []
    if not console.unix.parent.is_dir():
        faults.append((("console", "listen"), f"no such folder: {console.unix.parent}; make it"))
    if console.group is not None and group_of(console) is None:
        faults.append((("console", "group"), f"this machine has no group {console.group}"))
    return faults


def group_of(console: ConsoleSettings) -> int | None:
    """The number of the socket's group; None where none is set, and for one that this machine does not have."""
    if console.group is None:
        return None
    try:
        return grp.getgrnam(console.group).gr_gid
    except KeyError:
        return None


def _socket_faults(console: ConsoleSettings, settings: Settings) -> list[tuple[str, str]]:
    faults = [
        (key, "is for a console on an address: whoever can open the socket is an operator")
        for key in ("url", "operators", "subjects")
        if getattr(console, key) is not None
    ]
    path = str(console.unix)
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        faults.append(("listen", f"{path}: a socket's path has at most {LONGEST_SOCKET_PATH} bytes"))
    if any(proxy.unix is not None and Path(proxy.unix) == console.unix for proxy in settings.trusted_proxies):
        faults.append(("listen", "is the socket of a trusted proxy too"))
    return faults


def _address_faults(console: ConsoleSettings, settings: Settings) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    if settings.tls is None:
        faults.append(("listen", "an address needs [tls]; without it the console listens on a Unix socket"))
    if console.group is not None:
        faults.append(("group", 'is for a Unix socket: listen = "unix:run/console.sock"'))
    if console.operators is None and console.subjects is None:
        words = (
            "on an address it must be known who an operator is, on loopback too: set operators (SPIFFE IDs) or subjects"
            " (people of [users])"
        )
        faults.append(("listen", words))
    if console.operators is not None and console.subjects is not None:
        faults.append(("subjects", "beside operators: operators are known in one way, set one of the two"))
    if console.subjects is not None and (settings.users is None or settings.users.source != "oidc"):
        faults.append(("subjects", 'needs [users] source = "oidc": who signs in there is proved'))
    others = (settings.listen, settings.mtls_listen, settings.metrics_listen)
    if console.address in others and not console.listen.endswith(":0"):
        faults.append(("listen", "another listener has the same address"))
    return faults + _url_faults(console)


def _url_faults(console: ConsoleSettings) -> list[tuple[str, str]]:
    if console.url is None:
        host, _, port = console.listen.rpartition(":")
        if port == "0" or ipaddress.ip_address(host.strip("[]")).is_unspecified:
            return [("url", "required: the address does not say what browsers call the console")]
        return []
    url = urlsplit(console.url)
    if url.path or url.query or url.netloc.endswith(":443") or url.netloc != url.netloc.lower():
        return [("url", "is https://, the host in lower case, the port unless it is 443, and nothing more")]
    return []
