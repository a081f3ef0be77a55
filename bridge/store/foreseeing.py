"""What a registration would come to, read and nothing else: no row is written, no token of a bucket taken.

The same questions in the same order as `registering.ensure`, asked of a reader that cannot write.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.client import ProposedClient
from bridge.store import admission, registering
from bridge.store import statements as sql
from bridge.store.connections import Readers, Row
from bridge.store.limits import Bucket, Rate, Room
from bridge.store.ports import Ensured, RegistrationLimits


class Outlook:
    """The store as the limits look at it (`admission.Books`), over connections that only read."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows. Raises: Unavailable."""
        return self._readers.rows(statement, parameters)

    def room(self, quota: str) -> Room:
        """How many live records there are."""
        return Room(*self.rows(sql.ROOM, (quota,))[0])

    def bucket(self, rate: Rate) -> Bucket:
        """The bucket as it stands. What is taken from it is taken nowhere else."""
        return Bucket(*(self._readers.row(sql.BUCKET, (rate.limit, rate.key)) or ()))


def foresee(readers: Readers, proposed: ProposedClient, limits: RegistrationLimits, *, now: int) -> Ensured | None:
    """As `ports.ClientStore.foresee`."""
    owner = registering.owner_of(readers.rows(sql.FIND_OWNER, registering.question(proposed))[0], proposed, now)
    found = registering.settled(owner, proposed, now)
    if found is None:
        admission.require(Outlook(readers), registering.need(owner, proposed, limits, now), now=now)
    return found
