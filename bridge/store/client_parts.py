"""Clients for people: stretches of an index by name, and never more looked at than a part of it.

Beside `listing`, whose pages are exact and full, so that one may look at every record before it finds the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.model.client import ClientState
from bridge.store.connections import Row
from bridge.store.ports import ClientFilter
from bridge.store.statements import CLIENT

Query = Callable[[str, Sequence[object]], list[Row]]

# The next identity that has instances, one step along the index each.
NEXT_PARENT = "SELECT MIN(parent) FROM clients WHERE parent > ? AND parent < ?"
FIRST_PARENT = "SELECT MIN(parent) FROM clients WHERE parent >= ? AND parent < ?"


def part(
    query: Query, where: ClientFilter, *, after: str, until: str, limit: int, scan: int
) -> tuple[list[Row], str | None]:
    """The rows of one page with a `client_id` above `after` and below `until`, and behind which name the next one
    begins; None when there is none. Prefixes are the caller's: they are such a stretch."""
    index, walked, rest = _walk(where)
    own = "".join(f"AND {term} " for term, _ in walked)
    given = [value for _, value in walked if value is not None]
    # One upper bound: of two, SQLite would use the first and walk on to there.
    bound, edge = ("client_id < ?", until), None
    if rest:
        statement = f"SELECT client_id FROM clients {index} WHERE client_id > ? AND {bound[0]} {own}"
        found = query(f"{statement}ORDER BY client_id LIMIT 1 OFFSET ?", [after, until, *given, scan - 1])
        if found:
            edge = str(found[0][0])
            bound = ("client_id <= ?", edge)
    terms = "".join(f"AND +{term} " for term, _ in rest)
    statement = f"SELECT {CLIENT} FROM clients {index} WHERE client_id > ? AND {bound[0]} {own}{terms}"
    values = [after, bound[1], *given, *(value for _, value in rest)]
    rows = query(f"{statement}ORDER BY client_id LIMIT ?", [*values, limit])
    return rows, str(rows[-1][0]) if len(rows) == limit else edge


def parents(query: Query, *, after: str, low: str, until: str, limit: int) -> list[str]:
    """The names of identities that have instances, above `after`, from `low` on and below `until`, in order."""
    found: list[str] = []
    while len(found) < limit:
        last = found[-1] if found else after
        statement, start = (NEXT_PARENT, last) if last >= low else (FIRST_PARENT, low)
        name = query(statement, (start, until))[0][0]
        if name is None:
            break
        found.append(str(name))
    return found


_Terms = list[tuple[str, object]]


def _walk(where: ClientFilter) -> tuple[str, _Terms, _Terms]:
    """The index to walk, with the conditions that are its own, and those that rows are compared with."""
    state = where.state
    rest: _Terms = [
        (f"{column} = ?", value)
        for column, value in (("trust_domain", where.trust_domain), ("rule", where.rule), ("parent", where.parent))
        if value is not None
    ]
    if state is not None and state is not ClientState.ACTIVE:
        # The very words of the partial index: nearly all records are active, and not in it.
        return "INDEXED BY clients_by_state", [("state = ?", state.value), ("state <> 'active'", None)], rest
    if state is not None:
        rest.insert(0, ("state = ?", state.value))
    if not rest or rest[-1][0].startswith("state"):
        return "", [], rest
    narrowest = rest.pop()
    return f"INDEXED BY clients_by_{narrowest[0].partition(' ')[0]}", [narrowest], rest
