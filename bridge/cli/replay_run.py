"""Goes through recorded requests, decides each kind of them once, and notes what would change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.cli.recorded_request import AskColumns, request_of_row
from bridge.cli.replay_book import ChangedAsk, ReplayBook
from bridge.cli.replay_words import change_told, words_of
from bridge.model.audit import AuditEventKind
from bridge.model.evidence import Door
from bridge.model.reasons import Reason
from bridge.model.terms import Effect
from bridge.policy.replay import RecordedAsk, Verdict

if TYPE_CHECKING:
    from bridge.policy.replay import Replayed
    from bridge.store.ports import AskRow

# So many kinds of requests are remembered. When there are more, remembering begins anew.
MOST_REMEMBERED = 50_000
_MOST_NAMED = 10
_POLICY_DOORS = frozenset({Door.TOKEN.value, Door.PAR.value, Door.REGISTER.value, Door.AUTHORIZE.value})
_WAITING = "pending"


@dataclass(slots=True)
class Tally:
    """What was gone through, in requests: one row may stand for many. `replayed` were decided again; of the others
    no rule refused `of_no_rule`, the row does not keep what was asked (`unkept`) or all that the answer turned on
    (`untold`). `unreadable` are the rows that nobody here wrote so: their number, and the first of them in words."""

    rows: int = 0
    replayed: int = 0
    of_no_rule: int = 0
    unkept: int = 0
    untold: int = 0
    unreadable: int = 0
    named: list[str] = field(default_factory=list)


# What is known of a kind of request: the counter it goes to, and its change if it has one.
_Known = tuple[str, ChangedAsk | None]


class ReplayRun:
    """Takes rows, in the order of writing."""

    def __init__(self, judge: Callable[[RecordedAsk], Replayed], version: str | None, book: ReplayBook) -> None:
        """`judge` decides a request again; `version` is that of the policies in force, None where they do not load."""
        self._judge, self._version, self._book = judge, version, book
        self._known: dict[tuple[object, ...], _Known] = {}
        self.tally = Tally()

    def take(self, rows: Iterable[AskRow]) -> None:
        """Go through some rows."""
        tally, known = self.tally, self._known
        for row in rows:
            tally.rows += 1
            _, time, id, *columns, version, times = row
            kind = (*columns, version == self._version)
            found = known.get(kind)
            if found is None:
                if len(known) >= MOST_REMEMBERED:
                    known.clear()
                found = known[kind] = self._look(row)
            name, change = found
            if name:
                setattr(tally, name, getattr(tally, name) + times)
            if change is not None:
                self._book.add(change, times, time, id)

    def _look(self, row: AskRow) -> _Known:
        """A kind of request that was not seen before, or not lately."""
        if row.event == AuditEventKind.REFUSED and not _is_of_policy(row):
            return "of_no_rule", None
        try:
            ask = json.loads(row.ask)
            if not isinstance(ask, dict):
                raise ValueError("the ask is no object")
            if not ask.get("grant_type") or row.door not in _POLICY_DOORS:
                return ("unkept" if row.event == AuditEventKind.REFUSED and not ask else ""), None
            recorded = self._recorded(row, ask)
        except (ValueError, RecursionError) as error:
            self._note_unreadable(row, error)
            return "unreadable", None
        replayed = self._judge(recorded)
        if replayed.verdict is Verdict.UNTOLD:
            return "untold", None
        if replayed.verdict is Verdict.SAME:
            return "replayed", None
        return "replayed", _change(row, recorded, replayed)

    def _recorded(self, row: AskRow, ask: dict[str, object]) -> RecordedAsk:
        event = AuditEventKind(row.event)
        columns = AskColumns(event, row.door, row.subject, row.evidence, row.client_id, row.reason, ask)
        subject, asked, proved = request_of_row(columns)
        return RecordedAsk(
            subject=subject,
            ask=asked,
            proved=proved,
            effect=_effect(row),
            rule=row.rule,
            client_id=row.client_id,
            reason=row.reason,
            is_of_now=row.policy_version == self._version,
        )

    def _note_unreadable(self, row: AskRow, error: Exception) -> None:
        if len(self.tally.named) < _MOST_NAMED:
            self.tally.named.append(f"audit row {row.rowid} (id {row.id}) cannot be read: {error}")


def _is_of_policy(row: AskRow) -> bool:
    """Whether rules decided a refusal: a no, or that an operator has to approve."""
    return row.reason.startswith("policy_") or row.reason == Reason.APPROVAL_PENDING


def _effect(row: AskRow) -> Effect:
    """What policy said. Whoever waits is told so by a refusal, and its registration stands as pending."""
    if row.event == AuditEventKind.REFUSED:
        return Effect.ASK if row.reason == Reason.APPROVAL_PENDING else Effect.DENY
    return Effect.ASK if row.outcome == _WAITING else Effect.ALLOW


def _change(row: AskRow, recorded: RecordedAsk, replayed: Replayed) -> ChangedAsk:
    rule = replayed.after.rule if replayed.kind == "gains" else replayed.before.rule
    told = json.dumps(change_told(row.subject, recorded, replayed), ensure_ascii=False, separators=(",", ":"))
    return ChangedAsk(replayed.kind, rule or "", row.subject, told, words_of(replayed), replayed.already)
