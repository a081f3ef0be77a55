"""Which policies the audit log knows to be in force, so that a change that nobody saw leaves one row all the same."""

from __future__ import annotations

from collections.abc import Callable

from bridge.model.audit import AuditEvent
from bridge.store.transaction import Transaction

# In logs of releases that noted nothing, so many of the last rows are looked at.
_LATE_ROWS = 1000
NOTED = "SELECT version FROM noted_policies WHERE one = 1"
NOTE = """
INSERT INTO noted_policies (one, version) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET version = excluded.version
"""
# The plus keeps SQLite on the order of writing.
LAST_VERSION = """
SELECT policy_version FROM audit WHERE rowid > (SELECT MAX(rowid) FROM audit) - ? AND +policy_version <> ''
ORDER BY rowid DESC LIMIT 1
"""


def note_policies(tx: Transaction, version: str, event: Callable[[str], AuditEvent | None]) -> bool:
    """As `ports.AuditStore` says."""
    row = tx.row(NOTED)
    if row is not None and row[0] == version:
        return False
    if row is None:
        row = tx.row(LAST_VERSION, (_LATE_ROWS,))
    tx.change(NOTE, (version,))
    before = "" if row is None else str(row[0])
    made = None if before == version else event(before)
    if made is not None:
        tx.audit(made)
    return made is not None
