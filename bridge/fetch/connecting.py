"""A TLS connection to one of the addresses that were checked, in the name of the host (CIMD-11).

A new one for each fetch, straight from a socket: no proxy of the environment, no pool, no second resolution.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv6Address

from bridge.fetch.addresses import Address
from bridge.fetch.deadline import Deadline
from bridge.fetch.failures import NetworkFailure, NetworkFault


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """What servers are verified by: the system's CAs and those of `ca_file` (PEM); TLS 1.2 or later.

    Raises: OSError when the file cannot be read or holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def connect(
    addresses: Sequence[Address], port: int, *, host: str, context: ssl.SSLContext, each: float, deadline: Deadline
) -> ssl.SSLSocket:
    """Connect to the first address that answers, and verify there that it is `host` (brackets allowed).

    Units: `each` is seconds for one address. Only connecting goes on to the next address: whatever fails after
    that is the answer. Raises: NetworkFailure (CONNECT, TLS, TIMEOUT, CUT).
    """
    plain = connect_plain(addresses, port, each=each, deadline=deadline)
    try:
        # Not in the wrapping itself, where the handshake would have a time of its own.
        name = host.removeprefix("[").removesuffix("]")
        # A stream that ends without TLS's own end was cut by somebody: never a whole document.
        wrapped = context.wrap_socket(
            plain, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
    except (OSError, ValueError) as error:
        plain.close()
        raise NetworkFailure(NetworkFault.TLS, "TLS could not begin") from error
    try:
        wrapped.settimeout(deadline.remaining())
        wrapped.do_handshake()
    except OSError as error:
        wrapped.close()
        raise network_failure(error, "in the TLS handshake") from error
    except NetworkFailure:
        wrapped.close()
        raise
    return wrapped


def network_failure(error: OSError, when: str) -> NetworkFailure:
    """What a failed call on a connection means."""
    if isinstance(error, TimeoutError):
        return NetworkFailure(NetworkFault.TIMEOUT, f"no answer in time {when}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return NetworkFailure(NetworkFault.TLS, f"the certificate is not acceptable: {error.verify_message}")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return NetworkFailure(NetworkFault.TLS, f"TLS failed {when} ({error.reason or 'no reason given'})")
    return NetworkFailure(NetworkFault.CUT, f"the connection was cut {when}")


def connect_plain(addresses: Sequence[Address], port: int, *, each: float, deadline: Deadline) -> socket.socket:
    """As `connect`, without TLS: for what never leaves this machine. Raises: NetworkFailure (CONNECT, TIMEOUT)."""
    last: OSError | None = None
    for address in addresses:
        family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
        patience = deadline.remaining(each)
        try:
            attempt = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            # A machine without IPv6, or without a free descriptor.
            last = error
            continue
        attempt.settimeout(patience)
        try:
            attempt.connect((str(address), port))
        except OSError as error:
            attempt.close()
            last = error
            continue
        return attempt
    words = "does not answer" if isinstance(last, TimeoutError) else "cannot be reached"
    raise NetworkFailure(NetworkFault.CONNECT, f"the host {words}") from last
