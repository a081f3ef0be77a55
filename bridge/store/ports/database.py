"""One database, as all ports together, and where its schema stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bridge.store.ports.audit import AuditStore
from bridge.store.ports.authorization import GrantStore, RequestStore, SessionStore
from bridge.store.ports.clients import ClientStore
from bridge.store.ports.management import ManagementStore
from bridge.store.ports.notices import NoticeStore
from bridge.store.ports.remembered import BucketStore, BundleStore, DocumentStore, KeyStore, LeaseStore, TokenStore
from bridge.store.ports.resting import RestingStore


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where the schema stands: `current` of `latest` migrations are applied."""

    current: int
    latest: int
    pending: tuple[str, ...]


class Store(Protocol):
    """One database, as the ports above."""

    @property
    def clients(self) -> ClientStore: ...
    @property
    def management(self) -> ManagementStore: ...
    @property
    def buckets(self) -> BucketStore: ...
    @property
    def tokens(self) -> TokenStore: ...
    @property
    def keys(self) -> KeyStore: ...
    @property
    def leases(self) -> LeaseStore: ...
    @property
    def documents(self) -> DocumentStore: ...
    @property
    def bundles(self) -> BundleStore: ...
    @property
    def requests(self) -> RequestStore: ...
    @property
    def grants(self) -> GrantStore: ...
    @property
    def sessions(self) -> SessionStore: ...
    @property
    def resting(self) -> RestingStore: ...
    @property
    def notices(self) -> NoticeStore: ...
    @property
    def audit(self) -> AuditStore: ...

    def ping(self) -> None:
        """Answer, or raise Unavailable."""
        ...

    def close(self) -> None:
        """Finish waiting writes and let go of the database."""
        ...
