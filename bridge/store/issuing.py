"""The hot write: what stands behind an issued token, and everything that takes the same way.

All issues that wait for one commit are checked with one read, decided in memory, and written with one
statement per table. The writer holds the write lock from before the read on, so nothing can change in
between. Compared with a few statements per issue this saves most calls into SQLite, each of which lets
go of the interpreter and may have to wait for it while every other process waits for the lock.

The JSON functions are SQLite's names for what other engines also have (`json_agg`, `jsonb_to_recordset`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.model.authority import text_of
from bridge.model.errors import BridgeError, GrantSpent, RegistrationChanged
from bridge.model.identity import Marker
from bridge.model.reasons import Reason
from bridge.store import statements as sql
from bridge.store.audit_chain import Line, line_of
from bridge.store.claims import Claims
from bridge.store.outcome import Outcome
from bridge.store.ports import USE_STEP, Issue
from bridge.store.redeeming import Redeeming
from bridge.store.transaction import Transaction

# Asked: an array of [client_id, member, subject]. Answer: one array of arrays, in that order.
CHECK = """
SELECT json_group_array(json_array(
    c.state, c.epoch, c.expires_at, c.last_used_at, m.state, m.epoch, m.expires_at, m.last_used_at,
    EXISTS (SELECT 1 FROM tombstones AS t WHERE t.subject IN (asked.subject, asked.client_id))))
FROM (SELECT json_extract(value, '$[0]') AS client_id, json_extract(value, '$[1]') AS member,
             json_extract(value, '$[2]') AS subject
      FROM json_each(?)) AS asked
LEFT JOIN clients AS c ON c.client_id = asked.client_id
LEFT JOIN members AS m ON m.client_id = asked.client_id AND m.spiffe_id = asked.member
"""

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

Seen = Sequence[object]
_Use = tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class IssueWrite:
    """An issue, or a part of one: a row alone (`issue` None), or markers alone. `marker_limit`: how many
    markers the store may hold."""

    issue: Issue | None
    line: Line | None
    markers: tuple[Marker, ...]
    now: int
    marker_limit: int

    @classmethod
    def of(cls, issue: Issue, *, now: int, marker_limit: int) -> IssueWrite:
        """The write for an issue. Made in the thread that asks."""
        return cls(issue, line_of(issue.event), issue.markers, now, marker_limit)


def granularity(idle_expiry: int | None) -> int:
    """By how many seconds a record's last use must move to be worth a write."""
    return USE_STEP if idle_expiry is None else max(1, min(USE_STEP, idle_expiry // 10))


def run(tx: Transaction, writes: Sequence[IssueWrite]) -> list[Outcome]:
    """Do them all, in order. One that is refused changes nothing. Raises: sqlite3.Error."""
    issues = [write.issue for write in writes if write.issue is not None]
    seen = iter(_check(tx, issues))
    claims = Claims(tx, [marker for write in writes for marker in write.markers])
    redeeming = Redeeming(tx, [issue.use for issue in issues if issue.use is not None])
    uses = _Uses()
    outcomes = []
    for write in writes:
        row = next(seen) if write.issue is not None else None
        error = _refusal(write, row, claims, redeeming)
        if error is None:
            claims.claim(write.markers)
            if write.line is not None:
                tx.audit_line(write.line)
            if write.issue is not None and row is not None:
                if write.issue.use is not None:
                    redeeming.note(write.issue.use, write.now)
                uses.note(write.issue, row, write.now)
        outcomes.append(Outcome(error=error))
    claims.write(tx)
    redeeming.write(tx)
    uses.write(tx)
    return outcomes


def _check(tx: Transaction, issues: Iterable[Issue]) -> list[Seen]:
    asked = [(issue.client_id, issue.member, issue.subject) for issue in issues]
    if not asked:
        return []
    found: list[Seen] = json.loads(tx.rows(CHECK, (_dumps(asked),))[0][0])
    return found


def _refusal(write: IssueWrite, row: Seen | None, claims: Claims, redeeming: Redeeming) -> BridgeError | None:
    issue = write.issue
    if issue is not None and row is not None:
        changed = _changed(issue, row, write.now)
        if changed:
            return RegistrationChanged(Reason.REGISTRATION_CHANGED, f"{issue.client_id}: {changed}")
    # Before the grant: a request that came twice, proof and all, is a replay of the proof. To take it for a second
    # use of the code would end the grant of a client whose network repeats itself.
    replayed = claims.refusal(write.markers, write.marker_limit) if write.markers else None
    if replayed is None and issue is not None and issue.use is not None and redeeming.is_spent(issue.use, write.now):
        return GrantSpent()
    return replayed


def _changed(issue: Issue, row: Seen, now: int) -> str:
    """Why the registration that the issue stands on no longer holds; empty when it does."""
    state, epoch, expires_at, _, member_state, member_epoch, member_expires_at, _, tombstone = row
    if tombstone:
        return "denied"
    if issue.epoch is None:
        return ""
    if state != "active" or epoch != issue.epoch:
        return f"the record is {state or 'gone'}, epoch {epoch} and not {issue.epoch}"
    if _is_past(expires_at, now):
        return "the record idled out"
    if issue.member is not None:
        if member_state != "active" or member_epoch != issue.member_epoch:
            return f"the member is {member_state or 'gone'}, epoch {member_epoch} and not {issue.member_epoch}"
        if _is_past(member_expires_at, now):
            return "the member idled out"
    return ""


def _is_past(end: object, now: int) -> bool:
    return isinstance(end, int) and end <= now


class _Uses:
    """When records and members were last used and where they end, as far as it moved enough to be written."""

    def __init__(self) -> None:
        self._clients: dict[str, _Use] = {}
        self._members: dict[tuple[str, str], _Use] = {}
        # Who vouched for the ends of leases that moved.
        self._vouched: dict[str, str] = {}

    def note(self, issue: Issue, row: Seen, now: int) -> None:
        """One use. `row` is what `CHECK` gave; a use that was noted before in this commit stands above it."""
        if issue.epoch is None:
            return
        _, _, expires_at, used_at, _, _, member_expires_at, member_used_at, _ = row
        noted = self._clients.get(issue.client_id)
        if noted is not None:
            used_at, expires_at = noted
        moved = _moved(used_at, expires_at, issue, now)
        if moved is not None:
            self._clients[issue.client_id] = moved
            if issue.lease_until is not None and moved[1] == issue.lease_until != expires_at:
                self._vouched[issue.client_id] = text_of(issue.authorities)
        if issue.member is not None:
            place = (issue.client_id, issue.member)
            noted = self._members.get(place)
            if noted is not None:
                member_used_at, member_expires_at = noted
            moved = _moved(member_used_at, member_expires_at, issue, now)
            if moved is not None:
                self._members[place] = moved

    def write(self, tx: Transaction) -> None:
        """Store them."""
        if self._clients:
            used = [(*moved, self._vouched.get(key), key) for key, moved in self._clients.items()]
            tx.change_many(sql.PROLONG_CLIENT, used)
        if self._members:
            tx.change_many(sql.PROLONG_MEMBER, [(*moved, *key) for key, moved in self._members.items()])


def _moved(used_at: object, expires_at: object, issue: Issue, now: int) -> _Use | None:
    """The new (last_used_at, expires_at), or None when the stored ones are near enough.

    An idle expiry moves in steps; the end of a lease is exact, because it is the end of a credential, and
    one that was noted too early would take a live instance's tokens away.
    """
    idle_expiry = issue.idle_expiry
    step = granularity(idle_expiry)
    last = max(now, used_at) if isinstance(used_at, int) else now
    fresh = isinstance(used_at, int) and last - used_at < step
    end = expires_at if isinstance(expires_at, int) else None
    if issue.lease_until is not None or not issue.renews:
        if issue.renews and issue.lease_until is not None and (end is None or issue.lease_until > end):
            return last, issue.lease_until
        return None if fresh else (last, end)
    idle_end = None if idle_expiry is None else last + idle_expiry
    if fresh:
        if idle_end is None and end is None:
            return None
        if idle_end is not None and end is not None and abs(idle_end - end) < step:
            return None
    return last, idle_end
