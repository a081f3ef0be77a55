"""What a page of the console is made of: its place in the navigation, its routes, and its line on the start page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge.console.services import ConsoleServices
from bridge.console.visits import Forms, Visit
from bridge.web.lean import Response
from bridge.web.pages.rendering import Pages

View = Callable[[Visit], Response]
# What a form on each page leads to, where operators have a session.
SIGN_OUT = "/sign-out"


class Standing(StrEnum):
    """Whether something needs somebody: the values are the words that people read."""

    FINE = "fine"
    LOOK = "look"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Glance:
    """A section in one line, for the start page; `more` are single things to look at, at most a few."""

    standing: Standing
    words: str
    more: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One path and what answers it, by method. `endpoint` is a name for metrics. Paths have no variable parts: what
    is asked about stands in the query, where a SPIFFE ID needs no care."""

    path: str
    endpoint: str
    views: Mapping[str, View]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages of a section are made with."""

    services: ConsoleServices
    pages: Pages
    forms: Forms

    def show(self, visit: Visit, template: str, *, status: int = 200, **values: object) -> Response:
        """The page, with what all pages show: `visit`, and `now` in epoch seconds."""
        shown: dict[str, Any] = {"visit": visit, "now": visit.now, **values}
        if visit.operator.can_sign_out:
            shown["sign_out_token"] = self.forms.token(visit, SIGN_OUT)
        return self.pages.show(template, status=status, **shown)


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the navigation. `path` is its first page, and the beginning of all its paths; `routes` makes its
    pages. `glance` is None where there is nothing to say on the start page; it may raise BridgeError."""

    title: str
    path: str
    routes: Callable[[Desk], Sequence[Route]]
    glance: Callable[[ConsoleServices, int], Glance] | None = None
