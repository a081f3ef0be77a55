"""Drives a plan in a process of its own, and tells what the service spent meanwhile."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tests.bench.load import Driver, Outcome, Plan
from tests.bench.machine import ProcessTree

_START_SECONDS = 60.0
_EXTRA_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Measured:
    """An outcome of the load tool and, for the same stretch of time, the service's CPU in seconds."""

    load: Outcome
    service_cpu: float

    @property
    def cpu_per_token(self) -> float:
        """CPU seconds of all processes of the service per success."""
        return self.service_cpu / self.load.successes if self.load.successes else 0.0


def drive(plan: Plan, service: ProcessTree, *, meanwhile: Callable[[], None] | None = None) -> Measured:
    """Run the plan, and `meanwhile` once it has begun.

    Raises: AssertionError when the load tool fails, or does not end in time.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_drive, args=(plan, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        _receive(ours, _START_SECONDS + plan.warm_up)
        before = service.cpu_seconds()
        ours.send("go")
        if meanwhile is not None:
            meanwhile()
        outcome = _receive(ours, plan.seconds + _EXTRA_SECONDS)
        assert isinstance(outcome, Outcome)
        return Measured(outcome, service.cpu_seconds() - before)
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


def _receive(pipe: Connection, seconds: float) -> object:
    if not pipe.poll(seconds):
        raise AssertionError("the load tool does not answer")
    try:
        said: object = pipe.recv()
    except EOFError:
        raise AssertionError("the load tool ended early; its traceback is above") from None
    return said


def _drive(plan: Plan, pipe: Connection) -> None:
    driver = Driver(plan)
    if plan.warm_up:
        driver.run(plan.warm_up)
    pipe.send("ready")
    pipe.recv()
    outcome = driver.run(plan.seconds)
    pipe.send(outcome)
    driver.close()
