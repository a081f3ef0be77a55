"""Listening sockets: bound once by the parent, shared by all workers, so that no restart refuses a client."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from bridge.model.errors import StartRefused
from bridge.serving.options import ConsoleListener, ListenerKind, ServingOptions
from bridge.serving.proxies import Senders, TrustedProxy
from bridge.serving.unix_sockets import OWN_RIGHTS, SocketFile, bind_file

# How many connections the kernel keeps for us while every worker is busy.
BACKLOG = 2048
# Nobody comes to these for somebody else.
_FOR_OPERATORS = frozenset({ListenerKind.METRICS, ListenerKind.CONSOLE})


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that is bound and listening, what is spoken on it, and whom it believes about somebody else."""

    kind: ListenerKind
    socket: socket.socket
    url: str
    senders: Senders
    file: SocketFile | None = None

    def close(self) -> None:
        """Stop to listen, for all processes when the last of them does, and take a socket's file away."""
        self.socket.close()
        if self.file is not None:
            self.file.remove()


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair. Raises: ValueError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{address}: an IPv6 address is written in brackets")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{address}: not of the form host:port")
    return host, int(port)


def _bind(address: str) -> socket.socket:
    host, port = split_address(address)
    family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `[::]` is for both families; a client's IPv4 address is unmapped where it is read.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(where)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def url_of(bound: socket.socket, scheme: str) -> str:
    """Where a bound socket can be reached, for people to read."""
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def open_listeners(options: ServingOptions) -> list[Listener]:
    """Bind and listen on every address and file of `options`. Raises: StartRefused that names each bad one."""
    listeners: list[Listener] = []
    faults: list[str] = []
    by_address = Senders(networks=tuple(proxy for proxy in options.proxies if proxy.network is not None))
    for kind, address in options.addresses():
        try:
            bound = _bind(address)
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            faults.append(f"cannot listen on {address} ({kind}): {words}")
            continue
        scheme = "https" if options.speaks_tls(kind) else "http"
        senders = Senders() if kind in _FOR_OPERATORS else by_address
        listeners.append(Listener(kind, bound, url_of(bound, scheme), senders))
    for proxy in options.proxies:
        try:
            listeners += _for_proxy(proxy)
        except OSError as error:
            faults.append(f"cannot listen on {proxy.unix} ({ListenerKind.PROXY}): {error.strerror or error}")
    if options.console is not None and options.console.unix is not None:
        try:
            listeners.append(_for_console(options.console, options.console.unix))
        except OSError as error:
            faults.append(
                f"cannot listen on {options.console.unix} ({ListenerKind.CONSOLE}): {error.strerror or error}"
            )
    if faults:
        for listener in listeners:
            listener.close()
        raise StartRefused(faults)
    return listeners


def _for_proxy(proxy: TrustedProxy) -> list[Listener]:
    if proxy.unix is None:
        return []
    bound, file = bind_file(proxy.unix, BACKLOG)
    return [Listener(ListenerKind.PROXY, bound, f"unix:{proxy.unix}", Senders(everyone=proxy.header), file)]


def _for_console(console: ConsoleListener, path: Path) -> Listener:
    bound, file = bind_file(path, BACKLOG, rights=OWN_RIGHTS, group=console.group)
    return Listener(ListenerKind.CONSOLE, bound, f"unix:{path}", Senders(), file)
