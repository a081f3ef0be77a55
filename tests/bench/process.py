"""Drives plans, each in a process of its own, and tells what the service spent meanwhile."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tests.bench.chains import ChainDriver, ChainPlan
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


AnyPlan = Plan | ChainPlan


class _Tool:
    """One load tool in its process. It connects and warms up, waits for `go`, and says what came of it."""

    def __init__(self, plan: AnyPlan) -> None:
        self._plan = plan
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_drive, args=(plan, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_ready(self) -> None:
        self._receive(_START_SECONDS + self._plan.warm_up)

    def go(self) -> None:
        self._pipe.send("go")

    def outcome(self) -> Outcome:
        outcome = self._receive(self._plan.seconds + _EXTRA_SECONDS)
        assert isinstance(outcome, Outcome)
        return outcome

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _receive(self, seconds: float) -> object:
        if not self._pipe.poll(seconds):
            raise AssertionError("the load tool does not answer")
        try:
            said: object = self._pipe.recv()
        except EOFError:
            raise AssertionError("the load tool ended early; its traceback is above") from None
        return said


def drive(plan: AnyPlan, service: ProcessTree, *, meanwhile: Callable[[], None] | None = None) -> Measured:
    """Run the plan, and `meanwhile` once it has begun.

    Raises: AssertionError when the load tool fails, or does not end in time.
    """
    outcomes, cpu = _run((plan,), service, meanwhile)
    return Measured(outcomes[0], cpu)


def drive_together(*plans: AnyPlan, service: ProcessTree, before: Callable[[], None] | None = None) -> list[Outcome]:
    """Run several plans that begin at the same moment; `before` is called when all are ready for it.

    Raises: as `drive`.
    """
    return _run(plans, service, None, before)[0]


def _run(
    plans: tuple[AnyPlan, ...],
    service: ProcessTree,
    meanwhile: Callable[[], None] | None,
    before: Callable[[], None] | None = None,
) -> tuple[list[Outcome], float]:
    with ExitStack() as stack:
        tools = []
        for plan in plans:
            tools.append(_Tool(plan))
            stack.callback(tools[-1].close)
        for tool in tools:
            tool.wait_until_ready()
        if before is not None:
            before()
        spent = service.cpu_seconds()
        for tool in tools:
            tool.go()
        if meanwhile is not None:
            meanwhile()
        outcomes = [tool.outcome() for tool in tools]
        return outcomes, service.cpu_seconds() - spent


def _drive(plan: AnyPlan, pipe: Connection) -> None:
    driver = ChainDriver(plan) if isinstance(plan, ChainPlan) else Driver(plan)
    if plan.warm_up:
        driver.run(plan.warm_up)
    pipe.send("ready")
    pipe.recv()
    outcome = driver.run(plan.seconds)
    pipe.send(outcome)
    driver.close()
