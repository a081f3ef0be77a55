"""Who is at the other end of a connection: address, and certificates as sent."""

from __future__ import annotations

import _ssl
import asyncio
import socket
import ssl
import struct
from typing import Any


def peer_chain(transport: asyncio.BaseTransport) -> tuple[bytes, ...]:
    """The certificates that the TLS client sent, DER, leaf first; empty when it sent none.

    The handshake has proved that the client holds the leaf's key and that some loaded trust anchor is
    above it. For which trust domain, and whether in time, is not checked.
    """
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    return () if tls is None else sent_chain(tls)


def sent_chain(tls: ssl.SSLObject | ssl.SSLSocket) -> tuple[bytes, ...]:
    """The certificates that the other end of a TLS connection sent, DER, leaf first; empty when it sent none.

    It holds the leaf's key. Not checked: whether anything else about them is right.
    """
    # Without a certificate the chain below would be [None], not empty.
    if tls.getpeercert(True) is None:
        return ()
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:  # Python 3.13 and later
        return tuple(public())
    inner: Any = tls._sslobj  # type: ignore[union-attr]
    return tuple(certificate.public_bytes(_ssl.ENCODING_DER) for certificate in inner.get_unverified_chain())


# `struct ucred` of unix(7): process, user, group.
_UCRED = struct.Struct("3i")


def peer_uid(transport: asyncio.BaseTransport) -> int | None:
    """The account of the process that connected, where it came by a Unix socket: as the kernel noted it when it
    connected. None for all other connections."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)


def address_of(name: object) -> tuple[str, int]:
    """A socket's name as (host, port). An IPv4 client of an IPv6 listener is given as IPv4, so that limits
    per source address see one client as one. ("", 0) for what has no address."""
    if not isinstance(name, tuple) or len(name) < 2:
        return ("", 0)
    host = str(name[0])
    mapped = host.removeprefix("::ffff:")
    return (mapped if "." in mapped else host, int(name[1]))
