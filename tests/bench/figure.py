"""A figure of the bench and the table of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from tabulate import tabulate


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `target` is in the same unit, with `at_most` or at least; None for a number that
    explains others. `note` says under which circumstances."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    def row(self) -> tuple[str, str, str, str, str]:
        """The figure as a line of the table."""
        bound = "" if self.target is None else f"{'<=' if self.at_most else '>='} {_plain(self.target)}"
        verdict = {True: "yes", False: "NO", None: ""}[self.met]
        return self.name, f"{_plain(self.value)} {self.unit}".rstrip(), bound, verdict, self.note


Report = Callable[[Figure], None]


def table(figures: Sequence[Figure]) -> str:
    """All figures, for people."""
    headers = ("figure", "measured", "target", "met", "how")
    return tabulate([figure.row() for figure in figures], headers=headers, disable_numparse=True)


def as_json(figures: Sequence[Figure]) -> str:
    """All figures, for programs."""
    return json.dumps([{**asdict(figure), "met": figure.met} for figure in figures], indent=2)


def _plain(number: float) -> str:
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
