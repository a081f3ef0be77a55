"""The ports: small protocols of atomic verbs that every store implements and one contract suite holds.

All times are epoch seconds, UTC. Every method may raise `Unavailable`; nothing was written then. A
write is durable when the method returns. Those of the code flow are in `authorization`.
"""

from __future__ import annotations

from bridge.store.ports.audit import (
    AskRow,
    AuditFilter,
    AuditPage,
    AuditStore,
    ChainFault,
    ChainHead,
    ChainTail,
    CheckedRows,
    IssuedRow,
    ReadPlace,
    RuleUse,
)
from bridge.store.ports.authorization import LATEST, GrantStore, RequestStore, SessionStore, SweptFlow
from bridge.store.ports.clients import ClientStore
from bridge.store.ports.database import SchemaStatus, Store
from bridge.store.ports.management import Access, ManagementStore, Rotation
from bridge.store.ports.notices import Notice, NoticeState, NoticeStore, Outbox, QueuedNotice, QueueStanding
from bridge.store.ports.records import (
    FIRST_USE,
    USE_STEP,
    Changed,
    ClientFilter,
    ClientPart,
    Ensured,
    Found,
    Issue,
    RegistrationLimits,
    Stale,
    Swept,
    UnusedPart,
    Waiting,
)
from bridge.store.ports.remembered import BucketStore, BundleStore, DocumentStore, KeyStore, LeaseStore, TokenStore
from bridge.store.ports.resting import RestingGrant, RestingLease, RestingStore, RestingToken, TokenPage

__all__ = [
    "FIRST_USE",
    "LATEST",
    "USE_STEP",
    "Access",
    "AskRow",
    "AuditFilter",
    "AuditPage",
    "AuditStore",
    "BucketStore",
    "BundleStore",
    "ChainFault",
    "ChainHead",
    "ChainTail",
    "Changed",
    "CheckedRows",
    "ClientFilter",
    "ClientPart",
    "ClientStore",
    "DocumentStore",
    "Ensured",
    "Found",
    "GrantStore",
    "Issue",
    "IssuedRow",
    "KeyStore",
    "LeaseStore",
    "ManagementStore",
    "Notice",
    "NoticeState",
    "NoticeStore",
    "Outbox",
    "QueueStanding",
    "QueuedNotice",
    "ReadPlace",
    "RegistrationLimits",
    "RequestStore",
    "RestingGrant",
    "RestingLease",
    "RestingStore",
    "RestingToken",
    "Rotation",
    "RuleUse",
    "SchemaStatus",
    "SessionStore",
    "Stale",
    "Store",
    "Swept",
    "SweptFlow",
    "TokenPage",
    "TokenStore",
    "UnusedPart",
    "Waiting",
]
