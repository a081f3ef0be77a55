"""Documents fetched from outside, and the right to fetch them (CIMD-14 to 16)."""

from __future__ import annotations

from typing import cast

from bridge.model.document import DocumentCopy, DocumentKind, FoundDocument
from bridge.store import statements as sql
from bridge.store.connections import Readers
from bridge.store.group_commit import GroupCommit
from bridge.store.limits import CLOCK_TOLERANCE
from bridge.store.rows import document_of, document_row
from bridge.store.transaction import Transaction

# Of five kilobytes each at most. What is not kept is fetched again by each worker that needs it.
DOCUMENT_LIMIT = 20_000


class SqliteDocuments:
    """See `ports.DocumentStore`."""

    def __init__(self, readers: Readers, commit: GroupCommit, *, limit: int) -> None:
        """`limit` copies of both kinds together."""
        self._readers, self._commit, self._limit = readers, commit, limit

    def find(self, kind: DocumentKind, url: str) -> FoundDocument:
        """As the port says."""
        row = self._readers.rows(sql.FIND_DOCUMENT, (kind.value, url, kind.value, url))[0]
        return FoundDocument(document_of(row, 2), row[0], bool(row[1]))

    def begin(self, kind: DocumentKind, url: str, *, holder: str, now: int, until: int) -> bool:
        """As the port says; one statement, so that of two who ask at once one gets it. A right that ends later
        than any that is given now is from a clock that was set back, and holds nobody off."""
        values = (kind.value, url, holder, until, now, until + CLOCK_TOLERANCE)
        return bool(self._commit.submit(lambda tx: bool(tx.change_returning(sql.BEGIN_FETCH, values))))

    def keep(self, copy: DocumentCopy, *, holder: str) -> bool:
        """As the port says."""

        def keep(tx: Transaction) -> bool:
            tx.change(sql.END_FETCH, (copy.kind.value, copy.url, holder))
            is_known = tx.row(sql.HAS_DOCUMENT, (copy.kind.value, copy.url)) is not None
            if not is_known and tx.rows(sql.COUNT_DOCUMENTS)[0][0] >= self._limit:
                return False
            tx.change(sql.KEEP_DOCUMENT, document_row(copy))
            return True

        return cast(bool, self._commit.submit(keep))

    def drop(self, copy: DocumentCopy, *, holder: str) -> None:
        """As the port says."""

        def drop(tx: Transaction) -> None:
            tx.change(sql.END_FETCH, (copy.kind.value, copy.url, holder))
            tx.change(sql.DROP_DOCUMENT, (copy.kind.value, copy.url, copy.digest, copy.fetched_at))

        self._commit.submit(drop)

    def release(self, kind: DocumentKind, url: str, *, holder: str, until: int | None = None) -> None:
        """As the port says."""
        whose = (kind.value, url, holder)
        if until is None:
            self._commit.submit(lambda tx: tx.change(sql.END_FETCH, whose))
        else:
            self._commit.submit(lambda tx: tx.change(sql.POSTPONE_FETCH, (until, *whose)))

    def sweep(self, *, before: int, ended_before: int, batch: int) -> int:
        """As the port says."""

        def sweep(tx: Transaction) -> int:
            tx.change(sql.SWEEP_FETCHES, (ended_before, batch))
            return tx.change(sql.SWEEP_DOCUMENTS, (before, batch))

        return cast(int, self._commit.submit(sweep))
