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
        return query(*_statement(where, [], [], limit=limit, after=after))
    low, high = where.subject_prefix, _behind(where.subject_prefix)
    upper = [] if high is None else [high]
    same = query(
        *_statement(
            where,
            ["subject = client_id", "client_id >= ?", *(["client_id < ?"] if upper else [])],
            [low, *upper],
            limit=limit,
            after=after,
        )
    )
    other = query(
        *_statement(
            where,
            ["subject <> client_id", "subject >= ?", *(["subject < ?"] if upper else [])],
            [low, *upper],
            limit=limit,
            after=after,
            index="clients_by_subject",
        )
    )
    return sorted(same + other)[:limit]


def _statement(
    where: ClientFilter, terms: list[str], values: list[object], *, limit: int, after: str, index: str | None = None
) -> tuple[str, list[object]]:
    narrow: str | None = None
    terms, values = ["client_id > ?", *terms], [after, *values]
    for column, value, name in (
        ("trust_domain", where.trust_domain, "clients_by_trust_domain"),
        ("state", None if where.state is None else where.state.value, "clients_by_state"),
        ("rule", where.rule, "clients_by_rule"),
        ("parent", where.parent, "clients_by_parent"),
    ):
        if value is None:
            continue
        terms.append(f"{column} = ?")
        values.append(value)
        # The last that applies is the narrowest; nearly all records are active, so that index has none.
        if value != ClientState.ACTIVE.value or column != "state":
            narrow = name
            if column == "state":
                terms.append("state <> 'active'")
    if index is None and len(terms) > 1 and "subject = client_id" not in terms:
        index = narrow
    hint = f" INDEXED BY {index}" if index is not None else ""
    return f"SELECT {CLIENT} FROM clients{hint} WHERE {' AND '.join(terms)} ORDER BY client_id LIMIT ?", [
        *values,
        limit,
    ]


def _behind(prefix: str) -> str | None:
    """The smallest text behind everything that begins with `prefix`; None when there is none."""
    while prefix:
        head, last = prefix[:-1], ord(prefix[-1])
        if last < 0x10FFFF:
            # Surrogates are no characters of stored text.
            return head + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = head
    return None
