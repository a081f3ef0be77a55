"""Finding clients: by the beginning of their names as a tree, or by what they are as a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bridge.model.client import ClientRecord
from bridge.registration.naming import INSTANCE
from bridge.store.ports import FIRST_USE, USE_STEP, ClientFilter, ClientStore

# Above every name, and directly above those of instances.
LAST = "\U0010ffff"
_BEHIND_INSTANCES = INSTANCE[:-1] + chr(ord(INSTANCE[-1]) + 1)
_BEFORE_SURROGATES, _BEHIND_SURROGATES = "\ud7ff", "\ue000"
# Records that one page looks at, and instances under one line.
SCAN = 5_000
FEW = 5
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Head:
    """A name at the top of the tree: a record, or None for an identity that has instances only; and the first of its
    instances, with whether there are more."""

    name: str
    record: ClientRecord | None
    instances: Sequence[ClientRecord]
    more: bool


def tree(clients: ClientStore, prefix: str, *, after: str, limit: int) -> tuple[list[Head], str | None]:
    """The names that begin with `prefix`, behind `after`, each with its instances; and behind which name the next page
    begins, None on the last."""
    until = prefix + LAST
    records, further = _records(clients, prefix, after=after, until=until, limit=limit + 1)
    identities = clients.parents(after=after, low=prefix, until=until, limit=limit + 1)
    names = sorted({*records, *identities})
    if further is not None:
        # Behind it there may be records that were not looked at: identities there come with them.
        names = [name for name in names if name <= further]
    heads = [_head(clients, name, records.get(name)) for name in names[:limit]]
    if len(names) > limit:
        return heads, names[limit - 1]
    return heads, further


def listed(
    clients: ClientStore, where: ClientFilter, prefix: str, *, after: str, limit: int
) -> tuple[list[ClientRecord], str | None]:
    """Records that meet `where` and whose `client_id` begins with `prefix`, those behind `after`; and behind which the
    next page begins, None on the last. A page may be empty and not the last."""
    start = max(after, _below(prefix))
    part = clients.part(where, after=start, until=prefix + LAST, limit=limit, scan=SCAN)
    return part.records, part.after


def unused(
    clients: ClientStore, where: ClientFilter, prefix: str, *, days: int, after: str, now: int, limit: int
) -> tuple[list[ClientRecord], str | None]:
    """Records that meet `where`, whose subject begins with `prefix`, and that had no token for so many days, those
    first that had none for longest; and behind what the next page begins, None on the last. A page may be empty and
    not the last."""
    time, dash, name = after.partition("-")
    begins = (int(time), name) if dash and time.isascii() and time.isdigit() and len(time) < 16 else FIRST_USE
    # The stored time of the last use may be behind it: the doubt is the client's.
    until = now - days * _DAY - USE_STEP
    wanted = replace(where, subject_prefix=prefix or None)
    part = clients.unused(wanted, until=until, after=begins, limit=limit, scan=SCAN)
    return part.records, None if part.after is None else f"{part.after[0]}-{part.after[1]}"


def _records(
    clients: ClientStore, prefix: str, *, after: str, until: str, limit: int
) -> tuple[dict[str, ClientRecord], str | None]:
    """Records by name, without the instances of others, whose names lie side by side; and behind which name nobody
    looked, None where all was looked at."""
    start, found = max(after, _below(prefix)), dict[str, ClientRecord]()
    stretches = [(start, min(until, INSTANCE)), (max(start, _below(_BEHIND_INSTANCES)), until)]
    if prefix.startswith(INSTANCE):
        stretches = [(start, until)]
    for low, high in stretches:
        if low >= high:
            continue
        part = clients.part(ClientFilter(), after=low, until=high, limit=limit - len(found), scan=SCAN)
        found |= {record.client_id: record for record in part.records}
        if part.after is not None:
            return found, part.after
    return found, None


def _head(clients: ClientStore, name: str, record: ClientRecord | None) -> Head:
    part = clients.part(ClientFilter(parent=name), after="", until=LAST, limit=FEW + 1, scan=SCAN)
    return Head(name, record, part.records[:FEW], len(part.records) > FEW)


def _below(name: str) -> str:
    """The text directly below a name, as far as names go; "" below all."""
    if not name:
        return ""
    # Between these two stand the halves of surrogate pairs, which are no text.
    sign = _BEFORE_SURROGATES if name[-1] == _BEHIND_SURROGATES else chr(ord(name[-1]) - 1)
    return name[:-1] + sign + LAST
