"""Who may speak for somebody else: the trusted proxies, known by the socket or the address they come from, and where
that is asked by the certificate of the connection, which is not judged here.

Whoever comes in any other way states nothing: its certificate and forwarding headers are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from bridge.model.forwarding import CertificateHeader
from bridge.serving.request import Headers


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """One trusted proxy: a Unix socket that is listened on for it, or the addresses it connects from; with a
    `spiffe_id` it is one only if its connection shows that X.509-SVID."""

    header: CertificateHeader
    unix: Path | None = None
    network: IPv4Network | IPv6Network | None = None
    spiffe_id: str | None = None


@dataclass(frozen=True, slots=True)
class Senders:
    """Whom one listener believes. `everyone` is for a socket that only the proxy can open (its file's rights
    see to that; they are not checked here), `networks` for one that others reach too."""

    everyone: CertificateHeader | None = None
    networks: Sequence[TrustedProxy] = ()

    def header_of(self, address: str) -> CertificateHeader | None:
        """The header kind that a peer of this address may state; None for all who are no trusted proxy, or one only
        by a certificate of their own."""
        if self.everyone is not None:
            return self.everyone
        return next((proxy.header for proxy in self._at(address) if proxy.spiffe_id is None), None)

    def headers_by_id(self, address: str) -> Mapping[str, CertificateHeader]:
        """The header kinds that a peer of this address may state if it is one of these SPIFFE IDs."""
        return {proxy.spiffe_id: proxy.header for proxy in self._at(address) if proxy.spiffe_id is not None}

    def _at(self, address: str) -> Iterator[TrustedProxy]:
        if not self.networks:
            return
        try:
            peer = ip_address(address)
        except ValueError:
            return
        for proxy in self.networks:
            if proxy.network is not None and peer in proxy.network:
                yield proxy


def source_address(headers: Headers, peer: str) -> str:
    """Whom a trusted proxy says it answers: the last hop of `X-Forwarded-For`, the one that the proxy itself
    saw. `peer` when it states none, or one that is no IP address. For limits and audit only.
    """
    stated = [value for name, value in headers if name == b"x-forwarded-for"]
    if not stated:
        return peer
    hop = stated[-1].rpartition(b",")[2].strip().decode("latin-1")
    try:
        address = ip_address(_without_port(hop))
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address)
    return str(address)


def _without_port(hop: str) -> str:
    """Some balancers write a port: `192.0.2.7:5123`, `[2001:db8::7]:5123`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    host, colon, port = hop.partition(":")
    return host if colon and port.isascii() and port.isdigit() and "." in host else hop
