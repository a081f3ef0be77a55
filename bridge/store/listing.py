"""Lists of clients: pages ordered by `client_id`, each page one walk along one index.

Not portable as it stands: `INDEXED BY` keeps SQLite, which has no statistics here, from walking the
index of a million active records to find ten revoked ones. PostgreSQL needs no such word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.model.client import ClientState
from bridge.store.connections import Row
from bridge.store.ports import ClientFilter
from bridge.store.statements import CLIENT

Query = Callable[[str, Sequence[object]], list[Row]]


def page(query: Query, where: ClientFilter, *, limit: int, after: str) -> list[Row]:
    """The rows of one page. `query` runs a statement and returns its rows.

    A prefix of the subject is mostly a prefix of the `client_id` too, and then a range of the order
    itself. Records named otherwise (instances, statements) are few per subject and found by theirs.
    """
    if not where.subject_prefix:
        terms, values, index = _terms(where)
        return _page(query, ["client_id > ?", *terms], [after, *values], index, limit)
    low, high = where.subject_prefix, behind(where.subject_prefix)
    terms, values, _ = _terms(where)
    # One lower bound: of two, SQLite would use the first and walk from there.
    start = "client_id > ?" if after >= low else "client_id >= ?"
    same = _page(
        query,
        ["subject = client_id", start, *_upper("client_id", high), *terms],
        [max(after, low), *_given(high), *values],
        None,
        limit,
    )
    other = _page(
        query,
        ["subject <> client_id", "subject >= ?", *_upper("subject", high), "+client_id > ?", *terms],
        [low, *_given(high), after, *values],
        "clients_by_subject",
        limit,
    )
    return sorted(same + other, key=lambda row: str(row[0]))[:limit]


def _page(query: Query, terms: list[str], values: list[object], index: str | None, limit: int) -> list[Row]:
    hint = f" INDEXED BY {index}" if index is not None else ""
    statement = f"SELECT {CLIENT} FROM clients{hint} WHERE {' AND '.join(terms)} ORDER BY client_id LIMIT ?"
    return query(statement, [*values, limit])


def _terms(where: ClientFilter) -> tuple[list[str], list[object], str | None]:
    """The conditions on single columns, and the index of the one that is likely the narrowest: the last."""
    terms: list[str] = []
    values: list[object] = []
    index: str | None = None
    for column, value in (
        ("trust_domain", where.trust_domain),
        ("rule", where.rule),
        ("state", None if where.state is None else where.state.value),
        ("parent", where.parent),
    ):
        if value is None:
            continue
        terms.append(f"{column} = ?")
        values.append(value)
        if column == "state" and value == ClientState.ACTIVE.value:
            # Nearly all records are active: that index leaves them out.
            continue
        if column == "state":
            terms.append("state <> 'active'")
        index = f"clients_by_{column}"
    return terms, values, index


def _upper(column: str, high: str | None) -> list[str]:
    return [] if high is None else [f"{column} < ?"]


def _given(high: str | None) -> list[str]:
    return [] if high is None else [high]


def behind(prefix: str) -> str | None:
    """The smallest text behind everything that begins with `prefix`; None when there is none."""
    while prefix:
        head, last = prefix[:-1], ord(prefix[-1])
        if last < 0x10FFFF:
            # Surrogates are no characters of stored text.
            return head + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = head
    return None
