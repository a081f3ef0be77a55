"""The writer's connection, and how many writes become one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.model.errors import BridgeError
from bridge.store import issuing
from bridge.store.audit_chain import Tail
from bridge.store.audit_pen import AuditPen
from bridge.store.connections import is_storage_fault, open_writer, unavailable
from bridge.store.issuing import IssueWrite
from bridge.store.outcome import Outcome
from bridge.store.ports.notices import Outbox
from bridge.store.transaction import Transaction

Work = Callable[[Transaction], object] | IssueWrite


class WriterSession:
    """One writing connection. Used by one thread.

    A transaction first runs all its writes together, without savepoints. That is safe as long as every
    refusal comes before the first change of its write, which is watched, not believed. Should anything
    else go wrong, the transaction is undone and its writes run apart, each in a savepoint of its own:
    the bad one fails alone.
    """

    def __init__(self, path: Path, pen: AuditPen, outbox: Outbox | None = None) -> None:
        """Nothing is opened yet."""
        self._path, self._pen, self._outbox = path, pen, outbox
        self._connection: sqlite3.Connection | None = None
        self._tx: Transaction | None = None
        self._tail: Tail | None = None
        self._tail_is_known = False

    def begin(self) -> None:
        """Take the write lock. Raises: sqlite3.Error (busy when somebody else has it)."""
        connection = self._connection = self._connection or open_writer(self._path)
        connection.execute("BEGIN IMMEDIATE")
        if not self._tail_is_known:
            self._tail, self._tail_is_known = self._pen.tail(connection), True
        self._tx = Transaction(connection, self._pen, self._tail, self._outbox)

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Do all writes; how each ended, provided that `commit` succeeds. Raises: sqlite3.Error."""
        outcomes: list[Outcome] = []
        with Outcome() as together:
            outcomes = _run_together(self._transaction(), works)
        if together.error is None:
            return outcomes
        if isinstance(together.error, sqlite3.Error) and is_storage_fault(together.error):
            raise together.error
        self.rollback()
        self.begin()
        return [self._run_apart(work) for work in works]

    def commit(self) -> None:
        """Make it durable. Raises: sqlite3.Error; whether it is durable is then unknown, mostly not."""
        tx = self._transaction()
        # Until COMMIT has answered, where the chain ends is what the file says.
        self._tail_is_known = False
        self._connected().execute("COMMIT")
        self._tail, self._tail_is_known, self._tx = tx.tail, True, None

    def rollback(self) -> None:
        """Undo the transaction, if there is one. Raises: sqlite3.Error."""
        self._tx = None
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def discard(self) -> None:
        """Close the connection, whatever state it is in; `begin` opens a new one."""
        connection, self._connection, self._tx, self._tail_is_known = self._connection, None, None, False
        if connection is not None:
            connection.close()

    def _run_apart(self, work: Work) -> Outcome:
        tx, connection = self._transaction(), self._connected()
        tail = tx.tail
        connection.execute("SAVEPOINT write")
        with Outcome() as outcome:
            outcome.value = issuing.run(tx, [work])[0].get() if isinstance(work, IssueWrite) else work(tx)
            tx.flush()
        error = outcome.error
        if isinstance(error, sqlite3.Error) and is_storage_fault(error):
            raise error
        if error is not None:
            tx.forget()
            tx.tail = tail
            connection.execute("ROLLBACK TO write")
            if isinstance(error, sqlite3.Error):
                outcome.error = unavailable(error)
        connection.execute("RELEASE write")
        return outcome

    def _transaction(self) -> Transaction:
        if self._tx is None:
            raise AssertionError("no transaction was begun")
        return self._tx

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise AssertionError("no connection was opened")
        return self._connection


def _run_together(tx: Transaction, works: Sequence[Work]) -> list[Outcome]:
    """Raises whatever a write raised that was not a clean refusal."""
    outcomes: dict[int, Outcome] = {}
    issues: list[tuple[int, IssueWrite]] = []
    for place, work in enumerate(works):
        if isinstance(work, IssueWrite):
            issues.append((place, work))
            continue
        touched = tx.touched
        try:
            outcomes[place] = Outcome(work(tx))
        except BridgeError as error:
            if tx.touched != touched:
                raise
            outcomes[place] = Outcome(error=error)
    # All of them wait at the same time, so any order is a right one: issues come last and together.
    for (place, _), outcome in zip(issues, issuing.run(tx, [write for _, write in issues]), strict=True):
        outcomes[place] = outcome
    tx.flush()
    return [outcomes[place] for place in range(len(works))]
