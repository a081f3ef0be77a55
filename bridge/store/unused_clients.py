"""Clients by the time of their last use: stretches of one index, those first that nobody has used for longest.

Whatever else is asked for is compared row by row: with it, one part may look at many records and find few. Unless few
records meet it at all, of any age: these are found by its own index, and sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.model.client import ClientState
from bridge.store.connections import Row
from bridge.store.listing import behind
from bridge.store.ports import ClientFilter
from bridge.store.rows import CLIENT_FIELDS
from bridge.store.statements import CLIENT

Query = Callable[[str, Sequence[object]], list[Row]]

_ID, _USED = CLIENT_FIELDS.index("client_id"), CLIENT_FIELDS.index("last_used_at")
_ORDER = "ORDER BY last_used_at, client_id LIMIT ?"
# Columns with an index of their own, in the very words of those that are partial.
_CONDITION = {
    "parent": "parent = ?",
    "rule": "rule = ?",
    "state": "state = ? AND state <> 'active'",
    "trust_domain": "trust_domain = ?",
}


def part(
    query: Query, where: ClientFilter, *, until: int, after: tuple[int, str], limit: int, scan: int
) -> tuple[list[Row], tuple[int, str] | None]:
    """The rows of one part, and behind which time and name the next one begins; None when there is none."""
    terms, values = _terms(where)
    index, column = _narrowest(query, where, scan)
    edge: tuple[int, str] | None = None
    # One upper bound at a time: of two, SQLite would use the first and walk on to there.
    bounds, given = "(last_used_at, client_id) > (?, ?) AND last_used_at <= ?", [*after, until]
    if terms and column is None:
        statement = f"SELECT last_used_at, client_id FROM clients {index} WHERE {bounds} {_ORDER} OFFSET ?"
        found = query(statement, [*given, 1, scan - 1])
        if found:
            edge = (found[0][0], found[0][1])
            bounds, given = (
                "(last_used_at, client_id) > (?, ?) AND (last_used_at, client_id) <= (?, ?)",
                [*after, *edge],
            )
    if column is not None:
        bounds, given = f"{_CONDITION[column]} AND {bounds}", [_value(where, column), *given]
    rows = query(f"SELECT {CLIENT} FROM clients {index} WHERE {bounds}{terms} {_ORDER}", [*given, *values, limit])
    return rows, (rows[-1][_USED], rows[-1][_ID]) if len(rows) == limit else edge


def _narrowest(query: Query, where: ClientFilter, scan: int) -> tuple[str, str | None]:
    """The index to look through: that of a condition which fewer than `scan` records meet, with its column, else that
    of the last use."""
    for column, condition in _CONDITION.items():
        value = _value(where, column)
        if value is None or value == ClientState.ACTIVE.value:
            continue
        index = f"INDEXED BY clients_by_{column}"
        if not query(f"SELECT 1 FROM clients {index} WHERE {condition} LIMIT 1 OFFSET ?", [value, scan - 1]):
            return index, column
    return "INDEXED BY clients_by_use", None


def _value(where: ClientFilter, column: str) -> str | None:
    value = getattr(where, column)
    return value.value if isinstance(value, ClientState) else value


def _terms(where: ClientFilter) -> tuple[str, list[object]]:
    """The conditions that rows are compared with one by one."""
    state = None if where.state is None else where.state.value
    low = where.subject_prefix or None
    wanted = (
        ("trust_domain = ?", where.trust_domain),
        ("rule = ?", where.rule),
        ("parent = ?", where.parent),
        ("state = ?", state),
        ("subject >= ?", low),
        ("subject < ?", None if low is None else behind(low)),
    )
    return (
        "".join(f" AND +{term}" for term, value in wanted if value is not None),
        [value for _, value in wanted if value is not None],
    )
