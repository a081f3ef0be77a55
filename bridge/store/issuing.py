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

from bridge.model.errors import BridgeError, CredentialReplayed, LimitReached, RegistrationChanged, Unavailable
from bridge.model.identity import Marker
from bridge.model.reasons import Reason
from bridge.store import statements as sql
from bridge.store.audit_chain import Line, line_of
from bridge.store.outcome import Outcome
from bridge.store.ports import Issue
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
# Asked: an array of [kind, digest]. Answer: those that are taken, and nulls.
CLAIMED = """
SELECT json_group_array(json_array(m.kind, m.digest))
FROM json_each(?) AS asked
LEFT JOIN markers AS m
  ON m.kind = json_extract(asked.value, '$[0]') AND m.digest = json_extract(asked.value, '$[1]')
"""
MARKERS_AT_ONCE = 64

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

Seen = Sequence[object]
_Mark = tuple[str, str]


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
    return 60 if idle_expiry is None else max(1, min(60, idle_expiry // 10))


def run(tx: Transaction, writes: Sequence[IssueWrite]) -> list[Outcome]:
    """Do them all, in order. One that is refused changes nothing. Raises: sqlite3.Error."""
    issues = [write.issue for write in writes if write.issue is not None]
    seen = iter(_check(tx, issues))
    claims = _Claims(tx, [marker for write in writes for marker in write.markers])
    uses = _Uses()
    outcomes = []
    for write in writes:
        row = next(seen) if write.issue is not None else None
        error = _refusal(write, row, claims)
        if error is None:
            claims.claim(write.markers)
            if write.line is not None:
                tx.audit_line(write.line)
            if write.issue is not None and row is not None:
                uses.note(write.issue, row, write.now)
        outcomes.append(Outcome(error=error))
    claims.write(tx)
    uses.write(tx)
    return outcomes


def _check(tx: Transaction, issues: Iterable[Issue]) -> list[Seen]:
    asked = [(issue.client_id, issue.member, issue.subject) for issue in issues]
    if not asked:
        return []
    found: list[Seen] = json.loads(tx.rows(CHECK, (_dumps(asked),))[0][0])
    return found


def _refusal(write: IssueWrite, row: Seen | None, claims: _Claims) -> BridgeError | None:
    if write.issue is not None and row is not None:
        changed = _changed(write.issue, row, write.now)
        if changed:
            return RegistrationChanged(Reason.REGISTRATION_CHANGED, f"{write.issue.client_id}: {changed}")
    return claims.refusal(write.markers, write.marker_limit) if write.markers else None


def _changed(issue: Issue, row: Seen, now: int) -> str:
    """Why the registration that the issue stands on no longer holds; empty when it does."""
    state, epoch, expires_at, _, member_state, member_epoch, member_expires_at, _, tombstone = row
    if tombstone:
        return "denied"
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


class _Claims:
    """The markers of one commit: which are taken, by rows or by writes before."""

    def __init__(self, tx: Transaction, wanted: Sequence[Marker]) -> None:
        self._taken: set[_Mark] = set()
        self._new: list[tuple[str, str, int]] = []
        self._held = self._swept_until = 0
        if wanted:
            asked = _dumps([(marker.kind, marker.digest) for marker in wanted])
            self._taken = {(kind, digest) for kind, digest in json.loads(tx.rows(CLAIMED, (asked,))[0][0])}
            self._held, self._swept_until = tx.rows(sql.MARKER_USAGE)[0]

    def refusal(self, markers: tuple[Marker, ...], limit: int) -> BridgeError | None:
        """Why these cannot be claimed, all together (T-21, T-34, T-42)."""
        for place, marker in enumerate(markers):
            mark = (marker.kind, marker.digest)
            if mark in self._taken or any((m.kind, m.digest) == mark for m in markers[:place]):
                return CredentialReplayed(marker.kind)
            if marker.expires_at <= self._swept_until:
                # Its mark may have been made and swept, when the clock stood later than it does now.
                return Unavailable(
                    Reason.STORE_UNAVAILABLE, "the clock is behind the last sweep of used markers", retry_after=60
                )
        if self._held + len(self._new) + len(markers) > limit:
            return LimitReached("markers", 60)
        return None

    def claim(self, markers: tuple[Marker, ...]) -> None:
        """Take them."""
        for marker in markers:
            self._taken.add((marker.kind, marker.digest))
            self._new.append((marker.kind, marker.digest, marker.expires_at))

    def write(self, tx: Transaction) -> None:
        """Store what was taken."""
        for start in range(0, len(self._new), MARKERS_AT_ONCE):
            part = self._new[start : start + MARKERS_AT_ONCE]
            tx.change(sql.insert_markers(len(part)), [value for row in part for value in row])
        if self._new:
            tx.change(sql.ADD_MARKERS, (len(self._new),))


class _Uses:
    """When records and members were last used, as far as it moved enough to be written."""

    def __init__(self) -> None:
        self._clients: dict[str, tuple[int, int | None]] = {}
        self._members: dict[tuple[str, str], tuple[int, int | None]] = {}

    def note(self, issue: Issue, row: Seen, now: int) -> None:
        """One use. `row` is what `CHECK` gave."""
        _, _, expires_at, used_at, _, _, member_expires_at, member_used_at, _ = row
        moved = _moved(used_at, expires_at, issue.idle_expiry, now)
        if moved is not None:
            self._clients[issue.client_id] = moved
        if issue.member is not None:
            moved = _moved(member_used_at, member_expires_at, issue.idle_expiry, now)
            if moved is not None:
                self._members[issue.client_id, issue.member] = moved

    def write(self, tx: Transaction) -> None:
        """Store them."""
        if self._clients:
            tx.change_many(sql.PROLONG_CLIENT, [(*moved, key) for key, moved in self._clients.items()])
        if self._members:
            tx.change_many(sql.PROLONG_MEMBER, [(*moved, *key) for key, moved in self._members.items()])


def _moved(used_at: object, expires_at: object, idle_expiry: int | None, now: int) -> tuple[int, int | None] | None:
    """The new (last_used_at, expires_at), or None when the stored ones are near enough."""
    last = max(now, used_at) if isinstance(used_at, int) else now
    end = None if idle_expiry is None else last + idle_expiry
    step = granularity(idle_expiry)
    if isinstance(used_at, int) and last - used_at < step:
        if end is None and expires_at is None:
            return None
        if end is not None and isinstance(expires_at, int) and abs(end - expires_at) < step:
            return None
    return last, end
