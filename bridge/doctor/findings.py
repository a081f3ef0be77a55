"""From how a walk came out to findings: each step in words and, where it failed, the one thing to change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bridge.advice.details import Saying
from bridge.advice.table import ADVICE
from bridge.doctor.report import Finding, Outcome
from bridge.doctor.words import named_setting, shown
from bridge.model.errors import BridgeError
from bridge.model.steps import Looked

Remedy = Saying | str | None


def holds(looked: Sequence[Looked], step: str) -> bool:
    """Whether that step was looked at and held."""
    return any(one.step == step and one.holds for one in looked)


def first_error(looked: Iterable[Looked]) -> BridgeError | None:
    """What the service would have raised, which stops at the first failure."""
    return next((one.error for one in looked if one.error is not None), None)


def findings_of(
    looked: Iterable[Looked],
    words: Callable[[str], tuple[str, str]],
    remedy: Callable[[str, BridgeError], Remedy],
) -> tuple[Finding, ...]:
    """`words` says of a step what it expects and what it found; `remedy` what to change about its failure, None where
    its reason says that."""
    return tuple(_finding(one, words, remedy) for one in looked)


def not_reached(steps: Iterable[str], lacks: str) -> tuple[Finding, ...]:
    """Steps that nobody could look at."""
    return tuple(Finding(step, Outcome.NOT_REACHED, found=f"depends on {lacks}") for step in steps)


def failed(step: str, expected: str, found: str, error: BridgeError, remedy: Remedy) -> Finding:
    """A step that failed, with its general advice where there is no remedy."""
    general = ADVICE[error.reason]
    detail = shown(error.detail)
    said = detail if not found else found if not detail or detail in found else f"{found}; {detail}"
    if isinstance(remedy, Saying):
        return Finding(step, Outcome.FAILED, expected, said, error.reason, remedy.fix, remedy.setting)
    advice = remedy or general.fix
    # A remedy of its own may be about something else than what is usually changed for that reason.
    setting = general.setting if remedy is None or general.setting in remedy else named_setting(remedy)
    return Finding(step, Outcome.FAILED, expected, said, error.reason, advice, setting)


def _finding(
    looked: Looked, words: Callable[[str], tuple[str, str]], remedy: Callable[[str, BridgeError], Remedy]
) -> Finding:
    if looked.lacks is not None:
        return Finding(looked.step, Outcome.NOT_REACHED, found=f"depends on {looked.lacks}")
    expected, found = words(looked.step)
    if looked.error is None:
        return Finding(looked.step, Outcome.OK, expected, found)
    return failed(looked.step, expected, found, looked.error, remedy(looked.step, looked.error))
