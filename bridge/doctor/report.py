"""What a diagnosis is: one finding for each step, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.model.reasons import Reason


class Outcome(StrEnum):
    """How a step came out. NOT_REACHED: it depends on one that failed."""

    OK = "ok"
    FAILED = "failed"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Finding:
    """One step: what was expected, what was found, and where it failed, why and the one thing to change. `setting` is
    the name of what is changed, where it has one. All texts are fit for a terminal (`words.shown`)."""

    name: str
    outcome: Outcome
    expected: str = ""
    found: str = ""
    reason: Reason | None = None
    advice: str = ""
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the service would make of it. `reason` is what it would refuse with, and log: None when it would accept.

    `subject` is the SPIFFE ID, which is what the SVID claims unless `is_verified`; `credential` the hex SHA-256 by
    which the audit log knows it. `notes` are what else has to be known, in sentences.
    """

    evidence: str
    door: str
    subject: str
    is_verified: bool
    credential: str
    reason: Reason | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the service would do what was asked."""
        return self.reason is None

    @property
    def decisive(self) -> Finding | None:
        """The step that the service would refuse at."""
        return next((finding for finding in self.findings if finding.outcome is Outcome.FAILED), None)
