"""What is wrong with policy files: where, which rule, which kind, and in words.

An error keeps its file from loading. A warning does not, but `policy check` still says no.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.policy.locate import Lines
from bridge.policy.slips import nearest

Where = tuple[str | int, ...]

_MOST_HINTS = 20


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `line` counts from 1, and is 0 when the file has no such line (it is
    missing); `rule` is the rule's id, empty when the finding is about no rule, and `case` the case's name."""

    file: str
    line: int
    rule: str
    code: str
    message: str
    severity: Severity = Severity.ERROR
    case: str = ""

    @property
    def about(self) -> str:
        """What of the file it is about: `rule web-reads`, `case the shop reads`, or nothing in particular."""
        if self.case:
            return f"case '{self.case}'"
        return f"rule {self.rule}" if self.rule else ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        about = f" {self.about}:" if self.about else ""
        return f"{place}:{about} {self.message} [{self.code}]"


@dataclass(slots=True)
class Report:
    """Collects the findings of one file and knows its lines, which cost something only when asked for."""

    file: str
    text: str
    found: list[Finding] = field(default_factory=list)
    _lines: Lines | None = None
    _hints: int = 0

    def error(self, code: str, message: str, *where: str | int, rule: str = "", case: str = "") -> None:
        """Note an error at a place such as `"rule", 3, "grant", "scopes"`."""
        self._add(Severity.ERROR, code, message, where, rule, case)

    def warning(self, code: str, message: str, *where: str | int, rule: str = "") -> None:
        """Note a warning at a place."""
        self._add(Severity.WARNING, code, message, where, rule)

    def line(self, *where: str | int) -> int:
        """The line of a place."""
        if self._lines is None:
            self._lines = Lines(self.text)
        return self._lines.of(where)

    def error_at(self, line: int, code: str, message: str) -> None:
        """Note an error whose line is already known."""
        self.found.append(Finding(self.file, line, "", code, message))

    def hint(self, word: str, known: Collection[str]) -> str:
        """What to add to the message about a word that is not known: the one that was probably meant.

        Empty when there is none, and from the 21st of a file on: looking for it is slow.
        """
        if self._hints >= _MOST_HINTS:
            return ""
        self._hints += 1
        meant = nearest(word, known)
        return "" if meant is None else f": did you mean '{meant}'?"

    def _add(self, severity: Severity, code: str, message: str, where: Where, rule: str, case: str = "") -> None:
        self.found.append(Finding(self.file, self.line(*where), rule, code, message, severity, case))

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return has_errors(self.found)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether one of them is an error."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by file and line."""
    return tuple(sorted(set(findings), key=lambda f: (f.file, f.line, f.rule, f.case, f.code, f.message)))
