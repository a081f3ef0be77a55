"""What is wrong with policy files: where, which rule, which kind, and in words.

An error keeps its file from loading. A warning does not, but `policy check` still says no.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.policy.locate import Lines

Where = tuple[str | int, ...]


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `line` counts from 1, and is 0 when the file has no such line (it is
    missing); `rule` is the rule's id, empty when the finding is about no rule."""

    file: str
    line: int
    rule: str
    code: str
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        rule = f" rule {self.rule}:" if self.rule else ""
        return f"{place}:{rule} {self.message} [{self.code}]"


@dataclass(slots=True)
class Report:
    """Collects the findings of one file and knows its lines, which cost something only when asked for."""

    file: str
    text: str
    found: list[Finding] = field(default_factory=list)
    _lines: Lines | None = None

    def error(self, code: str, message: str, *where: str | int, rule: str = "") -> None:
        """Note an error at a place such as `"rule", 3, "grant", "scopes"`."""
        self._add(Severity.ERROR, code, message, where, rule)

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

    def _add(self, severity: Severity, code: str, message: str, where: Where, rule: str) -> None:
        self.found.append(Finding(self.file, self.line(*where), rule, code, message, severity))

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return has_errors(self.found)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether one of them is an error."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by file and line."""
    return tuple(sorted(set(findings), key=lambda f: (f.file, f.line, f.rule, f.code, f.message)))
