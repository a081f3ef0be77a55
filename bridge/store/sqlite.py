"""The SQLite store: the ports over one file, shared by any number of processes of one machine."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from bridge.model.errors import StartRefused, Unavailable
from bridge.model.reasons import Reason
from bridge.store.audit_chain import ChainKey
from bridge.store.audit_log import SqliteAudit
from bridge.store.audit_pen import AuditPen
from bridge.store.buckets import SqliteBuckets
from bridge.store.clients import SqliteClients
from bridge.store.connections import Readers
from bridge.store.documents import DOCUMENT_LIMIT, SqliteDocuments
from bridge.store.exhausted import Exhausted
from bridge.store.gate import WriterGate
from bridge.store.grants import SqliteGrants
from bridge.store.group_commit import PATIENCE, Aside, GroupCommit
from bridge.store.management import SqliteManagement
from bridge.store.migrations import require_current
from bridge.store.notices import SqliteNotices
from bridge.store.polled_bundles import SqliteBundles
from bridge.store.ports.notices import Outbox
from bridge.store.remembered import SqliteKeys, SqliteLeases, SqliteTokens
from bridge.store.requests import REQUEST_LIMIT, SqliteRequests
from bridge.store.resting import SqliteResting
from bridge.store.session import WriterSession
from bridge.store.sign_ins import SqliteSessions
from bridge.store.transaction import Transaction

# At a hundred bytes each about half a gigabyte; an hour of a thousand proofs a second fits.
MARKER_LIMIT = 5_000_000

PROBE = """
INSERT INTO probes (one, written) VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET written = probes.written + 1
"""


@dataclass(frozen=True, slots=True)
class _Limits:
    """How many of each there may be at most."""

    markers: int
    documents: int
    requests: int


class SqliteStore:
    """See `ports.Store`. Open it after a fork, in the process that uses it; share it between threads."""

    def __init__(
        self,
        path: Path,
        gate: WriterGate,
        key: ChainKey,
        pen: AuditPen,
        *,
        patience: float,
        limits: _Limits,
        aside: Aside,
        outbox: Outbox | None,
    ):
        """Use `open`."""
        self._gate = gate
        self._readers = Readers(path)
        self._commit = GroupCommit(WriterSession(path, pen, outbox), gate, patience=patience, aside=aside)
        self._failed = False
        self._lock = threading.Lock()
        self.writer = pen.writer
        exhausted = Exhausted()
        self.clients = SqliteClients(self._readers, self._commit, exhausted, marker_limit=limits.markers)
        self.management = SqliteManagement(self._readers, self._commit)
        self.buckets = SqliteBuckets(self._readers, self._commit, exhausted)
        self.tokens = SqliteTokens(self._readers, self._commit, marker_limit=limits.markers)
        self.keys = SqliteKeys(self._readers, self._commit)
        self.leases = SqliteLeases(self._commit)
        self.documents = SqliteDocuments(self._readers, self._commit, limit=limits.documents)
        self.bundles = SqliteBundles(self._readers, self._commit)
        self.requests = SqliteRequests(self._readers, self._commit, exhausted, limit=limits.requests)
        self.grants = SqliteGrants(self._readers, self._commit)
        self.sessions = SqliteSessions(self._readers, self._commit)
        self.resting = SqliteResting(self._readers, self._commit)
        self.notices = SqliteNotices(self._readers, self._commit)
        self.audit = SqliteAudit(path, self._readers, self._commit, key)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        audit_key: bytes,
        clock: Callable[[], int],
        writer: str | None = None,
        patience: float = PATIENCE,
        marker_limit: int = MARKER_LIMIT,
        document_limit: int = DOCUMENT_LIMIT,
        request_limit: int = REQUEST_LIMIT,
        aside: Aside = nullcontext,
        outbox: Outbox | None = None,
    ) -> SqliteStore:
        """Open a store whose schema is that of this release.

        `audit_key`: at least 32 bytes, the same for every process of this store. `clock`: epoch seconds.
        `writer`: the name of this process's audit chain, never used before; made up when None.
        `patience`: seconds a caller waits for its write, and `aside` what its thread does so in.
        `outbox`: which changes of records somebody is told of; None: none, and nothing is queued. Raises: StartRefused.
        """
        require_current(path)
        try:
            gate = WriterGate(path)
        except OSError as error:
            raise StartRefused([f"{error.filename or path}: {error.strerror}"]) from error
        key = ChainKey(audit_key)
        pen = AuditPen(key, writer or secrets.token_hex(8), clock)
        limits = _Limits(marker_limit, document_limit, request_limit)
        return cls(path, gate, key, pen, patience=patience, limits=limits, aside=aside, outbox=outbox)

    def ping(self) -> None:
        """Take the write lock and let it go; after a failure of any write, really write, so that a full disk is seen.

        Raises: Unavailable.
        """
        with self._lock:
            # Before the probe is made: if that fails, too, it is noted anew.
            probe, self._commit.failed = self._failed or self._commit.failed, False
        try:
            self._readers.rows("SELECT 1 FROM marker_usage")
            self._commit.submit(_probe if probe else _touch_nothing)
        except Unavailable:
            with self._lock:
                self._failed = True
            raise
        with self._lock:
            self._failed = False

    def close(self) -> None:
        """As the port says. Raises: Unavailable when the database did not let go of a waiting write."""
        ended = self._commit.close()
        self._readers.close()
        if not ended:
            raise Unavailable(Reason.STORE_UNAVAILABLE, "the database did not let go; waiting writes were given up")
        self._gate.close()


def _touch_nothing(tx: Transaction) -> None:
    """A transaction that takes the lock and changes nothing."""


def _probe(tx: Transaction) -> None:
    tx.change(PROBE)
