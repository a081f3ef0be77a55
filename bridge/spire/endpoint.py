"""Where a Workload API is, and a connection to it (SPIFFE Workload Endpoint sections 3 and 4)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

import grpc

# A socket address holds 108 bytes with its terminating NUL.
MAX_SOCKET_PATH = 107
# Demanded on every call, so that no request that was forged through a web client is answered (SPIFFE-30).
METADATA = (("workload.spiffe.io", "true"),)
ENVIRONMENT = "SPIFFE_ENDPOINT_SOCKET"

_TCP = re.compile(r"tcp://(?P<host>[0-9.]+|\[[0-9a-fA-F:.]+\]):(?P<port>[1-9][0-9]{0,4})")
_OPTIONS = [
    # Without this, a channel that is made anew still shares connection and back-off with the one before.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Never through a proxy that the environment names.
    ("grpc.enable_http_proxy", 0),
    # One message holds every trust domain's bundle, each of up to 1 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]


class InvalidEndpoint(ValueError):
    """The text is no Workload API address. The message says what one looks like."""


@dataclass(frozen=True, slots=True)
class WorkloadEndpoint:
    """A Workload API's address. `target` is the same in gRPC's own spelling."""

    address: str
    target: str

    @classmethod
    def parse(cls, address: str) -> WorkloadEndpoint:
        """Take the value of `SPIFFE_ENDPOINT_SOCKET` (SPIFFE-31).

        `unix:///absolute/path`, `unix:/absolute/path` or `tcp://<IP>:<port>`, nothing else: no host
        names, no query, no fragment. Raises: InvalidEndpoint. Not checked: that anything listens there.
        """
        if address.startswith("unix:"):
            return cls(address, f"unix:{_socket_path(address)}")
        match = _TCP.fullmatch(address)
        if match is None:
            raise InvalidEndpoint(
                f"{address!r} is no Workload API address: write unix:///absolute/path or tcp://IP:port"
            )
        host, port = match["host"], int(match["port"])
        try:
            family = "ipv6" if host.startswith("[") else "ipv4"
            IPv6Address(host[1:-1]) if family == "ipv6" else IPv4Address(host)
        except AddressValueError as error:
            raise InvalidEndpoint(f"{address!r}: the host must be an IP address") from error
        if port > 65535:
            raise InvalidEndpoint(f"{address!r}: there is no port {port}")
        return cls(address, f"{family}:{host}:{port}")


def _socket_path(address: str) -> str:
    rest = address.removeprefix("unix:")
    path = rest[2:] if rest.startswith("//") else rest
    if not path.startswith("/") or path.startswith("//") or path.endswith("/"):
        raise InvalidEndpoint(f"{address!r}: after unix: comes an absolute path, as in unix:///run/agent.sock")
    if re.search(r"[?#%\x00-\x20\x7f]", path):
        raise InvalidEndpoint(f"{address!r}: a socket's path has no query, fragment, escapes or blanks here")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise InvalidEndpoint(f"{address!r}: a socket's path has at most {MAX_SOCKET_PATH} bytes")
    return path


def open_channel(endpoint: WorkloadEndpoint) -> Any:
    """A new channel of its own, sharing no connection with another. Close it, or use it as a context
    manager. Never over a fork: a channel of the parent is dead in the child and does not say so."""
    return grpc.insecure_channel(endpoint.target, options=_OPTIONS)


def describe(error: Any) -> str:
    """What a failed call means, in words for an operator."""
    code = error.code()
    words = {
        grpc.StatusCode.UNAVAILABLE: "the agent cannot be reached",
        grpc.StatusCode.DEADLINE_EXCEEDED: "the agent does not answer",
        grpc.StatusCode.PERMISSION_DENIED: "the agent has no registration entry for this process",
        grpc.StatusCode.UNIMPLEMENTED: "the agent does not offer this",
    }.get(code, "the agent refused the call")
    # gRPC wraps the system's own words, which stand at the end, in many of its own.
    details = (error.details() or "").rpartition("error: ")[2]
    return f"{words} ({code.name}{': ' + details if details else ''})"
