"""Where a fetch may go: to public addresses only, unless an operator named the place (T-1, T-3, T-4, CIMD-11, 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.fetch.addresses import Address, special_use
from bridge.fetch.failures import DocumentFailure, DocumentFault

HTTPS_PORT = 443
# Below are the ports of system services, none of which is a client's web server.
FIRST_FREE_PORT = 1024


class Guard(Protocol):
    """Who says where a fetch may go."""

    def check(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        """Raises: DocumentFailure (ADDRESS). `host` is the URL's, brackets included; `addresses` all it has."""
        ...


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """For every URL that a client, a document or a statement named.

    All addresses of the host have to be public; one that is not spoils the others, since whoever controls the
    name chose to mix them. `allow_hosts` are exact `host:port` that an operator exempted, for development.
    """

    allow_hosts: frozenset[str] = frozenset()

    def check(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        """See `Guard`. The port is 443 or none of the system's services'."""
        if f"{host}:{port}" in self.allow_hosts:
            return
        if port != HTTPS_PORT and port < FIRST_FREE_PORT:
            raise DocumentFailure(DocumentFault.ADDRESS, f"port {port} is no web server's")
        for address in addresses:
            if (use := special_use(address)) is not None:
                raise DocumentFailure(DocumentFault.ADDRESS, f"the host has an address that is not public ({use})")


@dataclass(frozen=True, slots=True)
class OperatorsAddress:
    """For URLs of the configuration alone: an operator may keep keys on an inner host. Never for a URL that came
    over a wire. Every other rule of a fetch holds."""

    def check(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        """Nothing is refused."""
