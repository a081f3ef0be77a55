"""A verification as a list of named steps, in the order of its specification.

The service runs the list and stops at the first step that does not hold. Whoever has to say why an SVID is refused
walks the very same list, and goes on behind a failure with what does not hang on it: so the first failure of a walk
is what the service refuses with, and no second opinion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bridge.model.errors import BridgeError

Case = TypeVar("Case")


@dataclass(frozen=True, slots=True)
class Step(Generic[Case]):
    """One thing that has to hold. `check` raises when it does not, and puts on the case what later steps look at;
    `needs` are the earlier steps without which it has nothing to look at."""

    name: str
    check: Callable[[Case], None]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """How one step of a walk came out: it held, or it raised `error`, or it was not looked at because the step `lacks`
    did not hold."""

    step: str
    error: BridgeError | None = None
    lacks: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it was looked at and held."""
        return self.error is None and self.lacks is None


def run(steps: Sequence[Step[Case]], case: Case) -> None:
    """Every step, in order. Raises: what the first one raises that does not hold."""
    for step in steps:
        step.check(case)


def walk(steps: Sequence[Step[Case]], case: Case) -> tuple[Looked, ...]:
    """How each step comes out. Says nothing of who anybody is: what a walk leaves on the case is unverified, even
    when all of it holds."""
    looked: dict[str, Looked] = {}
    for step in steps:
        lacks = next((name for name in step.needs if not looked[name].holds), None)
        looked[step.name] = Looked(step.name, lacks=lacks) if lacks is not None else _look(step, case)
    return tuple(looked.values())


def _look(step: Step[Case], case: Case) -> Looked:
    try:
        step.check(case)
    except BridgeError as error:
        return Looked(step.name, error)
    return Looked(step.name)
