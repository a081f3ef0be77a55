"""The port of who may manage a registration (RFC 7592)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bridge.model.audit import AuditEvent


@dataclass(frozen=True, slots=True)
class Access:
    """How the management of one record stands (RFC 7592). `handle` is the last part of its
    `registration_client_uri`; `digest` the hex SHA-256 of the registration access token in force (DCR-33), which
    was made for `generation` under the record's `epoch`: another epoch has ended it."""

    client_id: str
    handle: str
    epoch: int
    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """The next generation of a registration access token: `digest` is its own, `current` what it takes the place
    of, and ends."""

    current: Access
    digest: str


class ManagementStore(Protocol):
    """Registration access tokens, as digests (RFC 7592, DCR-33). Rows go with their records."""

    def open(self, wanted: Access) -> Access:
        """The row of that client, made of `wanted` when there is none or when it is of an earlier epoch.

        Raises: RegistrationChanged when the record is not live under that epoch any more.
        """
        ...

    def by_handle(self, handle: str) -> Access | None:
        """The row that this handle names."""
        ...

    def rotate(self, rotation: Rotation, *, event: AuditEvent) -> Access | None:
        """Put the next generation in force, and `event` beside it. None, and nothing written, when `current` is not
        what is in force any more, or the record is not live under its epoch."""
        ...
