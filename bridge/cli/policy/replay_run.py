"""Goes through recorded requests, decides each kind of them once, and notes what would change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.cli.policy.replay_book import ChangedAsk, ReplayBook
from bridge.cli.policy.replay_words import change_told, words_of
from bridge.model.audit import AuditEventKind
from bridge.model.evidence import Door
from bridge.model.reasons import Reason
from bridge.model.terms import Effect
from bridge.model.times import LATEST
from bridge.policy.recorded_request import Asked, asked_of_row, subject_of_row
from bridge.policy.replay import RecordedAsk, Verdict

if TYPE_CHECKING:
    from bridge.policy.replay import Replayed
    from bridge.store.ports import AskRow

# So many requests that differ are remembered, some 50 MB, and so many characters of what they asked: one request may
# hold thirty thousand, and who was refused chose them. When there are more, remembering begins anew.
MOST_REMEMBERED, MOST_CHARACTERS = 200_000, 64_000_000
_MOST_NAMED = 10
# More equal requests than a minute can bring.
_MOST_TIMES = 1 << 32
_POLICY_DOORS = frozenset({Door.TOKEN.value, Door.PAR.value, Door.REGISTER.value, Door.AUTHORIZE.value})
_WAITING = "pending"


@dataclass(slots=True)
class Tally:
    """What was gone through, in requests: a row may stand for several. `replayed` were decided again; of the others
    no rule refused `of_no_rule`, the row does not keep what was asked (`unkept`) or all that the answer turned on
    (`untold`). `unreadable` are the rows that nobody here wrote so: their number, and the first of them in words."""

    replayed: int = 0
    of_no_rule: int = 0
    unkept: int = 0
    untold: int = 0
    unreadable: int = 0
    named: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Form:
    """What equal rows of different identities have in common. `counter` is where they are counted; `asked` None: they
    are not decided again. `fault` says why they cannot be read."""

    number: int
    counter: str
    asked: Asked | None = None
    effect: Effect = Effect.DENY
    fault: str = ""


# The counter that a request goes to, and its change if it has one.
_Known = tuple[str, ChangedAsk | None]


class ReplayRun:
    """Takes rows, in the order of writing."""

    def __init__(self, judge: Callable[[RecordedAsk], Replayed], version: str | None, book: ReplayBook) -> None:
        """`judge` decides a request again; `version` is that of the policies in force, None where they do not load."""
        self._judge, self._version, self._book = judge, version, book
        self._forms: dict[tuple[object, ...], _Form] = {}
        self._known: dict[tuple[str, str | None, int], _Known] = {}
        self._characters = 0
        self.tally = Tally()

    def take(self, rows: Iterable[AskRow]) -> None:
        """Go through some rows."""
        tally, forms, known = self.tally, self._forms, self._known
        for row in rows:
            _, time, id, event, door, subject, evidence, ask, rule, outcome, reason, client_id, version, times = row
            if not 0 <= time <= LATEST or not 0 < times < _MOST_TIMES:
                tally.unreadable += 1
                self._note_fault(row, "its time or its count is none")
                continue
            by = (version == self._version, not version)
            columns = (event, door, evidence, ask, rule, outcome, reason, by)
            form = forms.get(columns)
            if form is None:
                if len(forms) >= MOST_REMEMBERED or self._characters >= MOST_CHARACTERS:
                    self._forget()
                form = forms[columns] = self._form(row, len(forms))
                self._characters += len(ask)
            # Most clients are called what their subject is called.
            who = (subject, None if client_id == subject else client_id, form.number)
            found = known.get(who)
            if found is None:
                if len(known) >= MOST_REMEMBERED or self._characters >= MOST_CHARACTERS:
                    self._forget()
                    form = forms[columns] = self._form(row, 0)
                    who = (*who[:2], 0)
                found = known[who] = self._look(row, form)
                self._characters += len(found[1].told) if found[1] is not None else 0
            counter, change = found
            if counter:
                setattr(tally, counter, getattr(tally, counter) + times)
            if change is not None:
                self._book.add(change, times, time, id)

    def _forget(self) -> None:
        self._forms.clear()
        self._known.clear()
        self._characters = 0

    def _form(self, row: AskRow, number: int) -> _Form:
        """Rows of a form that was not seen before, or not lately."""
        refused = row.event == AuditEventKind.REFUSED
        if refused and not _is_of_policy(row):
            return _Form(number, "of_no_rule")
        try:
            ask = json.loads(row.ask)
            if not isinstance(ask, dict):
                raise ValueError("what was asked is no object")
            if not ask.get("grant_type") or row.door not in _POLICY_DOORS:
                return _Form(number, "unkept" if refused and not ask else "")
            asked = asked_of_row(AuditEventKind(row.event), row.door, row.evidence, ask, row.reason)
        except (ValueError, RecursionError) as error:
            return _Form(number, "unreadable", fault=str(error))
        return _Form(number, "replayed", asked, _effect(row))

    def _look(self, row: AskRow, form: _Form) -> _Known:
        """What comes of a row that was not seen before, or not lately."""
        asked = form.asked
        if asked is None:
            self._note_fault(row, form.fault)
            return form.counter, None
        try:
            subject = subject_of_row(row.subject, asked.evidence, row.client_id)
        except ValueError as error:
            self._note_fault(row, str(error))
            return "unreadable", None
        recorded = RecordedAsk(
            subject=subject,
            ask=asked.ask,
            proved=asked.proved,
            effect=form.effect,
            rule=row.rule,
            client_id=row.client_id,
            reason=row.reason,
            is_of_now=self._is_of_now(row),
        )
        replayed = self._judge(recorded)
        if replayed.verdict is Verdict.UNTOLD:
            return "untold", None
        return form.counter, _change(row, recorded, replayed) if replayed.verdict is Verdict.CHANGED else None

    def _is_of_now(self, row: AskRow) -> bool:
        """Whether the policies in force made the answer. Of a refusal that names no version they have to explain it
        too: it came of the rules and of something else, as when a refresh asks for what its grant does not have."""
        return row.policy_version == self._version or (not row.policy_version and row.event == AuditEventKind.REFUSED)

    def _note_fault(self, row: AskRow, fault: str) -> None:
        if fault and len(self.tally.named) < _MOST_NAMED:
            self.tally.named.append(f"audit row {row.rowid} (id {row.id}) cannot be read: {fault}")


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
