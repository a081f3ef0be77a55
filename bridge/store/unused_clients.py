"""Clients by the time of their last use: stretches of one index, those first that nobody has used for longest.

Whatever else is asked for is compared row by row: with it, one part may look at many records and find few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.store.connections import Row
from bridge.store.listing import behind
from bridge.store.ports import ClientFilter
from bridge.store.rows import CLIENT_FIELDS
from bridge.store.statements import CLIENT

Query = Callable[[str, Sequence[object]], list[Row]]

_ID, _USED = CLIENT_FIELDS.index("client_id"), CLIENT_FIELDS.index("last_used_at")
_WALK = "FROM clients INDEXED BY clients_by_use WHERE (last_used_at, client_id) > (?, ?)"
_ORDER = "ORDER BY last_used_at, client_id LIMIT ?"


def part(
    query: Query, where: ClientFilter, *, until: int, after: tuple[int, str], limit: int, scan: int
) -> tuple[list[Row], tuple[int, str] | None]:
    """The rows of one part, and behind which time and name the next one begins; None when there is none."""
    terms, values = _terms(where)
    edge: tuple[int, str] | None = None
    # One upper bound at a time: of two, SQLite would use the first and walk on to there.
    walk, given = f"{_WALK} AND last_used_at <= ?", [*after, until]
    if terms:
        found = query(f"SELECT last_used_at, client_id {walk} {_ORDER} OFFSET ?", [*given, 1, scan - 1])
        if found:
            edge = (found[0][0], found[0][1])
            walk, given = f"{_WALK} AND (last_used_at, client_id) <= (?, ?)", [*after, *edge]
    rows = query(f"SELECT {CLIENT} {walk}{terms} {_ORDER}", [*given, *values, limit])
    return rows, (rows[-1][_USED], rows[-1][_ID]) if len(rows) == limit else edge


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
