"""The uses of grants in one commit: codes are redeemed and refresh tokens rotated where the token is written.

As in `issuing`, one read answers for all uses that wait for the commit, and each is decided in memory in their
order. Of two that redeem one code in the same commit the second finds it used by the first (T-33).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.model.authority import text_of
from bridge.model.authorization import GrantUse
from bridge.store import authorization_statements as sql
from bridge.store.transaction import Transaction

# Asked: an array of grant ids. Answer: an array of arrays, of those that are there.
GRANTS_IN_USE = """
SELECT json_group_array(json_array(
    grant_id, code_expires_at, ends_at, generation, code_used_at, refresh_expires_at, ended_at, actor, epoch))
FROM grants WHERE grant_id IN (SELECT value FROM json_each(?))
"""


@dataclass(slots=True)
class _Standing:
    """How a grant stands in this commit. Times in epoch seconds; see `model.authorization.Grant`."""

    grant_id: str
    code_expires_at: int
    ends_at: int
    generation: int
    code_used_at: int | None
    refresh_expires_at: int | None
    ended_at: int | None
    actor: str | None
    epoch: str | None
    authorities: str = "[]"


class Redeeming:
    """The grants that one commit uses."""

    def __init__(self, tx: Transaction, wanted: Sequence[GrantUse]) -> None:
        """One read for all of `wanted`, none for none; no other use may be noted."""
        self._standing: dict[str, _Standing] = {}
        self._used: dict[str, _Standing] = {}
        if wanted:
            asked = json.dumps([use.grant_id for use in wanted])
            rows = json.loads(tx.rows(GRANTS_IN_USE, (asked,))[0][0])
            self._standing = {row[0]: _Standing(*row) for row in rows}

    def is_spent(self, use: GrantUse, now: int) -> bool:
        """Whether this use cannot be, for whatever reason: whoever looks at the grant again finds which.

        The actor is set by whoever redeems the code, and is the same from then on, be it nobody."""
        grant = self._standing.get(use.grant_id)
        if grant is None or grant.ended_at is not None or grant.ends_at <= now:
            return True
        if use.redeems_code:
            is_other = grant.actor is not None and grant.actor != use.actor
            return is_other or grant.code_used_at is not None or grant.code_expires_at <= now
        is_in_force = use.generation > 0 and grant.generation == use.generation and grant.code_used_at is not None
        if not is_in_force or grant.refresh_expires_at is None or grant.refresh_expires_at <= now:
            return True
        return grant.actor != use.actor

    def note(self, use: GrantUse, now: int) -> None:
        """A use that is not spent."""
        grant = self._used[use.grant_id] = self._standing[use.grant_id]
        if use.redeems_code:
            grant.code_used_at, grant.actor = now, use.actor
            grant.epoch = use.epoch or grant.epoch
        grant.generation, grant.refresh_expires_at = use.next_generation, use.refresh_expires_at
        grant.ends_at = max(grant.ends_at, use.ends_at)
        grant.authorities = text_of(use.authorities)

    def write(self, tx: Transaction) -> None:
        """Store what was noted."""
        if self._used:
            tx.change_many(sql.USE_GRANT, [_row(one) for one in self._used.values()])


def _row(one: _Standing) -> tuple[object, ...]:
    changed = one.code_used_at, one.generation, one.refresh_expires_at, one.ends_at, one.actor, one.epoch
    return (*changed, one.authorities, one.grant_id)
