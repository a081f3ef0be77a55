"""Pages of the audit log for people: the newest rows first, and never more looked at than a part of the log.

There is an index by correlation id, by time, and by kind of event without tokens. No other column has one: each token
would pay for it. So a page is a stretch of the log, of the order of writing or of one kind's index, whose other
columns are compared row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.model.audit import AuditEventKind
from bridge.store import statements as sql
from bridge.store.connections import Row
from bridge.store.ports import AuditFilter

Query = Callable[[str, Sequence[object]], list[Row]]

# In the order of `IssuedRow`. The plus keeps SQLite on the order of writing.
ISSUED = """
SELECT rowid, time, subject, client_id, rule, json_extract(ask, '$.scopes', '$.granted')
FROM audit WHERE rowid > ? AND rowid <= ? AND +event = 'token_issued' ORDER BY rowid
"""
# In the order of `RuleUse`. With MAX, SQLite takes the other columns from the row that has it.
RULE_USES = """
SELECT CASE WHEN rule = '' THEN NULL ELSE rule END AS named, MAX(time), id, SUM(count)
FROM audit WHERE rowid > ? AND rowid <= ?
AND +event IN ('token_issued', 'refused', 'registered', 'updated', 'approved') AND (rule <> '' OR ask = '{}')
GROUP BY named
"""
_TOKENS = AuditEventKind.TOKEN_ISSUED


def page(
    query: Query, where: AuditFilter, *, before: int | None, limit: int, scan: int
) -> tuple[list[Row], int | None]:
    """The rows of one page, and before which rowid the next one begins; None when there is none."""
    # Two questions: for both at once SQLite would read the whole log.
    first, last = query(sql.FIRST_AUDIT_ROW, ())[0][0], query(sql.LAST_AUDIT_ROW, ())[0][0]
    if first is None:
        return [], None
    before = last + 1 if before is None else min(before, last + 1)
    span, given = _span(where.event)
    low = _low(query, span, given, before=before, scan=scan)
    terms, values = _terms(where)
    statement = (
        f"SELECT {sql.AUDIT} FROM audit WHERE rowid < ? AND rowid >= ? {span} {terms} ORDER BY rowid DESC LIMIT ?"
    )
    rows = query(statement, (before, first if low is None else low, *given, *values, limit))
    if len(rows) == limit:
        # Perhaps there is none behind the last one; that the next page says.
        return rows, int(rows[-1][0])
    return rows, None if low is None or low <= first else low


def _span(event: AuditEventKind | None) -> tuple[str, tuple[object, ...]]:
    """The condition that chooses the walk: along the index of one kind of event, or along the order of writing."""
    if event is None:
        return "", ()
    if event is _TOKENS:
        return "AND +event = ?", (event.value,)
    # The very words of the partial index, so that it is used.
    return "AND event = ? AND event <> 'token_issued'", (event.value,)


def _low(query: Query, span: str, given: tuple[object, ...], *, before: int, scan: int) -> int | None:
    """The lowest rowid that this page looks at; None when it looks at all that is left."""
    if not given or given[0] == _TOKENS.value:
        # Rows are numbered one by one, and only the oldest are ever removed.
        return max(before - scan, 0)
    statement = f"SELECT rowid FROM audit WHERE rowid < ? {span} ORDER BY rowid DESC LIMIT 1 OFFSET ?"
    found = query(statement, (before, *given, scan - 1))
    return int(found[0][0]) if found else None


def _terms(where: AuditFilter) -> tuple[str, list[object]]:
    """The conditions that rows are compared with one by one."""
    terms, values = list[str](), list[object]()
    for column in ("subject", "rule", "outcome", "reason", "door"):
        wanted = getattr(where, column)
        if wanted:
            terms.append(f"AND +{column} = ?")
            values.append(wanted)
    if where.client:
        terms.append("AND (+client_id = ? OR +subject = ?)")
        values += [where.client, where.client]
    return " ".join(terms), values
