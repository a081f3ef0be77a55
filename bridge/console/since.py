"""Since when a permission is there, as far as the audit log says it.

Each change of policies that the service sees leaves a row: which version came after which, and to which patterns it
gives a scope that they did not have. A service that stood still sees nothing, so that a version may follow another
without a row; rows of earlier releases, and of very large changes, do not name all that they gave. Where such a gap is
later than what is known, the answer is a bound, and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.store.ports import AuditFilter, AuditStore

# Changes that are looked at; a policy that changes every day has so many in a year and more.
MOST_CHANGES = 500
# The first rows of the log, one of which says which policies it began with.
_FIRST_ROWS = 200


class Known(StrEnum):
    """How well it is known: AT a change; BY a change at the latest, which does not say all that it gave; AFTER the last
    change in the log, when the service began with other policies; or BEFORE the log, or what is looked at, begins."""

    AT = "at"
    BY = "by"
    AFTER = "after"
    BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Since:
    """Since when. `time` in epoch seconds: of the change; with BEFORE of the oldest row, None in an empty log. `id` is
    the correlation id of the change's row, `version` the policies that came with it."""

    known: Known
    time: int | None = None
    version: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of policies. `gained` names patterns by scope; `says_all`: no other pattern gained anything."""

    id: str
    time: int
    before: str
    after: str
    gained: Mapping[str, frozenset[str]]
    says_all: bool

    @classmethod
    def of(cls, event: AuditEvent) -> Change:
        """The change that a row is about, whatever stands in it."""
        named = event.ask.get("gained")
        gained = {
            scope: frozenset(str(pattern) for pattern in patterns)
            for scope, patterns in (named.items() if isinstance(named, dict) else ())
            if isinstance(patterns, list)
        }
        says_all = isinstance(named, dict) and "gained_more" not in event.ask
        return cls(event.id, event.time, str(event.ask.get("before", "")), event.policy_version, gained, says_all)


@dataclass(frozen=True, slots=True)
class History:
    """The changes that the log has, the newest first. `began_with`: the policies of the oldest rows, empty where none
    says it; `began_at` (epoch seconds): the oldest row that was looked at, None in an empty log."""

    changes: Sequence[Change]
    began_with: str
    began_at: int | None

    def since(self, pattern: str, scope: str, *, version: str) -> Since:
        """Since when the policies, now of that version, give the scope to the pattern."""
        following = version
        for change in self.changes:
            if change.after != following:
                # Other policies came while nobody looked, some time between this change and the one after it.
                return self._unseen(change, following, version)
            if pattern in change.gained.get(scope, ()):
                return Since(Known.AT, change.time, change.after, change.id)
            if not change.says_all:
                return Since(Known.BY, change.time, change.after, change.id)
            following = change.before
        if self.began_with and self.began_with != following:
            return self._unseen(None, following, version)
        return Since(Known.BEFORE, self.began_at)

    def _unseen(self, change: Change | None, following: str, version: str) -> Since:
        if following == version:
            return Since(Known.AFTER, self.began_at if change is None else change.time, version)
        later = next(one for one in self.changes if one.before == following)
        return Since(Known.BY, later.time, later.after, later.id)


class Histories:
    """The history of one log, read again from where it ended. Thread-safe."""

    def __init__(self, audit: AuditStore) -> None:
        self._audit, self._lock = audit, threading.Lock()
        self._until = 0
        self._changes: list[Change] = []
        self._began: tuple[str, int | None] | None = None

    def now(self) -> History:
        """As the log is now. Raises: Unavailable."""
        kinds = (AuditEventKind.POLICY_CHANGED,)
        with self._lock:
            if self._until == 0:
                page = self._audit.page(AuditFilter(kinds[0]), before=None, limit=MOST_CHANGES, scan=MOST_CHANGES)
                found = page.rows
            else:
                found = self._audit.rows(events=kinds, after=self._until, limit=MOST_CHANGES)[::-1]
            if found:
                self._until = found[0].rowid
                self._changes = [*(Change.of(row.event) for row in found), *self._changes][:MOST_CHANGES]
            return History(tuple(self._changes), *self._beginning())

    def _beginning(self) -> tuple[str, int | None]:
        """Which policies the log begins with, and when. Of a log that was cut off at many changes nothing is said of
        the policies, because what is looked at begins later."""
        if len(self._changes) == MOST_CHANGES:
            return "", self._changes[-1].time
        if self._began is None or not self._began[0]:
            rows = self._audit.rows(limit=_FIRST_ROWS)
            versions = (
                str(row.event.ask.get("before", ""))
                if row.event.event is AuditEventKind.POLICY_CHANGED
                else row.event.policy_version
                for row in rows
            )
            self._began = next((one for one in versions if one), ""), rows[0].event.time if rows else None
        return self._began
